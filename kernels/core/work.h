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

/* Two score tiles and the gathered or accumulated rows of one tile of q, k, v, o. */
static inline size_t attention_work(int dim) {
    return 2 * (size_t)ATTENTION_TILE * ATTENTION_TILE +
           8 * (size_t)ATTENTION_TILE * ((size_t)dim + 2);
}
