/* linear.c - dense layer; see kernels.def. Three products and a column sum; cost 2 rows in out
 * flops forward, twice that backward. */
#include "gemm.h"

void K(linear_fwd)(real *y, const real *x, const real *w, const real *bias, int runs, int rows,
                   int in, int out) {
    for (long r = 0; r < runs; r++)
        gemm_bias(rows, out, in, x + r * rows * in, in, 1, w + r * in * out, out, 1,
                  y + r * rows * out, out, bias ? bias + r * out : NULL);
}

/* sum[o] += column o of y [rows, out], a strip of columns at a time: its sums stay in registers. */
static void column_sum(real *sum, const real *y, int rows, int out) {
    enum { STRIP = 32 };
    long o = 0;
    for (; o + STRIP <= out; o += STRIP) {
        real s[STRIP] = {0};
        for (long i = 0; i < rows; i++)
            SIMD for (long j = 0; j < STRIP; j++) s[j] += y[i * out + o + j];
        SIMD for (long j = 0; j < STRIP; j++) sum[o + j] += s[j];
    }
    for (; o < out; o++) {
        real s = 0;
        for (long i = 0; i < rows; i++) s += y[i * out + o];
        sum[o] += s;
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
        if (dbias) column_sum(dbias + r * out, dyr, rows, out);
    }
}
