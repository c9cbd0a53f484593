/* mixconv.c - convolution that mixes heads; see kernels.def.
 *
 * Taps are packed once per run as [W H, H] with the farthest lag first, so that the heads of W
 * consecutive tokens, [W H, D] as they lie in x, follow its rows: each token is one product, and
 * two on the way back, for all lags together. Dilated lags take one product each. Fewer than MANY
 * heads would leave most of a product's registers idle: they are summed pair by pair.
 * Cost 2 W H operations per element, twice that backward. */
#include "dot.h"
#include "gemm.h"

#include <string.h>

enum { MANY = 4 };

typedef struct shape {
    long time, heads, dim, width, dilation;
} shape;

/* Lags that one product takes, and where the farthest stands: packed, and before the token. */
typedef struct block {
    long lags, taps, back;
} block;

/* Lags that reach no further than the start. */
static long lags_at(const shape *s, long t) {
    const long reach = t / s->dilation + 1;
    return reach < s->width ? reach : s->width;
}

/* The block from lag k on, of a token that has `have` lags. */
static block block_at(const shape *s, long k, long have) {
    const long lags = s->dilation == 1 ? have : 1, farthest = k + lags - 1;
    return (block){lags, (s->width - 1 - farthest) * s->heads * s->heads,
                   farthest * s->dilation * s->heads * s->dim};
}

/* packed[W - 1 - k, j, h] = w[k, h, j]. */
static void pack(real *packed, const real *w, const shape *s) {
    const long heads = s->heads, all = heads * heads;
    for (long k = 0; k < s->width; k++)
        for (long i = 0; i < all; i++)
            packed[(s->width - 1 - k) * all + i % heads * heads + i / heads] = w[k * all + i];
}

static void unpack_add(real *dw, const real *packed, const shape *s) {
    const long heads = s->heads, all = heads * heads;
    for (long k = 0; k < s->width; k++)
        for (long i = 0; i < all; i++)
            dw[k * all + i] += packed[(s->width - 1 - k) * all + i % heads * heads + i / heads];
}

/* One token with `have` lags; x, y, .. point to it, w and dw to its run's. */
static void pairs_forward(real *y, const real *x, const real *w, const shape *s, long have) {
    const long heads = s->heads, dim = s->dim;
    memset(y, 0, (size_t)(heads * dim) * sizeof *y);
    for (long k = 0; k < have; k++)
        for (long h = 0; h < heads; h++)
            for (long j = 0; j < heads; j++) {
                const real *xj = x + (j - k * s->dilation * heads) * dim;
                const real weight = w[(k * heads + h) * heads + j];
                SIMD for (long d = 0; d < dim; d++) y[h * dim + d] += weight * xj[d];
            }
}

static void pairs_backward(real *dx, real *dw, const real *dy, const real *x, const real *w,
                           const shape *s, long have) {
    const long heads = s->heads, dim = s->dim;
    for (long k = 0; k < have; k++)
        for (long h = 0; h < heads; h++)
            for (long j = 0; j < heads; j++) {
                const long from = (j - k * s->dilation * heads) * dim;
                const long at = (k * heads + h) * heads + j;
                const real *dyh = dy + h * dim, weight = w[at];
                if (dx) SIMD for (long d = 0; d < dim; d++) dx[from + d] += weight * dyh[d];
                if (dw) dw[at] += real_dot(dyh, x + from, dim);
            }
}

/* The same with packed taps. */
static void products_forward(real *y, const real *x, const real *packed, const shape *s,
                             long have) {
    const long heads = s->heads, dim = s->dim;
    for (long k = 0; k < have;) {
        const block b = block_at(s, k, have);
        gemm((int)heads, (int)dim, (int)(b.lags * heads), packed + b.taps, 1, heads, x - b.back,
             dim, 1, y, dim, k > 0);
        k += b.lags;
    }
}

static void products_backward(real *dx, real *dpacked, const real *dy, const real *x,
                              const real *packed, const shape *s, long have) {
    const long heads = s->heads, dim = s->dim;
    for (long k = 0; k < have;) {
        const block b = block_at(s, k, have);
        const int rows = (int)(b.lags * heads);
        if (dx)
            gemm(rows, (int)dim, (int)heads, packed + b.taps, heads, 1, dy, dim, 1, dx - b.back,
                 dim, 1);
        if (dpacked)
            gemm(rows, (int)heads, (int)dim, x - b.back, dim, 1, dy, 1, dim, dpacked + b.taps,
                 heads, 1);
        k += b.lags;
    }
}

void K(mixconv_fwd)(real *y, const real *x, const real *w, real *work, int runs, int batch,
                    int time, int heads, int dim, int width, int dilation) {
    const shape s = {time, heads, dim, width, dilation};
    const long cols = (long)heads * dim, rows = (long)batch * time;
    const long all = (long)width * heads * heads;
    for (long i = 0; i < runs * rows; i++) {
        const real *wr = w + i / rows * all;
        if (heads < MANY) {
            pairs_forward(y + i * cols, x + i * cols, wr, &s, lags_at(&s, i % time));
        } else {
            if (i % rows == 0) pack(work, wr, &s);
            products_forward(y + i * cols, x + i * cols, work, &s, lags_at(&s, i % time));
        }
    }
}

void K(mixconv_bwd)(real *dx, real *dw, const real *dy, const real *x, const real *w, real *work,
                    int runs, int batch, int time, int heads, int dim, int width, int dilation) {
    const shape s = {time, heads, dim, width, dilation};
    const long cols = (long)heads * dim, rows = (long)batch * time;
    const long all = (long)width * heads * heads;
    real *dpacked = dw ? work + all : NULL;
    for (long i = 0; i < runs * rows; i++) {
        const long run = i / rows, at = i * cols, have = lags_at(&s, i % time);
        if (heads < MANY) {
            pairs_backward(OFFSET(dx, at), OFFSET(dw, run * all), dy + at, x + at, w + run * all,
                           &s, have);
            continue;
        }
        if (i % rows == 0) pack(work, w + run * all, &s);
        if (i % rows == 0 && dw) memset(dpacked, 0, (size_t)all * sizeof *dpacked);
        products_backward(OFFSET(dx, at), dpacked, dy + at, x + at, work, &s, have);
        if (i % rows == rows - 1 && dw) unpack_add(dw + run * all, dpacked, &s);
    }
}
