/* charge.c - a second loss; see kernels.def. */
#include "cpu.h"

void K(charge_fwd)(real *y, const real *x, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = x[i];
}

void K(charge_bwd)(real *dx, real *dloss, const real *dy, long n, long n_loss, double scale) {
    if (dx) SIMD for (long i = 0; i < n; i++) dx[i] += dy[i];
    if (dloss) SIMD for (long i = 0; i < n_loss; i++) dloss[i] += (real)scale;
}
