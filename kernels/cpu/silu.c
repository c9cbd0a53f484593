/* silu.c - y = x sigmoid(x); see kernels.def. One exponential and one division per element. */
#include "cpu.h"

void K(silu_fwd)(real *y, const real *x, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = x[i] / (1 + real_exp(-x[i]));
}

/* The derivative is s (1 + x (1 - s)), s = sigmoid(x). */
void K(silu_bwd)(real *dx, const real *dy, const real *x, long n) {
    if (!dx) return;
    SIMD for (long i = 0; i < n; i++) {
        real s = real_sigmoid(x[i]);
        dx[i] += dy[i] * s * (1 + x[i] * (1 - s));
    }
}
