/* arena.c - chunks in a list, each carved from its start; see arena.h. */
#include "arena.h"

#include "error.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, CHUNK_BYTES = 1 << 16 };

/* With AddressSanitizer what was not handed out may not be touched, and no two blocks touch. */
#ifndef __has_feature
#    define __has_feature(x) 0
#endif
#if defined __SANITIZE_ADDRESS__ || __has_feature(address_sanitizer)
#    include <sanitizer/asan_interface.h>
enum { GAP = 1 };
#else
#    define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { GAP = 0 };
#endif

typedef struct chunk {
    struct chunk *next;
    size_t used, size; /* bytes of data[] */
    _Alignas(ALIGN) unsigned char data[];
} chunk;

struct arena {
    chunk *head;
};

_Noreturn void out_of_memory(size_t bytes) {
    fprintf(stderr,
            "mixgrid: error: out of memory: could not get %zu bytes; close other programs or make "
            "the model, batch or pack smaller.\n",
            bytes);
    exit(STATUS_ENVIRONMENT);
}

void *alloc_or_exit(size_t bytes) {
    void *p = malloc(bytes);
    if (!p) out_of_memory(bytes);
    return p;
}

static size_t round_up(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

arena *arena_new(void) {
    arena *a = calloc(1, sizeof *a);
    if (!a) out_of_memory(sizeof *a);
    return a;
}

void arena_free(arena *a) {
    if (!a) return;
    for (chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void *arena_alloc(arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2) out_of_memory(bytes); /* sums below cannot wrap */
    size_t need = round_up(bytes + GAP ? bytes + GAP : 1);
    if (!a->head || a->head->size - a->head->used < need) {
        size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
        chunk *c = aligned_alloc(ALIGN, round_up(sizeof *c + size));
        if (!c) out_of_memory(bytes);
        *c = (chunk){.next = a->head, .size = size};
        ASAN_POISON_MEMORY_REGION(c->data, size);
        a->head = c;
    }
    void *p = a->head->data + a->head->used;
    a->head->used += need;
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
    return memset(p, 0, bytes);
}

void *arena_regrow(arena *a, const void *old, size_t old_bytes, size_t new_bytes) {
    void *p = arena_alloc(a, new_bytes);
    if (old_bytes) memcpy(p, old, old_bytes);
    return p;
}

char *arena_text(arena *a, const char *text) {
    if (!text) return NULL;
    const size_t bytes = strlen(text) + 1;
    return memcpy(arena_alloc(a, bytes), text, bytes);
}

char *arena_printf(arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) BUG("unprintable format: %s", format);
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
