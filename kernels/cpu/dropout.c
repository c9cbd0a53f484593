/* dropout.c - inverted dropout with a counter-based mask; see kernels.def.
 *
 * Four consecutive elements share one Philox4x32-10 block (core/rng.h) with the counter
 * {element / 4 within the example, example, step, site}: the mask can be made anywhere, in any
 * order, and backward makes it again instead of storing it. Blocks of 16 counters and more are
 * worked on side by side in vector registers: about one cycle per element with AVX-512. */
#include "cpu.h"

#include <stdbool.h>

enum { BLOCKS = 64, ELEMENTS = 4 * BLOCKS };

/* bits[4i + j] = word j of block first + i of one example. */
static void mask_bits(uint32_t *bits, uint32_t first, uint32_t example, const int *key,
                      const int *tick, int site) {
    const uint32_t key0 = (uint32_t)key[0], key1 = (uint32_t)key[1];
    const uint32_t step = (uint32_t)tick[0], place = (uint32_t)site;
    /* eight lanes: GCC has a 32 x 32 -> 64 product for these, not for sixteen */
    PRAGMA(omp simd simdlen(8))
    for (uint32_t i = 0; i < BLOCKS; i++) {
        uint32_t c0 = first + i, c1 = example, c2 = step, c3 = place, k0 = key0, k1 = key1;
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)p1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        bits[4 * i] = c0, bits[4 * i + 1] = c1, bits[4 * i + 2] = c2, bits[4 * i + 3] = c3;
    }
}

/* What a run does in this step: y = scale x where bits >= below, else 0. */
typedef struct drop {
    bool off; /* y = x */
    uint32_t below;
    real scale;
} drop;

static drop drop_of(real rate, const int *tick) {
    if (!tick[2] || !(rate > 0)) return (drop){.off = true};
    if (rate >= 1) return (drop){.below = UINT32_MAX, .scale = 0}; /* nothing is kept */
    const double below = ceil((double)rate * 0x1p32);
    return (drop){.below = below < 0x1p32 ? (uint32_t)below : UINT32_MAX, .scale = 1 / (1 - rate)};
}

void K(dropout_fwd)(real *y, const real *x, const real *rate, const int *key, const int *tick,
                    int site, int runs, int batch, long cols) {
    uint32_t bits[ELEMENTS];
    for (long r = 0; r < runs; r++) {
        const drop d = drop_of(rate[r], tick);
        for (long b = 0; b < batch; b++) {
            const long at = (r * batch + b) * cols;
            if (d.off) {
                memcpy(y + at, x + at, sizeof(real) * (size_t)cols);
                continue;
            }
            for (long c0 = 0; c0 < cols; c0 += ELEMENTS) {
                const long n = cols - c0 < ELEMENTS ? cols - c0 : ELEMENTS;
                const real *from = x + at + c0;
                real *to = y + at + c0;
                mask_bits(bits, (uint32_t)(c0 / 4), (uint32_t)(tick[1] + b), key + 2 * r, tick,
                          site);
                SIMD for (long i = 0; i < n; i++) to[i] =
                    bits[i] >= d.below ? from[i] * d.scale : 0;
            }
        }
    }
}

void K(dropout_bwd)(real *dx, const real *dy, const real *rate, const int *key, const int *tick,
                    int site, int runs, int batch, long cols) {
    uint32_t bits[ELEMENTS];
    if (!dx) return;
    for (long r = 0; r < runs; r++) {
        const drop d = drop_of(rate[r], tick);
        for (long b = 0; b < batch; b++) {
            const long at = (r * batch + b) * cols;
            for (long c0 = 0; c0 < cols; c0 += ELEMENTS) {
                const long n = cols - c0 < ELEMENTS ? cols - c0 : ELEMENTS;
                const real *from = dy + at + c0;
                real *to = dx + at + c0;
                if (d.off) {
                    SIMD for (long i = 0; i < n; i++) to[i] += from[i];
                    continue;
                }
                mask_bits(bits, (uint32_t)(c0 / 4), (uint32_t)(tick[1] + b), key + 2 * r, tick,
                          site);
                SIMD for (long i = 0; i < n; i++) to[i] +=
                    bits[i] >= d.below ? from[i] * d.scale : 0;
            }
        }
    }
}
