/* rng.h - counter-based random numbers: Philox4x32-10.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * A draw is a pure function of (key, index, attempt, draw number), so no draw of one stream moves
 * another, and data does not depend on batch size, thread or resume point.
 * Counter words: index low, index high, attempt, block number. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct rng_key {
    uint32_t word[2];
} rng_key;

typedef struct rng {
    rng_key key;
    uint32_t counter[4], block[4];
    int left; /* unread words of block */
} rng;

/* Ten rounds; out and counter may alias. */
void philox4x32(uint32_t out[4], const uint32_t counter[4], rng_key key);

/* Key of a named stream ("init", "train", ...): a hash of the seed, the name and `n` more bytes. */
rng_key rng_key_make(uint64_t seed, const char *stream, const void *bytes, size_t n);

/* Start of the stream of one example (or one parameter). */
rng rng_start(rng_key key, uint64_t index, uint32_t attempt);

uint32_t rng_u32(rng *g);
uint32_t rng_below(rng *g, uint32_t n); /* uniform in [0, n), n >= 1, no modulo bias */
double rng_uniform(rng *g);             /* [0, 1), 53 bits */
double rng_normal(rng *g);              /* N(0, 1), Box-Muller, two draws each */

/* k distinct integers of [0, n), in random order (partial Fisher-Yates over a sparse table).
 * Cost O(k^2): meant for k up to a few thousand. */
void rng_sample(rng *g, int *out, int k, int n);

/* i -> a pseudo-random permutation of [0, n) chosen by key: Feistel network, cycle walking. */
uint64_t rng_permute(rng_key key, uint64_t n, uint64_t i);
