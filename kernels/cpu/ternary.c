/* ternary.c - weights of three values; see kernels.def. The mean and the rounding are computed in
 * double by every build, so that all of them round the same way. */
#include "cpu.h"

void K(ternary_fwd)(real *y, const real *w, int matrices, long size, double eps) {
    for (long m = 0; m < matrices; m++) {
        const real *from = w + m * size;
        real *to = y + m * size;
        double sum = 0;
        SIMD_SUM(sum) for (long i = 0; i < size; i++) sum += fabs((double)from[i]);
        const double mean = sum / (double)size, a = mean > eps ? mean : eps;
        SIMD for (long i = 0; i < size; i++) {
            const double q = rint((double)from[i] / a);
            to[i] = (real)(a * (q > 1 ? 1 : q < -1 ? -1 : q));
        }
    }
}

void K(ternary_bwd)(real *dw, const real *dy, long n) {
    if (dw) SIMD for (long i = 0; i < n; i++) dw[i] += dy[i];
}
