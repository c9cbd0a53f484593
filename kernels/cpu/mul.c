/* mul.c - elementwise product (gates); see kernels.def. */
#include "cpu.h"

void K(mul_fwd)(real *y, const real *a, const real *b, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = a[i] * b[i];
}

/* Two loops, not one: for x x both gradients are the same buffer. */
void K(mul_bwd)(real *da, real *db, const real *dy, const real *a, const real *b, long n) {
    if (da) SIMD for (long i = 0; i < n; i++) da[i] += dy[i] * b[i];
    if (db) SIMD for (long i = 0; i < n; i++) db[i] += dy[i] * a[i];
}
