/* dropout.c - inverted dropout with a counter-based mask; see kernels.def.
 *
 * Four consecutive elements share one Philox4x32-10 block (core/rng.h) with the counter
 * {element / 4 within the example, example, step, site}: the mask can be made anywhere, in any
 * order, and backward makes it again instead of storing it.
 *
 * Blocks are worked on side by side, one per 64-bit lane whose low half holds the word. Compilers
 * do not find the 32 x 32 -> 64 product of such lanes, so it is the one intrinsic of this file; it
 * ignores the high halves, hence nothing is masked before the end. */
#include "cpu.h"

#include <immintrin.h>
#include <stdbool.h>

#if defined __AVX512F__
typedef uint64_t lanes __attribute__((vector_size(64)));
static inline lanes product(lanes a, lanes b) {
    return (lanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
#elif defined __AVX2__
typedef uint64_t lanes __attribute__((vector_size(32)));
static inline lanes product(lanes a, lanes b) {
    return (lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#else
typedef uint64_t lanes __attribute__((vector_size(16)));
static inline lanes product(lanes a, lanes b) {
    return (lanes)_mm_mul_epu32((__m128i)a, (__m128i)b);
}
#endif

enum { BLOCKS = 64, ELEMENTS = 4 * BLOCKS, LANES = sizeof(lanes) / 8 };

/* bits[4i + j] = word j of block first + i of one example. */
static void mask_bits(uint32_t bits[ELEMENTS], uint32_t first, uint32_t example, const int *key,
                      const int *tick, int site) {
    const lanes zero = {0}, low = zero + 0xFFFFFFFFu;
    uint64_t counter[BLOCKS], pair[2][BLOCKS]; /* words 0 and 1, words 2 and 3 */
    for (uint32_t i = 0; i < BLOCKS; i++) counter[i] = first + i;
    for (int i = 0; i < BLOCKS; i += LANES) {
        lanes c0, c1 = zero + example, c2 = zero + (uint32_t)tick[0], c3 = zero + (uint32_t)site;
        lanes k0 = zero + (uint32_t)key[0], k1 = zero + (uint32_t)key[1];
        memcpy(&c0, counter + i, sizeof c0);
        for (int round = 0; round < 10; round++) {
            const lanes p0 = product(c0, zero + 0xD2511F53u), p1 = product(c2, zero + 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        c0 = (c0 & low) | c1 << 32;
        c2 = (c2 & low) | c3 << 32;
        memcpy(pair[0] + i, &c0, sizeof c0);
        memcpy(pair[1] + i, &c2, sizeof c2);
    }
    uint64_t both[2 * BLOCKS]; /* little-endian, as every processor of these builds */
    SIMD for (long i = 0; i < BLOCKS; i++) both[2 * i] = pair[0][i], both[2 * i + 1] = pair[1][i];
    memcpy(bits, both, sizeof both);
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
