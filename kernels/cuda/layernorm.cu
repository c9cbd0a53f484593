/* layernorm.cu - y = (x - mean) rstd w + bias; see kernels.def and norm.cuh.
 *
 * The variance is summed about the mean, from registers: the one-pass form cancels. */
#include "norm.cuh"

void K(layernorm_fwd)(real *y, real *stats, const real *x, const real *w, const real *bias,
                      int runs, int rows, int cols, double eps) {
    norm_fwd<true>(y, stats, x, w, bias, {runs, rows, cols, (float)cols, (float)eps});
}

void K(layernorm_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                      const real *stats, int runs, int rows, int cols) {
    norm_bwd<true>(dx, dw, dbias, dy, x, w, stats, {runs, rows, cols, (float)cols, 0});
}
