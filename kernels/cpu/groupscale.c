/* groupscale.c - a factor per group of channels and position; see kernels.def. */
#include "cpu.h"

void K(groupscale_fwd)(real *y, const real *x, const real *s, long groups, int dim) {
    for (long g = 0; g < groups; g++)
        SIMD for (long d = 0; d < dim; d++) y[g * dim + d] = x[g * dim + d] * s[g];
}

void K(groupscale_bwd)(real *dx, real *ds, const real *dy, const real *x, const real *s,
                       long groups, int dim) {
    for (long g = 0; g < groups; g++) {
        const real *dyg = dy + g * dim, *xg = x + g * dim;
        if (dx) SIMD for (long d = 0; d < dim; d++) dx[g * dim + d] += dyg[d] * s[g];
        if (!ds) continue;
        real dot = 0;
        SIMD_SUM(dot) for (long d = 0; d < dim; d++) dot += dyg[d] * xg[d];
        ds[g] += dot;
    }
}
