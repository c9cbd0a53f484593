/* blocks.h - sizes that the kernels of block attention share (landmark, blockattend). */
#pragma once
#include "cpu.h"
#include "kernels/core/work.h"

typedef struct block_shape {
    long time, heads, dim, block, blocks, row; /* row: channels of all heads */
    real scale;
} block_shape;

/* scale 0: 1 / sqrt(dim). */
static inline block_shape block_shape_make(int time, int heads, int dim, int block, double scale) {
    return (block_shape){time,
                         heads,
                         dim,
                         block,
                         block_count(time, block),
                         (long)heads * dim,
                         (real)(scale != 0 ? scale : 1 / sqrt(dim))};
}
