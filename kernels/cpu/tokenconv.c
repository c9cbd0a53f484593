/* tokenconv.c - convolution with taps of each token; see kernels.def.
 *
 * Four lags are applied in one pass over the channels of a group: y is stored once for them, and
 * backward reads dy once. Cost 2 W operations per element, twice that backward. */
#include "lags.h"

typedef struct shape {
    long time, cols, width, groups, dilation;
} shape;

/* Lags from k on of token t that reach no further than the start, and are taken at once. */
static int lags_at(const shape *s, long t, long k) {
    const long reach = t / s->dilation + 1, have = (reach < s->width ? reach : s->width) - k;
    return have < LAGS ? (int)have : LAGS;
}

/* y (+)= sum over lags of a tap times the row of x `back` earlier. */
INLINE void apply_body(real *y, const real *x, long back, const real *taps, bool add, long n,
                       const int lags) {
    const real *x1 = x - back, *x2 = x1 - back, *x3 = x2 - back;
    const real w0 = taps[0], w1 = lags > 1 ? taps[1] : 0, w2 = lags > 2 ? taps[2] : 0,
               w3 = lags > 3 ? taps[3] : 0;
    SIMD for (long d = 0; d < n; d++) {
        real sum = (add ? y[d] : 0) + w0 * x[d];
        if (lags > 1) sum += w1 * x1[d];
        if (lags > 2) sum += w2 * x2[d];
        if (lags > 3) sum += w3 * x3[d];
        y[d] = sum;
    }
}

/* dx of each lag's row += tap dy. */
INLINE void spread_body(real *dx, const real *dy, long back, const real *taps, long n,
                        const int lags) {
    real *dx1 = dx - back, *dx2 = dx1 - back, *dx3 = dx2 - back;
    const real w0 = taps[0], w1 = lags > 1 ? taps[1] : 0, w2 = lags > 2 ? taps[2] : 0,
               w3 = lags > 3 ? taps[3] : 0;
    SIMD for (long d = 0; d < n; d++) {
        dx[d] += w0 * dy[d];
        if (lags > 1) dx1[d] += w1 * dy[d];
        if (lags > 2) dx2[d] += w2 * dy[d];
        if (lags > 3) dx3[d] += w3 * dy[d];
    }
}

/* dtaps += inner products of dy with each lag's row of x. */
INLINE void gather_body(real *dtaps, const real *dy, const real *x, long back, long n,
                        const int lags) {
    const real *x1 = x - back, *x2 = x1 - back, *x3 = x2 - back;
    real s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    SIMD_SUM(s0, s1, s2, s3) for (long d = 0; d < n; d++) {
        s0 += dy[d] * x[d];
        if (lags > 1) s1 += dy[d] * x1[d];
        if (lags > 2) s2 += dy[d] * x2[d];
        if (lags > 3) s3 += dy[d] * x3[d];
    }
    dtaps[0] += s0;
    if (lags > 1) dtaps[1] += s1;
    if (lags > 2) dtaps[2] += s2;
    if (lags > 3) dtaps[3] += s3;
}

void K(tokenconv_fwd)(real *y, const real *x, const real *taps, int sequences, int time, int cols,
                      int width, int groups, int dilation) {
    const shape s = {time, cols, width, groups, dilation};
    const long dim = cols / groups, back = (long)dilation * cols;
    for (long i = 0; i < (long)sequences * time; i++)
        for (long k = 0, lags; (lags = lags_at(&s, i % time, k)) > 0; k += LAGS)
            for (long g = 0; g < groups; g++) {
                const long at = i * cols + g * dim;
                const real *tap = taps + (i * groups + g) * width + k;
                WITH_LAGS(apply_body, lags, y + at, x + at - k * back, back, tap, k > 0, dim)
            }
}

void K(tokenconv_bwd)(real *dx, real *dtaps, const real *dy, const real *x, const real *taps,
                      int sequences, int time, int cols, int width, int groups, int dilation) {
    const shape s = {time, cols, width, groups, dilation};
    const long dim = cols / groups, back = (long)dilation * cols;
    for (long i = 0; i < (long)sequences * time; i++)
        for (long k = 0, lags; (lags = lags_at(&s, i % time, k)) > 0; k += LAGS)
            for (long g = 0; g < groups; g++) {
                const long at = i * cols + g * dim, from = at - k * back;
                const long tap = (i * groups + g) * width + k;
                if (dx) WITH_LAGS(spread_body, lags, dx + from, dy + at, back, taps + tap, dim)
                if (dtaps) WITH_LAGS(gather_body, lags, dtaps + tap, dy + at, x + from, back, dim)
            }
}
