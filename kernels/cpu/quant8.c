/* quant8.c - activations of 8 bits per token; see kernels.def. Rounds in double in every build, so
 * that all of them round the same way. */
#include "cpu.h"

void K(quant8_fwd)(real *y, const real *x, long rows, int cols, double eps) {
    for (long i = 0; i < rows; i++) {
        const real *from = x + i * cols;
        real *to = y + i * cols, most = 0;
        SIMD_MAX(most) for (long c = 0; c < cols; c++) {
            const real v = from[c] < 0 ? -from[c] : from[c];
            most = v > most ? v : most;
        }
        const double top = (double)most > eps ? (double)most : eps, up = 127 / top, a = top / 127;
        SIMD for (long c = 0; c < cols; c++) to[c] = (real)(a * rint((double)from[c] * up));
    }
}

void K(quant8_bwd)(real *dx, const real *dy, long n) {
    if (dx) SIMD for (long i = 0; i < n; i++) dx[i] += dy[i];
}
