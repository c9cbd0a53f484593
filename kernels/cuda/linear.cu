/* linear.cu - dense layer; see kernels.def. Three products (gemm.cu) and a column sum (colsum.cu);
 * cost 2 rows in out flops forward, twice that backward. The bias is added where y is stored. */
#include "colsum.cuh"
#include "gemm.cuh"

void K(linear_fwd)(real *y, const real *x, const real *w, const real *bias, int runs, int rows,
                   int in, int out) {
    product p = {};
    p.runs = runs, p.rows = rows, p.cols = out, p.inner = in;
    p.a = x, p.a_run = (long)rows * in, p.a_row = in, p.a_col = 1;
    p.b = w, p.b_run = (long)in * out, p.b_row = out, p.b_col = 1;
    p.c = y, p.c_run = (long)rows * out, p.c_row = out;
    p.bias = bias;
    gemm_launch(p);
}

void K(linear_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                   int runs, int rows, int in, int out) {
    const long dy_run = (long)rows * out, x_run = (long)rows * in, w_run = (long)in * out;
    product p = {};
    p.runs = runs, p.accumulate = true;
    if (dx) { /* dy w^T */
        p.rows = rows, p.cols = in, p.inner = out;
        p.a = dy, p.a_run = dy_run, p.a_row = out, p.a_col = 1;
        p.b = w, p.b_run = w_run, p.b_row = 1, p.b_col = out;
        p.c = dx, p.c_run = x_run, p.c_row = in;
        gemm_launch(p);
    }
    if (dw) { /* x^T dy */
        p.rows = in, p.cols = out, p.inner = rows;
        p.a = x, p.a_run = x_run, p.a_row = 1, p.a_col = in;
        p.b = dy, p.b_run = dy_run, p.b_row = out, p.b_col = 1;
        p.c = dw, p.c_run = w_run, p.c_row = out;
        gemm_launch(p);
    }
    if (dbias) colsum_launch(dbias, dy, runs, rows, out);
}
