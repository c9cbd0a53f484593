/* bias.c - one addend per channel; see kernels.def. */
#include "cpu.h"

void K(bias_fwd)(real *y, const real *x, const real *bias, int runs, int rows, int cols) {
    for (long i = 0; i < (long)runs * rows; i++) {
        const real *b = bias + i / rows * cols;
        SIMD for (long c = 0; c < cols; c++) y[i * cols + c] = x[i * cols + c] + b[c];
    }
}

void K(bias_bwd)(real *dx, real *dbias, const real *dy, int runs, int rows, int cols) {
    for (long i = 0; i < (long)runs * rows; i++) {
        const long at = i * cols, at_bias = i / rows * cols;
        if (dx) SIMD for (long c = 0; c < cols; c++) dx[at + c] += dy[at + c];
        if (dbias) SIMD for (long c = 0; c < cols; c++) dbias[at_bias + c] += dy[at + c];
    }
}
