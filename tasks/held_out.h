/* held_out.h - the set of fingerprints of all validation and test examples.
 *
 * Two examples count as equal when their 64-bit fingerprints are. Equal examples always have equal
 * fingerprints, so no held-out example can slip into training; two different examples share one
 * with probability 2^-64 per pair, and then an innocent example is redrawn, the same one in every
 * run. Wider fingerprints would buy nothing.
 *
 * Open addressing, at most half full: one cache line per question. Immutable once filled. */
#pragma once
#include "kernels/core/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct held_out {
    uint64_t *slot; /* [mask + 1], 0: empty */
    uint64_t mask, n;
} held_out;

held_out *held_out_new(arena *a, uint64_t capacity);
bool held_out_has(const held_out *h, uint64_t print);
bool held_out_add(held_out *h, uint64_t print); /* false: it was there already */

/* Of ids [T] and labels [T]; never 0. */
uint64_t fingerprint(const int *ids, const int *labels, int time);
