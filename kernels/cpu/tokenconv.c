/* tokenconv.c - convolution with taps of each token; see kernels.def. */
#include "cpu.h"

#include <string.h>

void K(tokenconv_fwd)(real *y, const real *x, const real *taps, int sequences, int time, int cols,
                      int width, int groups, int dilation) {
    const long dim = cols / groups;
    for (long i = 0; i < (long)sequences * time; i++) {
        const long t = i % time;
        const real *tap = taps + i * groups * width;
        memset(y + i * cols, 0, (size_t)cols * sizeof *y);
        for (long g = 0; g < groups; g++) {
            real *yg = y + i * cols + g * dim;
            for (long k = 0; k < width && k * dilation <= t; k++) {
                const real w = tap[g * width + k];
                const real *from = x + (i - k * dilation) * cols + g * dim;
                SIMD for (long d = 0; d < dim; d++) yg[d] += w * from[d];
            }
        }
    }
}

void K(tokenconv_bwd)(real *dx, real *dtaps, const real *dy, const real *x, const real *taps,
                      int sequences, int time, int cols, int width, int groups, int dilation) {
    const long dim = cols / groups;
    for (long i = 0; i < (long)sequences * time; i++) {
        const long t = i % time;
        for (long g = 0; g < groups; g++) {
            const real *dyg = dy + i * cols + g * dim;
            for (long k = 0; k < width && k * dilation <= t; k++) {
                const long at = (i * groups + g) * width + k;
                const long from = (i - k * dilation) * cols + g * dim;
                const real w = taps[at];
                real sum = 0;
                if (dx) SIMD for (long d = 0; d < dim; d++) dx[from + d] += w * dyg[d];
                if (!dtaps) continue;
                SIMD_SUM(sum) for (long d = 0; d < dim; d++) sum += dyg[d] * x[from + d];
                dtaps[at] += sum;
            }
        }
    }
}
