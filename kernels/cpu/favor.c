/* favor.c - positive random features; see kernels.def. Backward takes the exponential from y. The
 * products with the directions, x w^T forward and its gradient times w backward, go by gemm, a run
 * forward and ROWS rows backward at once. Cost 2 rows dim features flops and an exponential per
 * feature. */
#include "gemm.h"

void K(favor_fwd)(real *y, const real *x, const real *w, int runs, long rows, int dim, int features,
                  double eps) {
    const real shrink = (real)pow(dim, -0.25), share = (real)(1 / sqrt(features)), e = (real)eps;
    for (long r = 0; r < runs; r++)
        gemm((int)rows, features, dim, x + r * rows * dim, dim, 1, w + r * features * dim, 1, dim,
             y + r * rows * features, features, 0);
    for (long i = 0; i < runs * rows; i++) {
        const real *from = x + i * dim;
        real *to = y + i * features, square = 0;
        SIMD_SUM(square) for (int d = 0; d < dim; d++) square += from[d] * from[d];
        const real half = square * shrink * shrink / 2;
        SIMD for (int m = 0; m < features; m++) to[m] =
            share * (real_exp(to[m] * shrink - half) + e);
    }
}

enum { ROWS = 16, FEATURES = 256 }; /* gradients of exponents kept at once: 16 KiB in float */

/* dx of `rows` rows by n features; w [n,dim]. Rows of y and dy are `features` apart. */
static void block_back(real *dx, const real *dy, const real *y, const real *x, const real *w,
                       int rows, int n, int dim, long features, real floor) {
    const real shrink = (real)pow(dim, -0.25);
    real g[ROWS * FEATURES];
    for (long i = 0; i < rows; i++) {
        const real *dy_i = dy + i * features, *y_i = y + i * features, *at = x + i * dim;
        real total = 0, *to = dx + i * dim, *gi = g + i * n;
        SIMD_SUM(total) for (int m = 0; m < n; m++) {
            gi[m] = shrink * dy_i[m] * (y_i[m] - floor);
            total += gi[m];
        }
        total *= shrink;
        SIMD for (int d = 0; d < dim; d++) to[d] -= total * at[d];
    }
    gemm(rows, dim, n, g, n, 1, w, dim, 1, dx, dim, 1);
}

void K(favor_bwd)(real *dx, const real *dy, const real *y, const real *x, const real *w, int runs,
                  long rows, int dim, int features, double eps) {
    if (!dx) return;
    const real floor = (real)(eps / sqrt(features));
    for (long r = 0; r < runs; r++)
        for (long i = r * rows; i < (r + 1) * rows; i += ROWS)
            for (int m = 0; m < features; m += FEATURES) {
                const long left = (r + 1) * rows - i, at = i * features + m;
                block_back(dx + i * dim, dy + at, y + at, x + i * dim, w + (r * features + m) * dim,
                           left < ROWS ? (int)left : ROWS,
                           features - m < FEATURES ? features - m : FEATURES, dim, features, floor);
            }
}
