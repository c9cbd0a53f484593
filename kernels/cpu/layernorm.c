/* layernorm.c - y = (x - mean) rstd w + bias; see kernels.def.
 *
 * The variance is summed about the mean (a second pass over the row, which is in L1): the one-pass
 * form cancels. With u = dy w and z = (x - mean) rstd:
 * dx = rstd (u - mean(u) - z mean(u z)), dw = sum over rows of dy z, dbias = sum over rows of dy.
 */
#include "cpu.h"

void K(layernorm_fwd)(real *y, real *stats, const real *x, const real *w, const real *bias,
                      int runs, int rows, int cols, double eps) {
    for (long r = 0; r < runs; r++) {
        const real *wr = w + r * cols, *br = bias + r * cols; /* [cols] */
        for (long i = r * rows; i < (r + 1) * rows; i++) {
            const real *xi = x + i * cols;
            real *yi = y + i * cols, sum = 0, square = 0;
            SIMD_SUM(sum) for (long c = 0; c < cols; c++) sum += xi[c];
            const real mean = sum / (real)cols;
            SIMD_SUM(square)
            for (long c = 0; c < cols; c++) square += (xi[c] - mean) * (xi[c] - mean);
            const real rstd = 1 / real_sqrt(square / (real)cols + (real)eps);
            stats[2 * i] = mean;
            stats[2 * i + 1] = rstd;
            SIMD for (long c = 0; c < cols; c++) yi[c] = (xi[c] - mean) * rstd * wr[c] + br[c];
        }
    }
}

void K(layernorm_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                      const real *stats, int runs, int rows, int cols) {
    for (long r = 0; r < runs; r++) {
        const real *wr = w + r * cols; /* [cols] */
        for (long i = r * rows; i < (r + 1) * rows; i++) {
            const real *xi = x + i * cols, *dyi = dy + i * cols;
            const real mean = stats[2 * i], rstd = stats[2 * i + 1];
            if (dw) {
                real *dwr = dw + r * cols;
                SIMD for (long c = 0; c < cols; c++) dwr[c] += dyi[c] * ((xi[c] - mean) * rstd);
            }
            if (dbias) {
                real *dbr = dbias + r * cols;
                SIMD for (long c = 0; c < cols; c++) dbr[c] += dyi[c];
            }
            if (!dx) continue;
            real *dxi = dx + i * cols, plain = 0, along = 0;
            SIMD_SUM(plain, along) for (long c = 0; c < cols; c++) {
                plain += dyi[c] * wr[c];
                along += dyi[c] * wr[c] * (xi[c] - mean);
            }
            plain /= (real)cols;
            along *= rstd * rstd / (real)cols; /* mean(u z) rstd */
            SIMD for (long c = 0; c < cols; c++) dxi[c] +=
                rstd * (dyi[c] * wr[c] - plain - along * (xi[c] - mean));
        }
    }
}
