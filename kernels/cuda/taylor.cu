/* taylor.cu - Taylor features; see kernels.def.
 *
 * Memory-bound by the features, 1 + dim + dim^2 numbers per dim of x. Forward: one thread per
 * feature, stores of a warp are consecutive and x comes from the caches. Backward: one warp per
 * group brings the feature gradients into shared memory with consecutive loads, as a channel needs
 * a row and a column of them. Each is read or written once. */
#include "kernels/core/work.h"
#include "port.cuh"
#include "reduce.cuh"

namespace {
enum { THREADS = 256, GROUPS = 4 };

__global__ void __launch_bounds__(THREADS)
    taylor_features(float *y, const float *x, long n, int dim, float first, float second) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x, width = 1 + dim + dim * dim;
    if (i >= n) return;
    const long group = i / width;
    const int e = (int)(i - group * width) - 1;
    x += group * dim;
    float v = 1;
    if (e >= dim)
        v = second * x[(e - dim) / dim] * x[(e - dim) % dim];
    else if (e >= 0)
        v = first * x[e];
    y[i] = v;
}

/* Block (WARP, GROUPS), a warp per group. */
__global__ void __launch_bounds__(WARP *GROUPS)
    taylor_back(float *dx, const float *dy, const float *x, long groups, int dim, float first,
                float second) {
    DYN_SHARED(float, shared); /* [GROUPS, width + dim] */
    const int width = 1 + dim + dim * dim, lane = (int)threadIdx.x;
    const long group = (long)blockIdx.x * GROUPS + threadIdx.y;
    float *grad = shared + threadIdx.y * (width + dim), *own = grad + width;
    if (group < groups) {
        for (int e = lane; e < width; e += WARP) grad[e] = dy[group * width + e];
        if (lane < dim) own[lane] = x[group * dim + lane];
    }
    __syncwarp();
    if (group >= groups || lane >= dim) return;
    const float *square = grad + 1 + dim;
    float sum = 0;
    for (int j = 0; j < dim; j++)
        sum = fmaf(square[lane * dim + j] + square[j * dim + lane], own[j], sum);
    dx[group * dim + lane] += fmaf(second, sum, first * grad[1 + lane]);
}

float first_scale(int dim) { return (float)pow(dim, -0.25); }
float second_scale(int dim) { return (float)(1 / sqrt(2.0 * dim)); }
static_assert(TAYLOR_MAX_DIM <= WARP, "a lane per channel");
} // namespace

void K(taylor_fwd)(real *y, const real *x, long groups, int dim) {
    const long n = groups * (1 + dim + (long)dim * dim);
    LAUNCH(taylor_features, dim3(blocks_of(n, THREADS)), dim3(THREADS), 0, y, x, n, dim,
           first_scale(dim), second_scale(dim));
}

void K(taylor_bwd)(real *dx, const real *dy, const real *x, long groups, int dim) {
    if (!dx) return;
    const size_t shared = GROUPS * (size_t)(1 + 2 * dim + dim * dim) * sizeof(float);
    LAUNCH(taylor_back, dim3(blocks_of(groups, GROUPS)), dim3(WARP, GROUPS), shared, dx, dy, x,
           groups, dim, first_scale(dim), second_scale(dim));
}
