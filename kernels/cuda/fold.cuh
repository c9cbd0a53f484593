/* fold.cuh - the second stage of sums over rows: partial sums to gradients, in a fixed order.
 *
 * A kernel that sums over positions leaves one row of partial sums per chunk of positions; here the
 * rows of a run are added up and the result is added to the gradient. The order follows from the
 * number of chunks alone: slice s of a block takes chunks s, s + slices, ..., then the slices are
 * added in order. Both gradients of an op take one launch, which is what small problems wait for.
 * Reads every partial sum once, a warp reads 128 consecutive bytes. */
#pragma once
#include "port.cuh"

/* Partial sums of all runs, [R, chunks, first + second]; a chunk's sums for two gradients. */
struct partial {
    const float *sum;
    int runs;
    long chunks, first, second;
};

namespace {

enum { FOLD_COLS = 32, FOLD_FEW = 8, FOLD_MANY = 32, FOLD_SHORT = 64 };

/* Block (FOLD_COLS, slices); grid (column blocks, R). */
__global__ void __launch_bounds__(FOLD_COLS *FOLD_MANY)
    fold_partials(float *a, float *b, partial p) {
    DYN_SHARED(float, slice); /* [slices, FOLD_COLS] */
    const long width = p.first + p.second, run = blockIdx.y;
    const long c = (long)blockIdx.x * FOLD_COLS + threadIdx.x;
    const long chunks = c < width && (c < p.first ? a : b) ? p.chunks : 0;
    const float *from = p.sum + run * p.chunks * width + c;
    float sum = 0;
    for (long i = threadIdx.y; i < chunks; i += blockDim.y) sum += from[i * width];
    slice[threadIdx.y * FOLD_COLS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || !chunks) return;
    sum = 0;
    for (unsigned s = 0; s < blockDim.y; s++) sum += slice[s * FOLD_COLS + threadIdx.x];
    if (c < p.first)
        a[run * p.first + c] += sum;
    else
        b[run * p.second + c - p.first] += sum;
}

} // namespace

/* a [R, first] and b [R, second] += sums over chunks; either may be NULL. */
static inline void fold_launch(float *a, float *b, const partial &p) {
    if (!a && !b) return;
    const unsigned slices = p.chunks < FOLD_SHORT ? FOLD_FEW : FOLD_MANY;
    LAUNCH(fold_partials, dim3(blocks_of(p.first + p.second, FOLD_COLS), (unsigned)p.runs),
           dim3(FOLD_COLS, slices), slices * FOLD_COLS * sizeof(float), a, b, p);
}
