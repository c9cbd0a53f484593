/* rankconv.c - convolution with taps of low rank; see kernels.def.
 *
 * Taps of a tile of tokens are one matrix product, [tile, rank] x [rank, width cols], into work
 * that stays in the L2 cache; so are their gradients on the way back. */
#include "gemm.h"
#include "kernels/core/work.h"

typedef struct shape {
    long time, cols, width, rank, dilation;
} shape;

static long lags_at(const shape *s, long t) { /* taps that reach no further than the start */
    const long reach = t / s->dilation + 1;
    return reach < s->width ? reach : s->width;
}

static void make_taps(real *taps, const real *z, const real *u, const shape *s, long n) {
    const long all = s->width * s->cols;
    gemm((int)n, (int)all, (int)s->rank, z, s->rank, 1, u, all, 1, taps, all, 0);
}

/* Tile of n tokens from t of one sequence; x, y, z point to its token t. */
static void tile_forward(real *y, const real *x, const real *taps, const real *w, const shape *s,
                         long t, long n) {
    for (long i = 0; i < n; i++) {
        real *yi = y + i * s->cols;
        const long lags = lags_at(s, t + i);
        for (long k = 0; k < lags; k++) {
            const real *from = x + (i - k * s->dilation) * s->cols, *wk = w + k * s->cols;
            const real *tap = taps + (i * s->width + k) * s->cols;
            if (k)
                SIMD for (long c = 0; c < s->cols; c++) yi[c] += (wk[c] + tap[c]) * from[c];
            else
                SIMD for (long c = 0; c < s->cols; c++) yi[c] = (wk[c] + tap[c]) * from[c];
        }
    }
}

static void tile_backward(real *dx, real *dtaps, real *dw, const real *dy, const real *x,
                          const real *taps, const real *w, const shape *s, long t, long n) {
    for (long i = 0; i < n; i++) {
        const real *dyi = dy + i * s->cols;
        const long lags = lags_at(s, t + i);
        for (long k = 0; k < s->width; k++) {
            const long from = (i - k * s->dilation) * s->cols, at = (i * s->width + k) * s->cols;
            real *dtap = dtaps + at;
            if (k >= lags) {
                SIMD for (long c = 0; c < s->cols; c++) dtap[c] = 0;
                continue;
            }
            SIMD for (long c = 0; c < s->cols; c++) dtap[c] = dyi[c] * x[from + c];
            if (dx)
                SIMD for (long c = 0; c < s->cols; c++) dx[from + c] +=
                    (w[k * s->cols + c] + taps[at + c]) * dyi[c];
            if (dw) SIMD for (long c = 0; c < s->cols; c++) dw[k * s->cols + c] += dtap[c];
        }
    }
}

void K(rankconv_fwd)(real *y, const real *x, const real *z, const real *u, const real *w,
                     real *work, int runs, int batch, int time, int cols, int width, int rank,
                     int dilation) {
    const shape s = {time, cols, width, rank, dilation};
    for (long i = 0; i < (long)runs * batch; i++) {
        const long r = i / batch;
        const real *ur = u + r * rank * width * cols, *wr = w + r * width * cols;
        for (long t = 0; t < time; t += RANKCONV_TILE) {
            const long n = time - t < RANKCONV_TILE ? time - t : RANKCONV_TILE, at = i * time + t;
            make_taps(work, z + at * rank, ur, &s, n);
            tile_forward(y + at * cols, x + at * cols, work, wr, &s, t, n);
        }
    }
}

void K(rankconv_bwd)(real *dx, real *dz, real *du, real *dw, const real *dy, const real *x,
                     const real *z, const real *u, const real *w, real *work, int runs, int batch,
                     int time, int cols, int width, int rank, int dilation) {
    const shape s = {time, cols, width, rank, dilation};
    const long all = (long)width * cols;
    real *taps = work, *dtaps = work + RANKCONV_TILE * all;
    for (long i = 0; i < (long)runs * batch; i++) {
        const long r = i / batch;
        const real *ur = u + r * rank * all, *wr = w + r * all;
        for (long t = 0; t < time; t += RANKCONV_TILE) {
            const long n = time - t < RANKCONV_TILE ? time - t : RANKCONV_TILE, at = i * time + t;
            if (dx) make_taps(taps, z + at * rank, ur, &s, n);
            tile_backward(OFFSET(dx, at * cols), dtaps, OFFSET(dw, r * all), dy + at * cols,
                          x + at * cols, taps, wr, &s, t, n);
            if (dz)
                gemm((int)n, rank, (int)all, dtaps, all, 1, ur, 1, all, dz + at * rank, rank, 1);
            if (du)
                gemm(rank, (int)all, (int)n, z + at * rank, 1, rank, dtaps, all, 1,
                     du + r * rank * all, all, 1);
        }
    }
}
