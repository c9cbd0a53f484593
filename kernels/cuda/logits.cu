/* logits.cu - the head without its loss; see kernels.def. Products only (gemm.cu). */
#include "gemm.cuh"

void K(logits_fwd)(real *z, const real *x, const real *w, int runs, int rows, int cols, int vocab) {
    product p = {};
    p.runs = runs, p.rows = rows, p.cols = vocab, p.inner = cols;
    p.a = x, p.a_run = (long)rows * cols, p.a_row = cols, p.a_col = 1;
    p.b = w, p.b_run = (long)vocab * cols, p.b_row = 1, p.b_col = cols;
    p.c = z, p.c_run = (long)rows * vocab, p.c_row = vocab;
    gemm_launch(p);
}

void K(logits_bwd)(real *dx, real *dw, const real *dz, const real *x, const real *w, int runs,
                   int rows, int cols, int vocab) {
    const long dz_run = (long)rows * vocab, x_run = (long)rows * cols, w_run = (long)vocab * cols;
    product p = {};
    p.runs = runs, p.cols = cols, p.accumulate = true;
    p.a = dz, p.a_run = dz_run, p.b_row = cols, p.b_col = 1, p.c_row = cols;
    if (dx) { /* dz w */
        p.rows = rows, p.inner = vocab, p.a_row = vocab, p.a_col = 1;
        p.b = w, p.b_run = w_run, p.c = dx, p.c_run = x_run;
        gemm_launch(p);
    }
    if (dw) { /* dz^T x */
        p.rows = vocab, p.inner = rows, p.a_row = 1, p.a_col = vocab;
        p.b = x, p.b_run = x_run, p.c = dw, p.c_run = w_run;
        gemm_launch(p);
    }
}
