/* linear.c - dense layer; see kernels.def. */
#include "gemm.h"

void K(linear_fwd)(real *y, const real *x, const real *w, const real *bias, int runs, int rows,
                   int in, int out) {
    for (long r = 0; r < runs; r++) {
        real *yr = y + r * rows * out; /* [rows, out] */
        if (bias)
            for (long i = 0; i < rows; i++)
                for (long o = 0; o < out; o++) yr[i * out + o] = bias[r * out + o];
        gemm(rows, out, in, x + r * rows * in, in, 1, w + r * in * out, out, 1, yr, out,
             bias != NULL);
    }
}

void K(linear_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                   int runs, int rows, int in, int out) {
    for (long r = 0; r < runs; r++) {
        const real *dyr = dy + r * rows * out; /* [rows, out] */
        if (dx)
            gemm(rows, in, out, dyr, out, 1, w + r * in * out, 1, out, dx + r * rows * in, in, 1);
        if (dw)
            gemm(in, out, rows, x + r * rows * in, 1, in, dyr, out, 1, dw + r * in * out, out, 1);
        if (dbias)
            for (long i = 0; i < rows; i++)
                for (long o = 0; o < out; o++) dbias[r * out + o] += dyr[i * out + o];
    }
}
