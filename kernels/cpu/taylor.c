/* taylor.c - Taylor features; see kernels.def. */
#include "cpu.h"

void K(taylor_fwd)(real *y, const real *x, long groups, int dim) {
    const real first = (real)pow(dim, -0.25), second = (real)(1 / sqrt(2.0 * dim));
    const long width = 1 + dim + (long)dim * dim;
    for (long g = 0; g < groups; g++) {
        const real *from = x + g * dim;
        real *to = y + g * width;
        *to++ = 1;
        SIMD for (int i = 0; i < dim; i++) to[i] = first * from[i];
        for (int i = 0; i < dim; i++) {
            const real s = second * from[i];
            to += dim;
            SIMD for (int j = 0; j < dim; j++) to[j] = s * from[j];
        }
    }
}

void K(taylor_bwd)(real *dx, const real *dy, const real *x, long groups, int dim) {
    if (!dx) return;
    const real first = (real)pow(dim, -0.25), second = (real)(1 / sqrt(2.0 * dim));
    const long width = 1 + dim + (long)dim * dim;
    for (long g = 0; g < groups; g++) {
        const real *at = x + g * dim, *linear = dy + g * width + 1, *square = linear + dim;
        real *to = dx + g * dim;
        SIMD for (int i = 0; i < dim; i++) to[i] += first * linear[i];
        for (int i = 0; i < dim; i++) {
            const real *row = square + (long)i * dim, s = second * at[i];
            real sum = 0;
            SIMD_SUM(sum) for (int j = 0; j < dim; j++) sum += row[j] * at[j];
            to[i] += second * sum;
            SIMD for (int j = 0; j < dim; j++) to[j] += s * row[j];
        }
    }
}
