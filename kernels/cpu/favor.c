/* favor.c - positive random features; see kernels.def. Backward takes the exponential from y. */
#include "cpu.h"

void K(favor_fwd)(real *y, const real *x, const real *w, int runs, long rows, int dim, int features,
                  double eps) {
    const real shrink = (real)pow(dim, -0.25), share = (real)(1 / sqrt(features)), e = (real)eps;
    for (long i = 0; i < runs * rows; i++) {
        const real *from = x + i * dim, *wr = w + i / rows * features * dim;
        real *to = y + i * features, square = 0;
        SIMD_SUM(square) for (int d = 0; d < dim; d++) square += from[d] * from[d];
        const real half = square * shrink * shrink / 2;
        for (int m = 0; m < features; m++) {
            real dot = 0;
            SIMD_SUM(dot) for (int d = 0; d < dim; d++) dot += from[d] * wr[(long)m * dim + d];
            to[m] = dot * shrink - half;
        }
        SIMD for (int m = 0; m < features; m++) to[m] = share * (real_exp(to[m]) + e);
    }
}

void K(favor_bwd)(real *dx, const real *dy, const real *y, const real *x, const real *w, int runs,
                  long rows, int dim, int features, double eps) {
    if (!dx) return;
    const real shrink = (real)pow(dim, -0.25), floor = (real)(eps / sqrt(features));
    for (long i = 0; i < runs * rows; i++) {
        const real *at = x + i * dim, *wr = w + i / rows * features * dim;
        real *to = dx + i * dim, total = 0;
        for (int m = 0; m < features; m++) {
            const real g = shrink * dy[i * features + m] * (y[i * features + m] - floor);
            total += g;
            SIMD for (int d = 0; d < dim; d++) to[d] += g * wr[(long)m * dim + d];
        }
        total *= shrink;
        SIMD for (int d = 0; d < dim; d++) to[d] -= total * at[d];
    }
}
