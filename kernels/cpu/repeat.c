/* repeat.c - copies of groups of channels; see kernels.def. */
#include "cpu.h"

#include <string.h>

void K(repeat_fwd)(real *y, const real *x, long rows, int groups, int dim, int times) {
    for (long g = 0; g < rows * groups; g++)
        for (long j = 0; j < times; j++)
            memcpy(y + (g * times + j) * dim, x + g * dim, (size_t)dim * sizeof *y);
}

void K(repeat_bwd)(real *dx, const real *dy, long rows, int groups, int dim, int times) {
    if (!dx) return;
    for (long g = 0; g < rows * groups; g++)
        for (long j = 0; j < times; j++) {
            const real *from = dy + (g * times + j) * dim;
            SIMD for (long d = 0; d < dim; d++) dx[g * dim + d] += from[d];
        }
}
