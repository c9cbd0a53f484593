/* swiglu.c - y = silu(a) b; see kernels.def. Backward recomputes the sigmoid once for both
 * gradients, in a block that stays in L1: two loops, as da and db may be the same buffer. */
#include "cpu.h"

enum { BLOCK = 512 };

void K(swiglu_fwd)(real *y, const real *a, const real *b, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = a[i] / (1 + real_exp(-a[i])) * b[i];
}

void K(swiglu_bwd)(real *da, real *db, const real *dy, const real *a, const real *b, long n) {
    real gate[BLOCK]; /* sigmoid(a) */
    for (long at = 0; at < n; at += BLOCK) {
        const long m = n - at < BLOCK ? n - at : BLOCK;
        const real *pa = a + at, *pb = b + at, *pdy = dy + at;
        SIMD for (long i = 0; i < m; i++) gate[i] = real_sigmoid(pa[i]);
        if (da) {
            real *p = da + at;
            SIMD for (long i = 0; i < m; i++) p[i] +=
                pdy[i] * pb[i] * gate[i] * (1 + pa[i] * (1 - gate[i]));
        }
        if (db) {
            real *p = db + at;
            SIMD for (long i = 0; i < m; i++) p[i] += pdy[i] * pa[i] * gate[i];
        }
    }
}
