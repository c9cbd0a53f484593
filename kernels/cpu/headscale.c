/* headscale.c - one learned factor per head; see kernels.def.
 *
 * ds sums over all rows: row by row in double, so that long sums lose nothing in float. Heads of
 * one channel have loops of their own, across heads. */
#include "cpu.h"

#include <stdbool.h>

/* y = x s, or y += x s, for heads of one channel. */
static void scale_channels(real *y, const real *x, const real *s, long rows, long heads, bool add) {
    for (long i = 0; i < rows; i++, y += heads, x += heads) {
        if (add) {
            SIMD for (long h = 0; h < heads; h++) y[h] += x[h] * s[h];
        } else {
            SIMD for (long h = 0; h < heads; h++) y[h] = x[h] * s[h];
        }
    }
}

/* ds[h] += sum_i dy[i,h] x[i,h]. */
static void channel_dots(real *ds, const real *dy, const real *x, long rows, long heads) {
    enum { BLOCK = 32 };
    for (long first = 0; first < heads; first += BLOCK) {
        const long n = heads - first < BLOCK ? heads - first : BLOCK;
        double sum[BLOCK] = {0};
        for (long i = 0; i < rows; i++) {
            const real *a = dy + i * heads + first, *b = x + i * heads + first;
            SIMD for (long h = 0; h < n; h++) sum[h] += (double)(a[h] * b[h]);
        }
        for (long h = 0; h < n; h++) ds[first + h] += (real)sum[h];
    }
}

void K(headscale_fwd)(real *y, const real *x, const real *s, int runs, int rows, int heads,
                      int dim) {
    if (dim == 1) {
        const long n = (long)rows * heads;
        for (long r = 0; r < runs; r++)
            scale_channels(y + r * n, x + r * n, s + r * heads, rows, heads, false);
        return;
    }
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
    for (long r = 0; dim == 1 && r < runs; r++) {
        const long at = r * rows * stride;
        if (dx) scale_channels(dx + at, dy + at, s + r * heads, rows, heads, true);
        if (ds) channel_dots(ds + r * heads, dy + at, x + at, rows, heads);
    }
    if (dim == 1) return;
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
