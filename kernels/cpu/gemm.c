/* gemm.c - register-tiled matrix product; the contract is in gemm.h.
 *
 * c is cut into panels of PANEL columns (two vectors), k into blocks of at most BLOCK, rows into
 * strips of at most STRIP. A tile (strip x panel) keeps its sums in registers over one block of k:
 * per k two loads from b, and per row one broadcast from a and two multiply-adds. Both are read
 * where they lie: a broadcast does not care for strides, and copying a panel of b whose rows are
 * contiguous did not pay on shapes of up to 1024 (see bench/gemm_bench.c). Only where columns of b
 * run along k, and at the ragged last panel, the block is transposed or padded into a buffer of at
 * most 32 KiB.
 *
 * Strips are evened out (64 rows are 13+13+13+13+12, not 4*14+8), for a thin tile waits for its own
 * multiply-adds. The last columns go through a buffer of one tile and are stored under a mask.
 *
 * Every element is summed the same way, one multiply-add per k within a block, then the blocks in
 * order; so neither strips, panels nor copies reach the bits.
 * Cost: 2 rows cols inner flops. Not meant for matrices beyond L2: a is not blocked over rows. */
#include "gemm.h"

#include <stdbool.h>

#if !defined REAL_IS_DOUBLE && (defined __AVX512F__ || defined __AVX__)
#    include <immintrin.h>
#endif

#if defined REAL_IS_DOUBLE /* 8 sums, 2 of b, 1 of a, 2 products in 16 registers: no FMA here */
#    define VECTOR_BYTES 16
#    define STRIP        4
#elif defined __AVX512F__ /* 28 sums, 2 of b, 1 of a in 32 registers */
#    define VECTOR_BYTES 64
#    define STRIP        14
#else /* 12 sums, 2 of b, 1 of a in 16 registers */
#    define VECTOR_BYTES 32
#    define STRIP        6
#endif
enum { LANES = VECTOR_BYTES / sizeof(real), PANEL = 2 * LANES, BLOCK = 256 };

typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vector load(const real *p) { return *(const vector *)p; }
INLINE void store(real *p, vector v) { *(vector *)p = v; }

/* The first n of a vector, 0 < n <= LANES; lanes past n are neither read nor written in memory. */
#if defined REAL_IS_DOUBLE
INLINE vector load_part(const real *p, int n) { return n < LANES ? (vector){p[0]} : load(p); }
INLINE void store_part(real *p, vector v, int n) {
    if (n < LANES)
        p[0] = v[0];
    else
        store(p, v);
}
#elif defined __AVX512F__
INLINE __mmask16 first(int n) { return (__mmask16)((1u << n) - 1); }
INLINE vector load_part(const real *p, int n) { return (vector)_mm512_maskz_loadu_ps(first(n), p); }
INLINE void store_part(real *p, vector v, int n) { _mm512_mask_storeu_ps(p, first(n), (__m512)v); }
#else
INLINE __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vector load_part(const real *p, int n) { return (vector)_mm256_maskload_ps(p, first(n)); }
INLINE void store_part(real *p, vector v, int n) { _mm256_maskstore_ps(p, first(n), (__m256)v); }
#endif

/* One tile: c = (from ? from : 0) + a b over one block of k, for `rows` rows and `vectors` vectors
 * of columns, both known to the compiler. b is [inner, b_row]. */
INLINE void tile(int rows, int vectors, int inner, const real *a, long a_row, long a_col,
                 const real *b, long b_row, const real *from, long from_row, real *c, long c_row) {
    vector sum[STRIP][2] = {0};
    /* Rows in threes: p, p + s, p + 2s are one register and two addressing modes, so that 14 rows
     * need 5 pointers; the empty asm keeps the compiler from making 14. */
    const real *p[(STRIP + 2) / 3];
    UNROLL for (int g = 0; g < (rows + 2) / 3; g++) p[g] = a + 3 * g * a_row;
    for (int k = 0; k < inner; k++) {
        vector b0 = load(b), b1 = vectors > 1 ? load(b + LANES) : b0;
        UNROLL for (int i = 0; i < rows; i++) {
            real x = p[i / 3][i % 3 * a_row];
            sum[i][0] += x * b0;
            if (vectors > 1) sum[i][1] += x * b1;
        }
        b += b_row;
        UNROLL for (int g = 0; g < (rows + 2) / 3; g++) {
            p[g] += a_col;
            __asm__("" : "+r"(p[g]));
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            if (from) sum[i][v] += load(from + i * from_row + v * LANES);
            store(c + i * c_row + v * LANES, sum[i][v]);
        }
    }
}

typedef void tile_function(int inner, const real *a, long a_row, long a_col, const real *b,
                           long b_row, const real *from, long from_row, real *c, long c_row);

#define TILE(rows, vectors)                                                                        \
    static void tile_##rows##_##vectors(int inner, const real *a, long a_row, long a_col,          \
                                        const real *b, long b_row, const real *from,               \
                                        long from_row, real *c, long c_row) {                      \
        tile(rows, vectors, inner, a, a_row, a_col, b, b_row, from, from_row, c, c_row);           \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define ENTRY(rows) {tile_##rows##_1, tile_##rows##_2},
#define UP_TO_4(X)  X(1) X(2) X(3) X(4)
#define UP_TO_6(X)  UP_TO_4(X) X(5) X(6)
#define UP_TO_14(X) UP_TO_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)

#define EVERY_STRIP KERNEL_PASTE(UP_TO, STRIP)

EVERY_STRIP(TILES)
static tile_function *const tiles[STRIP][2] = {EVERY_STRIP(ENTRY)};

/* 4 k of LANES columns that lie along k: to[k * PANEL + j] = from[j][at + k]. */
#if defined REAL_IS_DOUBLE
INLINE void transpose(real *to, const real *const from[LANES], long at) {
    for (int k = 0; k < 4; k++)
        for (int j = 0; j < LANES; j++) to[k * PANEL + j] = from[j][at + k];
}
#else
#    if defined __AVX512F__
#        define MM(name) _mm512_##name
INLINE __m512 gather(const real *const from[], long at) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(from[0] + at));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from[4] + at), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from[8] + at), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(from[12] + at), 3);
}
#    else
#        define MM(name) _mm256_##name
INLINE __m256 gather(const real *const from[], long at) {
    __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(from[0] + at));
    return _mm256_insertf128_ps(v, _mm_loadu_ps(from[4] + at), 1);
}
#    endif
/* Every 128-bit lane is a 4 x 4 transpose of its own: 8 shuffles for 4 LANES elements. */
INLINE void transpose(real *to, const real *const from[LANES], long at) {
    vector c0 = (vector)gather(from, at), c1 = (vector)gather(from + 1, at);
    vector c2 = (vector)gather(from + 2, at), c3 = (vector)gather(from + 3, at);
    vector low01 = MM(unpacklo_ps)(c0, c1), high01 = MM(unpackhi_ps)(c0, c1);
    vector low23 = MM(unpacklo_ps)(c2, c3), high23 = MM(unpackhi_ps)(c2, c3);
    store(to, MM(shuffle_ps)(low01, low23, 0x44));
    store(to + PANEL, MM(shuffle_ps)(low01, low23, 0xee));
    store(to + 2 * PANEL, MM(shuffle_ps)(high01, high23, 0x44));
    store(to + 3 * PANEL, MM(shuffle_ps)(high01, high23, 0xee));
}
#endif

/* Copies one vector of columns of b, `inner` deep, to panel [inner, PANEL]. Only n columns exist;
 * the lanes past n hold copies of column n - 1 or 0, and their sums are thrown away. */
static void pack(real *panel, int inner, int n, const real *b, long b_row, long b_col) {
    if (b_col == 1) {
        if (n == LANES)
            for (long k = 0; k < inner; k++) store(panel + k * PANEL, load(b + k * b_row));
        else
            for (long k = 0; k < inner; k++) store(panel + k * PANEL, load_part(b + k * b_row, n));
        return;
    }
    const real *column[LANES];
    for (int j = 0; j < LANES; j++) column[j] = b + (j < n ? j : n - 1) * b_col;
    long k = 0;
    if (b_row == 1)
        for (; k + 4 <= inner; k += 4) transpose(panel + k * PANEL, column, k);
    for (; k < inner; k++)
        for (int j = 0; j < LANES; j++) panel[k * PANEL + j] = column[j][k * b_row];
}

/* c = (from ? from : 0) + the first n columns of part, a tile of `rows` rows. */
static void put_edge(real *c, long c_row, const real *part, const real *from, long from_row,
                     int rows, int n) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n; j += LANES) {
            int width = n - j < LANES ? n - j : LANES;
            vector v = load(part + i * PANEL + j);
            if (from) v += load_part(from + i * from_row + j, width);
            store_part(c + i * c_row + j, v, width);
        }
}

/* c = (from ? from : 0) + a b over one block of k and one panel of n <= PANEL columns. */
static void panel_product(int rows, int n, int inner, const real *a, long a_row, long a_col,
                          const real *b, long b_row, long b_col, const real *from, long from_row,
                          real *c, long c_row) {
    real panel[BLOCK * PANEL] __attribute__((aligned(64))); /* [inner, PANEL] */
    real part[STRIP * PANEL] __attribute__((aligned(64)));  /* [STRIP, PANEL] */
    int vectors = n > LANES ? 2 : 1, strips = (rows + STRIP - 1) / STRIP;
    bool whole = n == vectors * LANES;
    if (!whole || b_col != 1) {
        for (int j = 0; j < n; j += LANES)
            pack(panel + j, inner, n - j < LANES ? n - j : LANES, b + j * b_col, b_row, b_col);
        b = panel;
        b_row = PANEL;
    }
    int height = rows / strips, taller = rows % strips; /* the first `taller` have one row more */
    for (int s = 0; s < strips; s++) {
        int m = height + (s < taller);
        tile_function *product = tiles[m - 1][vectors - 1];
        if (whole) {
            product(inner, a, a_row, a_col, b, b_row, from, from_row, c, c_row);
        } else {
            product(inner, a, a_row, a_col, b, b_row, NULL, 0, part, PANEL);
            put_edge(c, c_row, part, from, from_row, m, n);
        }
        a += m * a_row;
        c += m * c_row;
        if (from) from += m * from_row;
    }
}

/* c = (from ? from : 0) + a b, all of it; from_row 0: one row for all. */
static void product_from(int rows, int cols, int inner, const real *a, long a_row, long a_col,
                         const real *b, long b_row, long b_col, const real *from, long from_row,
                         real *c, long c_row) {
    int blocks = inner > BLOCK ? (inner + BLOCK - 1) / BLOCK : 1;
    int depth = ((inner + blocks - 1) / blocks + 3) / 4 * 4;
    if (rows <= 0) return;
    for (int k = 0;; k += depth) {
        int left = inner - k;
        for (long j = 0; j < cols; j += PANEL)
            panel_product(rows, cols - j < PANEL ? (int)(cols - j) : PANEL,
                          left < depth ? left : depth, a + k * a_col, a_row, a_col,
                          b + k * b_row + j * b_col, b_row, b_col, from ? from + j : NULL, from_row,
                          c + j, c_row);
        if (left <= depth) return;
        from = c;
        from_row = c_row;
    }
}

void gemm(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
          long b_row, long b_col, real *c, long c_row, int accumulate) {
    product_from(rows, cols, inner, a, a_row, a_col, b, b_row, b_col, accumulate ? c : NULL, c_row,
                 c, c_row);
}

void gemm_bias(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
               long b_row, long b_col, real *c, long c_row, const real *from) {
    product_from(rows, cols, inner, a, a_row, a_col, b, b_row, b_col, from, 0, c, c_row);
}
