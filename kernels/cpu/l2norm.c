/* l2norm.c - groups of channels scaled to unit length; see kernels.def.
 *
 * With s = 1 / sqrt(sum x^2 + eps): dx = s dy - s^3 (x . dy) x. */
#include "cpu.h"

void K(l2norm_fwd)(real *y, real *rnorm, const real *x, long rows, int cols, double eps) {
    for (long row = 0; row < rows; row++) {
        const real *xr = x + row * cols;
        real *yr = y + row * cols, sum = 0;
        SIMD_SUM(sum) for (int c = 0; c < cols; c++) sum += xr[c] * xr[c];
        const real s = 1 / real_sqrt(sum + (real)eps);
        rnorm[row] = s;
        SIMD for (int c = 0; c < cols; c++) yr[c] = xr[c] * s;
    }
}

void K(l2norm_bwd)(real *dx, const real *dy, const real *x, const real *rnorm, long rows,
                   int cols) {
    if (!dx) return;
    for (long row = 0; row < rows; row++) {
        const real *xr = x + row * cols, *dyr = dy + row * cols;
        real *dxr = dx + row * cols, dot = 0;
        SIMD_SUM(dot) for (int c = 0; c < cols; c++) dot += xr[c] * dyr[c];
        const real s = rnorm[row], pull = s * s * dot; /* part of dy along x, over |x|^2 */
        SIMD for (int c = 0; c < cols; c++) dxr[c] += s * (dyr[c] - pull * xr[c]);
    }
}
