/* groupsoftmax.c - softmax of short groups; see kernels.def. */
#include "cpu.h"

void K(groupsoftmax_fwd)(real *y, const real *x, long groups, int dim) {
    for (long g = 0; g < groups; g++) {
        const real *xg = x + g * dim;
        real *yg = y + g * dim, top = xg[0], sum = 0;
        SIMD_MAX(top) for (long d = 0; d < dim; d++) top = xg[d] > top ? xg[d] : top;
        SIMD_SUM(sum) for (long d = 0; d < dim; d++) sum += yg[d] = real_exp(xg[d] - top);
        SIMD for (long d = 0; d < dim; d++) yg[d] /= sum;
    }
}

void K(groupsoftmax_bwd)(real *dx, const real *dy, const real *y, long groups, int dim) {
    if (!dx) return;
    for (long g = 0; g < groups; g++) {
        const real *dyg = dy + g * dim, *yg = y + g * dim;
        real dot = 0;
        SIMD_SUM(dot) for (long d = 0; d < dim; d++) dot += dyg[d] * yg[d];
        SIMD for (long d = 0; d < dim; d++) dx[g * dim + d] += yg[d] * (dyg[d] - dot);
    }
}
