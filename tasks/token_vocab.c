/* token_vocab.c - see token_vocab.h. */
#include "tasks/token_vocab.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024, FIRST_BYTES = 4096 };

/* FNV-1a, folded: symbols are a few bytes long, so nothing wider pays. */
static unsigned hash_of(token_span s) {
    unsigned long long hash = 0xCBF29CE484222325u;
    for (long i = 0; i < s.n; i++) hash = (hash ^ (unsigned char)s.text[i]) * 0x100000001B3u;
    return (unsigned)(hash ^ hash >> 32);
}

token_vocab *vocab_new(arena *a) {
    token_vocab *v = ARENA_NEW(a, token_vocab, 1);
    *v = (token_vocab){.arena = a,
                       .bytes = ARENA_NEW(a, char, FIRST_BYTES),
                       .cap_bytes = FIRST_BYTES,
                       .slot = ARENA_NEW(a, int, FIRST_SLOTS),
                       .mask = FIRST_SLOTS - 1};
    return v;
}

token_span vocab_text(const token_vocab *v, int id) {
    return (token_span){v->bytes + v->entry[id].at, v->entry[id].n};
}

/* The slot of s, or the empty one where it belongs. */
static long slot_of(const token_vocab *v, token_span s, unsigned hash) {
    long i = hash & v->mask;
    for (; v->slot[i]; i = (i + 1) & v->mask) {
        const struct token_entry *e = &v->entry[v->slot[i] - 1];
        if (e->hash == hash && e->n == s.n && !memcmp(v->bytes + e->at, s.text, (size_t)s.n)) break;
    }
    return i;
}

int vocab_find(const token_vocab *v, token_span s) {
    return v->slot[slot_of(v, s, hash_of(s))] - 1;
}

static void grow_slots(token_vocab *v) {
    v->mask = 2 * v->mask + 1;
    v->slot = ARENA_NEW(v->arena, int, v->mask + 1);
    for (int id = 0; id < v->n; id++) {
        long i = v->entry[id].hash & v->mask;
        while (v->slot[i]) i = (i + 1) & v->mask;
        v->slot[i] = id + 1;
    }
}

int vocab_add(token_vocab *v, token_span s) {
    const unsigned hash = hash_of(s);
    long i = slot_of(v, s, hash);
    if (v->slot[i]) return v->slot[i] - 1;
    if (2L * v->n > v->mask) {
        grow_slots(v);
        i = slot_of(v, s, hash);
    }
    while (v->n_bytes + s.n > v->cap_bytes) {
        v->bytes = arena_regrow(v->arena, v->bytes, (size_t)v->cap_bytes, 2 * (size_t)v->cap_bytes);
        v->cap_bytes *= 2;
    }
    ARENA_GROW(v->arena, v->entry, v->n, v->cap);
    v->entry[v->n] = (struct token_entry){v->n_bytes, (int)s.n, hash};
    memcpy(v->bytes + v->n_bytes, s.text, (size_t)s.n);
    v->n_bytes += s.n;
    v->slot[i] = ++v->n;
    return v->n - 1;
}

static int by_code(const void *a, const void *b) {
    const token_span *x = a, *y = b;
    long used;
    return utf8_read(&used, x->text, x->n) - utf8_read(&used, y->text, y->n);
}

token_vocab *vocab_sorted(arena *a, const token_vocab *v) {
    arena *scratch = arena_new();
    token_span *symbol = ARENA_NEW(scratch, token_span, v->n);
    token_vocab *sorted = vocab_new(a);
    for (int i = 0; i < v->n; i++) symbol[i] = vocab_text(v, i);
    qsort(symbol, (size_t)v->n, sizeof *symbol, by_code);
    for (int i = 0; i < v->n; i++) vocab_add(sorted, symbol[i]);
    arena_free(scratch);
    return sorted;
}
