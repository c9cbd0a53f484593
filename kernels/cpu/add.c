/* add.c - residual connection; see kernels.def. */
#include "cpu.h"

void K(add_fwd)(real *y, const real *a, const real *b, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void K(add_bwd)(real *da, real *db, const real *dy, long n) {
    if (da) SIMD for (long i = 0; i < n; i++) da[i] += dy[i];
    if (db) SIMD for (long i = 0; i < n; i++) db[i] += dy[i];
}
