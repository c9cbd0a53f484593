/* l2norm.cu - groups of channels scaled to unit length; see kernels.def and norm.cuh.
 *
 * An rmsnorm without gain whose mean is a sum. Rows of all runs are one list, as nothing here
 * belongs to a run. */
#include "norm.cuh"

void K(l2norm_fwd)(real *y, real *rnorm, const real *x, long rows, int cols, double eps) {
    norm_fwd<false>(y, rnorm, x, NULL, NULL, {1, rows, cols, 1, (float)eps});
}

void K(l2norm_bwd)(real *dx, const real *dy, const real *x, const real *rnorm, long rows,
                   int cols) {
    norm_bwd<false>(dx, NULL, NULL, dy, x, NULL, rnorm, {1, rows, cols, 1, 0});
}
