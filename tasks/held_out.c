/* held_out.c - see held_out.h. */
#include "tasks/held_out.h"

#include "kernels/core/error.h"

held_out *held_out_new(arena *a, uint64_t capacity) {
    held_out *h = ARENA_NEW(a, held_out, 1);
    uint64_t slots = 16;
    while (slots < 2 * capacity) slots *= 2;
    h->slot = ARENA_NEW(a, uint64_t, slots);
    h->mask = slots - 1;
    return h;
}

/* The slot that holds the fingerprint, or the empty one where it belongs. */
static uint64_t *find(const held_out *h, uint64_t print) {
    uint64_t i = print & h->mask;
    while (h->slot[i] && h->slot[i] != print) i = (i + 1) & h->mask;
    return &h->slot[i];
}

bool held_out_has(const held_out *h, uint64_t print) { return *find(h, print) == print; }

bool held_out_add(held_out *h, uint64_t print) {
    uint64_t *slot = find(h, print);
    if (*slot) return false;
    if (2 * h->n > h->mask) BUG("more held-out examples than announced");
    *slot = print;
    h->n++;
    return true;
}

/* Multiply and fold, one step per position: every step is a bijection of the running hash, so two
 * examples that differ at one position only never collide. */
uint64_t fingerprint(const int *ids, const int *labels, int time) {
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (int t = 0; t < time; t++) {
        hash ^= (uint64_t)(uint32_t)ids[t] << 32 | (uint32_t)labels[t];
        hash *= 0xD1342543DE82EF95u;
        hash ^= hash >> 32;
    }
    hash = (hash ^ hash >> 29) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 32;
    return hash ? hash : 1;
}
