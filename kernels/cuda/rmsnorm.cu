/* rmsnorm.cu - y = x rstd w, rstd = 1 / sqrt(mean x^2 + eps); see kernels.def and norm.cuh. */
#include "norm.cuh"

void K(rmsnorm_fwd)(real *y, real *rstd, const real *x, const real *w, int runs, int rows, int cols,
                    double eps) {
    norm_fwd<false>(y, rstd, x, w, NULL, {runs, rows, cols, (float)cols, (float)eps});
}

void K(rmsnorm_bwd)(real *dx, real *dw, const real *dy, const real *x, const real *w,
                    const real *rstd, int runs, int rows, int cols) {
    norm_bwd<false>(dx, dw, NULL, dy, x, w, rstd, {runs, rows, cols, (float)cols, 0});
}
