/* headscale.c - one learned factor per head; see kernels.def.
 *
 * ds sums over all rows: row by row in double, so that long sums lose nothing in float. */
#include "cpu.h"

void K(headscale_fwd)(real *y, const real *x, const real *s, int runs, int rows, int heads,
                      int dim) {
    for (long r = 0; r < runs; r++)
        for (long i = 0; i < rows; i++)
            for (long h = 0; h < heads; h++) {
                const long at = ((r * rows + i) * heads + h) * dim;
                const real factor = s[r * heads + h];
                SIMD for (int d = 0; d < dim; d++) y[at + d] = x[at + d] * factor;
            }
}

static double head_dot(const real *dy, const real *x, long rows, long stride, int dim) {
    double sum = 0;
    for (long i = 0; i < rows; i++) {
        real dot = 0;
        SIMD_SUM(dot) for (int d = 0; d < dim; d++) dot += dy[i * stride + d] * x[i * stride + d];
        sum += (double)dot;
    }
    return sum;
}

void K(headscale_bwd)(real *dx, real *ds, const real *dy, const real *x, const real *s, int runs,
                      int rows, int heads, int dim) {
    const long stride = (long)heads * dim;
    if (dx)
        for (long r = 0; r < runs; r++)
            for (long i = 0; i < rows; i++)
                for (long h = 0; h < heads; h++) {
                    const long at = (r * rows + i) * stride + h * dim;
                    const real factor = s[r * heads + h];
                    SIMD for (int d = 0; d < dim; d++) dx[at + d] += dy[at + d] * factor;
                }
    if (ds)
        for (long r = 0; r < runs; r++)
            for (long h = 0; h < heads; h++) {
                const long at = r * rows * stride + h * dim;
                ds[r * heads + h] += (real)head_dot(dy + at, x + at, rows, stride, dim);
            }
}
