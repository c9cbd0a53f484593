/* rmsnorm.c - y = x rstd w, rstd = 1 / sqrt(mean x^2 + eps); see kernels.def.
 *
 * A row is read two or three times while it is in L1. With u = dy w:
 * dx = rstd u - x rstd^3 mean(u x), dw = sum over rows of dy x rstd. */
#include "cpu.h"

void K(rmsnorm_fwd)(real *y, real *rstd, const real *x, const real *w, int runs, int rows, int cols,
                    double eps) {
    for (long r = 0; r < runs; r++) {
        const real *wr = w + r * cols; /* [cols] */
        for (long i = r * rows; i < (r + 1) * rows; i++) {
            const real *xi = x + i * cols;
            real *yi = y + i * cols, sum = 0;
            SIMD_SUM(sum) for (long c = 0; c < cols; c++) sum += xi[c] * xi[c];
            const real scale = 1 / real_sqrt(sum / (real)cols + (real)eps);
            rstd[i] = scale;
            SIMD for (long c = 0; c < cols; c++) yi[c] = xi[c] * scale * wr[c];
        }
    }
}

void K(rmsnorm_bwd)(real *dx, real *dw, const real *dy, const real *x, const real *w,
                    const real *rstd, int runs, int rows, int cols) {
    for (long r = 0; r < runs; r++) {
        const real *wr = w + r * cols; /* [cols] */
        for (long i = r * rows; i < (r + 1) * rows; i++) {
            const real *xi = x + i * cols, *dyi = dy + i * cols, scale = rstd[i];
            if (dw) {
                real *dwr = dw + r * cols;
                SIMD for (long c = 0; c < cols; c++) dwr[c] += dyi[c] * (xi[c] * scale);
            }
            if (!dx) continue;
            real *dxi = dx + i * cols, sum = 0;
            SIMD_SUM(sum) for (long c = 0; c < cols; c++) sum += dyi[c] * wr[c] * xi[c];
            const real along = sum * scale * scale / (real)cols; /* mean(u x) rstd^2 */
            SIMD for (long c = 0; c < cols; c++) dxi[c] += scale * (dyi[c] * wr[c] - along * xi[c]);
        }
    }
}
