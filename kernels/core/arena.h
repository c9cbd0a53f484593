/* arena.h - memory that is given back all at once.
 *
 * Everything a command builds (configuration, graph, report) lives in an arena and ends with it;
 * single frees do not exist. Memory is zeroed and aligned to 64 bytes (one cache line, one vector).
 * Out of memory is not returned: the process prints one sentence and exits with
 * STATUS_ENVIRONMENT, so that callers need no second path that is never taken. */
#pragma once
#include <stdarg.h>
#include <stddef.h>

/* What happens then; and malloc for libraries that take one and free with free(). */
_Noreturn void out_of_memory(size_t bytes);
void *alloc_or_exit(size_t bytes);

typedef struct arena arena;

arena *arena_new(void);
void arena_free(arena *a); /* a may be NULL */

void *arena_alloc(arena *a, size_t bytes);
char *arena_text(arena *a, const char *text); /* a copy; NULL stays NULL */
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A zeroed array of `count` elements of `type`. */
#define ARENA_NEW(a, type, count) ((type *)arena_alloc(a, sizeof(type) * (size_t)(count)))

/* Grows an array kept in an arena: doubles the capacity when full (the old copy stays in the
 * arena). `items` is an lvalue pointer, `n` and `cap` are lvalue ints. */
#define ARENA_GROW(a, items, n, cap)                                                               \
    do {                                                                                           \
        if ((n) == (cap)) {                                                                        \
            (cap) = (cap) ? 2 * (cap) : 8;                                                         \
            (items) = arena_regrow(a, items, sizeof *(items) * (size_t)(n),                        \
                                   sizeof *(items) * (size_t)(cap));                               \
        }                                                                                          \
    } while (0)
void *arena_regrow(arena *a, const void *old, size_t old_bytes, size_t new_bytes);
