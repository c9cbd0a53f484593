/* logits.c - the head without its loss; see kernels.def. */
#include "gemm.h"

void K(logits_fwd)(real *z, const real *x, const real *w, int runs, int rows, int cols, int vocab) {
    for (long r = 0; r < runs; r++)
        gemm(rows, vocab, cols, x + r * rows * cols, cols, 1, w + r * vocab * cols, 1, cols,
             z + r * rows * vocab, vocab, 0);
}

void K(logits_bwd)(real *dx, real *dw, const real *dz, const real *x, const real *w, int runs,
                   int rows, int cols, int vocab) {
    for (long r = 0; r < runs; r++) {
        const real *dzr = dz + r * rows * vocab; /* [rows, vocab] */
        if (dx)
            gemm(rows, cols, vocab, dzr, vocab, 1, w + r * vocab * cols, cols, 1,
                 dx + r * rows * cols, cols, 1);
        if (dw)
            gemm(vocab, cols, rows, dzr, 1, vocab, x + r * rows * cols, cols, 1,
                 dw + r * vocab * cols, cols, 1);
    }
}
