/* tile.h - products and transposes of small packed tiles, for kernels that work in cache.
 *
 * A tile is a row-major array whose rows, columns and stride are multiples of TILE_PAD, padded with
 * zeros, so that no loop here has a remainder: callers round ranges outwards and ignore what comes
 * out for the padding. Written with the compiler's vector type, as accumulators must stay in
 * registers: per step of the inner dimension VECS loads and STRIP broadcasts feed VECS * STRIP
 * multiply-adds. Unlike gemm nothing is packed and the caller picks the ranges, which is what
 * makes skipping the masked half of causal products possible. */
#pragma once
#include "cpu.h"

#include <stdbool.h>

#ifdef __AVX512F__
#    define TILE_BYTES 64
enum { STRIP = 8 }; /* rows of a product computed together */
#else
#    define TILE_BYTES 32
enum { STRIP = 4 };
#endif
enum { TILE_LANES = TILE_BYTES / sizeof(real), TILE_PAD = 16 };
_Static_assert(TILE_LANES % STRIP == 0 && TILE_PAD % TILE_LANES == 0,
               "ranges could not be rounded outwards");

typedef real vec __attribute__((vector_size(TILE_BYTES), may_alias, aligned(sizeof(real))));

static inline long round_down(long n, long to) { return n / to * to; }
static inline long round_up(long n, long to) { return (n + to - 1) / to * to; }

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* c[0:STRIP, 0:vecs TILE_LANES] (+)= a b with `inner` terms, in order. */
ALWAYS_INLINE void strip_block(real *c, long c_row, const real *a, long a_row, long a_col,
                               const real *b, long b_row, long inner, int vecs, bool add) {
    vec sum[STRIP][2];
    for (int i = 0; i < STRIP; i++)
        for (int v = 0; v < vecs; v++)
            sum[i][v] = add ? *(const vec *)(c + i * c_row + v * TILE_LANES) : (vec){0};
    for (long k = 0; k < inner; k++) {
        vec row[2];
        for (int v = 0; v < vecs; v++) row[v] = *(const vec *)(b + k * b_row + v * TILE_LANES);
        for (int i = 0; i < STRIP; i++)
            for (int v = 0; v < vecs; v++) sum[i][v] += a[i * a_row + k * a_col] * row[v];
    }
    for (int i = 0; i < STRIP; i++)
        for (int v = 0; v < vecs; v++) *(vec *)(c + i * c_row + v * TILE_LANES) = sum[i][v];
}

ALWAYS_INLINE void strip_cols(real *c, long c_row, const real *a, long a_row, long a_col,
                              const real *b, long b_row, long cols, long inner, bool add) {
    long j = 0;
    for (; j + 2 * TILE_LANES <= cols; j += 2 * TILE_LANES)
        strip_block(c + j, c_row, a, a_row, a_col, b + j, b_row, inner, 2, add);
    if (j < cols) strip_block(c + j, c_row, a, a_row, a_col, b + j, b_row, inner, 1, add);
}

/* STRIP rows of c = a b: c [STRIP, cols], element (i,k) of a at a[i a_row + k a_col], b [inner,
 * cols]. cols is a multiple of TILE_LANES, inner is any number. c overlaps neither a nor b. */
static inline void strip_product(real *c, long c_row, const real *a, long a_row, long a_col,
                                 const real *b, long b_row, long cols, long inner) {
    strip_cols(c, c_row, a, a_row, a_col, b, b_row, cols, inner, false);
}

/* The same, added to c. */
static inline void strip_product_add(real *c, long c_row, const real *a, long a_row, long a_col,
                                     const real *b, long b_row, long cols, long inner) {
    strip_cols(c, c_row, a, a_row, a_col, b, b_row, cols, inner, true);
}

/* tile [round_up(rows), padded] = scale x[rows, cols], zero elsewhere. x has stride x_row. Kept out
 * of line and uncloned: where scale is known to be 1, the loop would become a memcpy call per row.
 */
static __attribute__((noinline, noclone)) void tile_gather(real *restrict tile, long padded,
                                                           const real *restrict x, long x_row,
                                                           long rows, long cols, real scale) {
    const long end = round_up(rows, TILE_PAD);
    for (long i = 0; i < end; i++) {
        const long n = i < rows ? cols : 0;
        SIMD for (long c = 0; c < n; c++) tile[i * padded + c] = x[i * x_row + c] * scale;
        for (long c = n; c < padded; c++) tile[i * padded + c] = 0;
    }
}

/* x[rows, cols] as a tile: x itself where it lies like one already, else gathered into `room`. */
static inline const real *tile_of(real *room, long padded, const real *x, long x_row, long rows,
                                  long cols) {
    if (x_row == padded && cols == padded && rows % TILE_PAD == 0) return x;
    tile_gather(room, padded, x, x_row, rows, cols, 1);
    return room;
}

/* x[rows, cols] += tile. */
static inline void tile_scatter_add(real *restrict x, long x_row, const real *restrict tile,
                                    long padded, long rows, long cols) {
    for (long i = 0; i < rows; i++)
        SIMD for (long c = 0; c < cols; c++) x[i * x_row + c] += tile[i * padded + c];
}

#ifdef __clang__ /* the two compilers know different names of one instruction */
#    define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#    define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif
/* Lanes of the vector that alternates between the first (second) halves of two vectors. */
#ifdef REAL_IS_DOUBLE
typedef int64_t lanes __attribute__((vector_size(TILE_BYTES)));
#else
typedef int32_t lanes __attribute__((vector_size(TILE_BYTES)));
#endif
#define PAIR(i) (i), TILE_LANES + (i)
#if defined __AVX512F__ && !defined REAL_IS_DOUBLE
#    define FIRST_HALVES PAIR(0), PAIR(1), PAIR(2), PAIR(3), PAIR(4), PAIR(5), PAIR(6), PAIR(7)
#    define SECOND_HALVES                                                                          \
        PAIR(8), PAIR(9), PAIR(10), PAIR(11), PAIR(12), PAIR(13), PAIR(14), PAIR(15)
#elif defined REAL_IS_DOUBLE && !defined __AVX512F__
#    define FIRST_HALVES  PAIR(0), PAIR(1)
#    define SECOND_HALVES PAIR(2), PAIR(3)
#else
#    define FIRST_HALVES  PAIR(0), PAIR(1), PAIR(2), PAIR(3)
#    define SECOND_HALVES PAIR(4), PAIR(5), PAIR(6), PAIR(7)
#endif

/* turned [cols, turned_row] = the transpose of tile [rows, padded], both sides rounded up to
 * vectors. Blocks of TILE_LANES x TILE_LANES: interleaving row i with row i + TILE_LANES / 2
 * rotates the bits of (row, lane) by one place, so log2(TILE_LANES) rounds exchange row and lane.
 */
static inline void tile_transpose(real *restrict turned, long turned_row, const real *restrict tile,
                                  long padded, long rows, long cols) {
    for (long i0 = 0; i0 < rows; i0 += TILE_LANES)
        for (long c0 = 0; c0 < cols; c0 += TILE_LANES) {
            vec a[TILE_LANES], b[TILE_LANES];
#pragma GCC unroll 16
            for (int i = 0; i < TILE_LANES; i++)
                a[i] = *(const vec *)(tile + (i0 + i) * padded + c0);
#pragma GCC unroll 4
            for (int round = 1; round < TILE_LANES; round *= 2) {
#pragma GCC unroll 8
                for (int i = 0; i < TILE_LANES / 2; i++) {
                    b[2 * i] = SHUFFLE(a[i], a[i + TILE_LANES / 2], FIRST_HALVES);
                    b[2 * i + 1] = SHUFFLE(a[i], a[i + TILE_LANES / 2], SECOND_HALVES);
                }
#pragma GCC unroll 16
                for (int i = 0; i < TILE_LANES; i++) a[i] = b[i];
            }
#pragma GCC unroll 16
            for (int i = 0; i < TILE_LANES; i++)
                *(vec *)(turned + (c0 + i) * turned_row + i0) = a[i];
        }
}
