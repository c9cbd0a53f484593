/* work.h - scratch that kernels ask for, in reals; the same for every build, so that the memory
 * plan does not depend on the instruction set. */
#pragma once
#include <stddef.h>

/* Rows of logits that head_fwd and head_bwd hold at a time: at most 1 MiB of floats, 8 to 64. */
static inline int head_tile(int rows, int vocab) {
    int tile = vocab > 0 ? (1 << 18) / vocab : 64;
    tile = tile < 8 ? 8 : tile > 64 ? 64 : tile;
    return tile < rows ? tile : rows;
}

/* A tile of logits, its rows of x, and their gradients. */
static inline size_t head_work(int rows, int cols, int vocab) {
    return (size_t)head_tile(rows, vocab) * ((size_t)vocab + 2 * (size_t)cols);
}

enum { ATTENTION_TILE = 64 }; /* queries and keys of a tile; own constant: bits depend on it */

/* Channels of a head as kernels pad them: whole vectors of every build. */
static inline long attention_padded(int dim) { return (dim + 15) / 16 * 16; }

/* Two score tiles, eight tiles of rows, and four numbers per query. */
static inline size_t attention_work(int dim) {
    return ATTENTION_TILE * (2 * ATTENTION_TILE + 8 * (size_t)attention_padded(dim) + 4);
}
