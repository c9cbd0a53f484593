/* mixconv.c - convolution that mixes heads; see kernels.def. */
#include "cpu.h"

#include <string.h>

void K(mixconv_fwd)(real *y, const real *x, const real *w, int runs, int batch, int time, int heads,
                    int dim, int width, int dilation) {
    const long cols = (long)heads * dim;
    for (long i = 0; i < (long)runs * batch * time; i++) {
        const long t = i % time, r = i / time / batch;
        memset(y + i * cols, 0, (size_t)cols * sizeof *y);
        for (long k = 0; k < width && k * dilation <= t; k++) {
            const real *from = x + (i - k * dilation) * cols;
            const real *wk = w + (r * width + k) * heads * heads;
            for (long h = 0; h < heads; h++)
                for (long j = 0; j < heads; j++) {
                    real *yh = y + i * cols + h * dim;
                    const real *xj = from + j * dim, weight = wk[h * heads + j];
                    SIMD for (long d = 0; d < dim; d++) yh[d] += weight * xj[d];
                }
        }
    }
}

void K(mixconv_bwd)(real *dx, real *dw, const real *dy, const real *x, const real *w, int runs,
                    int batch, int time, int heads, int dim, int width, int dilation) {
    const long cols = (long)heads * dim;
    for (long i = 0; i < (long)runs * batch * time; i++) {
        const long t = i % time, r = i / time / batch;
        for (long k = 0; k < width && k * dilation <= t; k++) {
            const long from = (i - k * dilation) * cols, at = (r * width + k) * heads * heads;
            for (long h = 0; h < heads; h++)
                for (long j = 0; j < heads; j++) {
                    const real *dyh = dy + i * cols + h * dim, *xj = x + from + j * dim;
                    const real weight = w[at + h * heads + j];
                    real sum = 0;
                    if (dx)
                        SIMD for (long d = 0; d < dim; d++) dx[from + j * dim + d] +=
                            weight * dyh[d];
                    if (!dw) continue;
                    SIMD_SUM(sum) for (long d = 0; d < dim; d++) sum += dyh[d] * xj[d];
                    dw[at + h * heads + j] += sum;
                }
        }
    }
}
