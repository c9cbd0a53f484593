/* work.h - scratch that kernels ask for, in reals; the same for every build, so that the memory
 * plan does not depend on the instruction set. */
#pragma once
#include <stddef.h>

/* head_fwd and head_bwd take HEAD_TILE scored rows at a time and HEAD_BLOCK words of the
 * vocabulary: the larger the tile, the fewer times w and dw are streamed through the caches. Bits
 * depend on both. HEAD_LANES: a tile is padded to whole vectors of any build. */
enum { HEAD_TILE = 64, HEAD_BLOCK = 256, HEAD_LANES = 16 };

static inline int head_width(int rows) {
    int tile = rows < HEAD_TILE ? rows : HEAD_TILE;
    return (tile + HEAD_LANES - 1) / HEAD_LANES * HEAD_LANES;
}

static inline int head_blocks(int vocab) { return (vocab + HEAD_BLOCK - 1) / HEAD_BLOCK; }

/* A tile of logits, the top of each row in each block, the tile's rows of x and their gradients. */
static inline size_t head_work(int rows, int cols, int vocab) {
    return (size_t)head_width(rows) *
           ((size_t)vocab + (size_t)head_blocks(vocab) + 2 * (size_t)cols);
}

enum { ATTENTION_TILE = 64 }; /* queries and keys of a tile; own constant: bits depend on it */

/* Channels of a head as kernels pad them: whole vectors of every build. */
static inline long attention_padded(int dim) { return (dim + 15) / 16 * 16; }

/* Two score tiles, eight tiles of rows, and four numbers per query. */
static inline size_t attention_work(int dim) {
    return ATTENTION_TILE * (2 * ATTENTION_TILE + 8 * (size_t)attention_padded(dim) + 4);
}

/* Blocks that cover a sequence; landmarks and gates of a query. */
static inline int block_count(int time, int length) { return (time + length - 1) / length; }

/* One number per block. */
static inline size_t landmark_work(int time, int length) {
    return (size_t)block_count(time, length);
}

enum { BLOCKATTEND_MAX_DIM = 1024 };

/* Weight and score of every key. */
static inline size_t blockattend_work(int time) { return 2 * (size_t)time; }

/* How the state of linear attention fades (gla in kernels.def). */
enum gla_decay {
    GLA_NONE,   /* it does not */
    GLA_RETNET, /* head h by 1 - 2^(-5-h) each step (Sun et al. 2023) */
    GLA_HEAD,   /* by e^g, g per head and token */
    GLA_CHANNEL /* by e^g, g per key channel and token */
};
enum { GLA_MAX_KEY = 1024 };
enum { TAYLOR_MAX_DIM = 31 }; /* 1 + d + d^2 <= GLA_MAX_KEY */

/* Linear attention on a CPU: tokens of a chunk, whose pairs are taken directly; values of so few
 * channels go token by token. Bits depend on both. */
enum { GLA_CHUNK = 32, GLA_NARROW = 4 };

/* Channels as kernels pad them: whole vectors of every build. */
static inline long gla_padded(long n) { return (n + 15) / 16 * 16; }

/* The state twice, 12 tiles of keys, 3 of values, scores twice, a transposed tile, some rows, and
 * what backward keeps per token and key channel. */
static inline size_t gla_work(int time, int key, int value) {
    const size_t k = (size_t)gla_padded(key), v = (size_t)gla_padded(value), c = GLA_CHUNK;
    return 2 * k * v + 12 * c * k + 3 * c * v + 2 * c * (c + 16) + (k > v ? k : v) * (c + 16) +
           (8 + 2) * k + ((size_t)time + c - 1) / c * c * k;
}

enum { DELTA_CHUNK = 16 };     /* tokens of the delta rule solved at once; bits depend on it */
enum { DELTA_MAX_KEY = 1024 }; /* a GPU holds a column of the state in a warp's registers */

/* A state per chunk, the errors, and of one chunk: four tiles of rows of keys and of values, four
 * of scores, decays and betas. Rows are whole vectors; forward needs less. */
static inline size_t delta_work(int time, int key, int value) {
    const size_t chunks = (size_t)block_count(time, DELTA_CHUNK), n = DELTA_CHUNK;
    const size_t keys = (size_t)attention_padded(key), values = (size_t)attention_padded(value);
    return chunks * ((size_t)key * (size_t)value + n * values) + 4 * n * (keys + values) +
           n * (5 * n + 2);
}

/* The scan on a CPU: tokens whose states are kept at once in backward; channels taken together. */
enum { SCAN_CHUNK = 64, SCAN_LANES = 16 };

/* Tokens of a chunk; forward has one. */
static inline long scan_kept(int time) { return time < SCAN_CHUNK ? time : SCAN_CHUNK; }

/* Of SCAN_LANES channels: rates, the state, da, a state at the start of each chunk, decays and
 * states of a chunk's tokens, and two tiles to be summed; room for alignment. */
static inline size_t scan_work(int time, int state) {
    const size_t rows = 3 + (size_t)block_count(time, SCAN_CHUNK) + 2 * (size_t)scan_kept(time);
    return SCAN_LANES * (rows * (size_t)state + 2 * (size_t)attention_padded(state) + 1);
}

/* Numerator, denominator, their derivatives, and two exponents, per channel. */
static inline size_t wkv_work(int cols) { return 6 * (size_t)cols; }

enum { RANKCONV_BAND = 48 }; /* tokens whose dtaps are held at once; bits depend on it */

/* u thrice, by vectors of channels; dtaps and dz of a band; the last columns of a sequence thrice.
 * Padded to vectors of any build. */
static inline size_t rankconv_work(int time, int cols, int width, int rank) {
    const size_t pad = 16, codes = ((size_t)rank + pad - 1) / pad * pad;
    const size_t channels = ((size_t)cols + pad - 1) / pad * pad;
    return 3 * (codes + 1) * (size_t)width * channels + RANKCONV_BAND * (4 * pad + codes) +
           3 * ((size_t)time + pad) * pad;
}

/* Taps in another order, and their gradients. */
static inline size_t mixconv_work(int heads, int width) {
    return 2 * (size_t)width * (size_t)heads * (size_t)heads;
}

enum { MOST_EXPERTS = 256 };

/* Sorted places and where each expert begins, as ints; rows of x or dy by expert; h, da, db. */
static inline size_t experts_work(int places, int experts, int cols, int inner) {
    return (size_t)experts + 1 + (size_t)places * (1 + (size_t)cols + 3 * (size_t)inner);
}

enum { FFT_LANES = 16 }; /* channels that are transformed at once; bits depend on it */

/* The least 2, 3, 4 or 6 times a power of 4 that is not below `rows`. */
static inline long fft_length(long rows) {
    for (long power = 1;; power *= 4) {
        if (2 * power >= rows) return 2 * power;
        if (3 * power >= rows) return 3 * power;
        if (4 * power >= rows) return 4 * power;
        if (6 * power >= rows) return 6 * power;
    }
}

/* Twiddles of a transform of that length. */
static inline size_t fft_table(long length) { return 2 * (size_t)length; }

/* Whether a CPU applies a filter by its transform: one per channel, and more products of the direct
 * form than 9 N log2 N, where both took the same time (N from 96 to 2048, 1 to 4 sequences). */
static inline int conv_transforms(int time, int width, int cols, int groups, int dilation) {
    const long lags = width < time ? width : time, length = fft_length(time);
    long log2_length = 0;
    for (long n = length; n > 1; n /= 2) log2_length++;
    return groups == cols && dilation == 1 &&
           lags * (2L * time - lags + 1) / 2 > 9 * length * log2_length;
}

/* Four transforms of FFT_LANES channels, and twiddles. */
static inline size_t conv_work(int time, int width, int cols, int groups, int dilation) {
    if (!conv_transforms(time, width, cols, groups, dilation)) return 0;
    const long length = fft_length(time);
    return 4 * 2 * FFT_LANES * (size_t)length + fft_table(length);
}
