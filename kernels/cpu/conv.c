/* conv.c - causal convolution along time, per channel or per group of channels; see kernels.def.
 *
 * Dilation is only a stride: times of one phase (t mod dilation) form a dense sequence whose rows
 * are dilation * cols apart. On it, tiles of 4 rows x up to 4 lags are computed in one pass over
 * the channels: 7 rows of x, 4 of taps and 4 of y are read for 16 multiply-adds, and y is written
 * once per 4 lags. Bands of rows keep what a wide filter reads again in L1. Where lags reach before
 * the start, rows are done one by one with the lags they have, so no term is ever multiplied by a
 * made-up zero.
 *
 * dx is the same sum with time reversed: strides change sign. dw sums products of 4 rows at a time
 * in time order. Taps shared by a group are spread to one per channel in a buffer on the stack, at
 * most CHUNK channels at once. Cost 2 width per element.
 *
 * Where that is more than transforms cost (work.h), one filter per channel is applied by them: the
 * transform of a filter is made once per call, that of dw is summed over the batch. Scratch stays
 * in L2: 16 KiB per 32 rows. */
#include "fft.h"
#include "lags.h"

enum { ROWS = 4, MAX_WIDTH = 64, CHUNK = 256, BAND = 4096 };

/* One function per kind of tile: inlined further, their many row pointers would not fit the
 * registers. */
#define APART static __attribute__((noinline))

INLINE void tile_body(real *y, const real *x, long stride, const real *w, long w_stride,
                      const real *start, long n, const int lags) {
    const real *w1 = w + w_stride, *w2 = w1 + w_stride, *w3 = w2 + w_stride;
    const real *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    const real *p1 = x - stride, *p2 = p1 - stride, *p3 = p2 - stride; /* past rows */
    real *y1 = y + stride, *y2 = y1 + stride, *y3 = y2 + stride;
    SIMD for (long c = 0; c < n; c++) {
        real s0 = (start ? start : y)[c] + w[c] * x[c];
        real s1 = (start ? start : y1)[c] + w[c] * x1[c];
        real s2 = (start ? start : y2)[c] + w[c] * x2[c];
        real s3 = (start ? start : y3)[c] + w[c] * x3[c];
        if (lags > 1)
            s0 += w1[c] * p1[c], s1 += w1[c] * x[c], s2 += w1[c] * x1[c], s3 += w1[c] * x2[c];
        if (lags > 2)
            s0 += w2[c] * p2[c], s1 += w2[c] * p1[c], s2 += w2[c] * x[c], s3 += w2[c] * x1[c];
        if (lags > 3)
            s0 += w3[c] * p3[c], s1 += w3[c] * p2[c], s2 += w3[c] * p1[c], s3 += w3[c] * x[c];
        y[c] = s0, y1[c] = s1, y2[c] = s2, y3[c] = s3;
    }
}

/* y[r] = start + sum_k w[k] x[r-k] over `n` channels for 4 rows r and `lags` lags k. Row r of x and
 * y is at r * stride; x is read lags - 1 rows before its first. */
APART void tile_start(real *y, const real *x, long stride, const real *w, long w_stride,
                      const real *start, long n,
                      int lags){WITH_LAGS(tile_body, lags, y, x, stride, w, w_stride, start, n)}

/* The same, added to y. */
APART void tile_add(real *y, const real *x, long stride, const real *w, long w_stride, long n,
                    int lags){WITH_LAGS(tile_body, lags, y, x, stride, w, w_stride, NULL, n)}

INLINE void line_body(real *y, const real *x, long stride, const real *w, long w_stride,
                      const real *from, long n, const int lags) {
    const real *w1 = w + w_stride, *w2 = w1 + w_stride, *w3 = w2 + w_stride;
    const real *p1 = x - stride, *p2 = p1 - stride, *p3 = p2 - stride;
    SIMD for (long c = 0; c < n; c++) {
        real s = from[c] + w[c] * x[c];
        if (lags > 1) s += w1[c] * p1[c];
        if (lags > 2) s += w2[c] * p2[c];
        if (lags > 3) s += w3[c] * p3[c];
        y[c] = s;
    }
}

/* One row: y = from + sum_k w[k] x[-k]; from may be y. */
APART void line(real *y, const real *x, long stride, const real *w, long w_stride, const real *from,
                long n, int lags){WITH_LAGS(line_body, lags, y, x, stride, w, w_stride, from, n)}

INLINE void tap_tile_body(real *dw, long dw_stride, const real *dy, const real *x, long stride,
                          long n, const int lags) {
    real *dw1 = dw + dw_stride, *dw2 = dw1 + dw_stride, *dw3 = dw2 + dw_stride;
    const real *dy1 = dy + stride, *dy2 = dy1 + stride, *dy3 = dy2 + stride;
    const real *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    const real *p1 = x - stride, *p2 = p1 - stride, *p3 = p2 - stride;
    SIMD for (long c = 0; c < n; c++) {
        const real d0 = dy[c], d1 = dy1[c], d2 = dy2[c], d3 = dy3[c];
        dw[c] += d0 * x[c] + d1 * x1[c] + d2 * x2[c] + d3 * x3[c];
        if (lags > 1) dw1[c] += d0 * p1[c] + d1 * x[c] + d2 * x1[c] + d3 * x2[c];
        if (lags > 2) dw2[c] += d0 * p2[c] + d1 * p1[c] + d2 * x[c] + d3 * x1[c];
        if (lags > 3) dw3[c] += d0 * p3[c] + d1 * p2[c] + d2 * p1[c] + d3 * x[c];
    }
}

/* dw[k] += sum_r dy[r] x[r-k] for 4 rows r and `lags` lags k. */
APART void tap_tile(real *dw, long dw_stride, const real *dy, const real *x, long stride, long n,
                    int lags){WITH_LAGS(tap_tile_body, lags, dw, dw_stride, dy, x, stride, n)}

INLINE void tap_line_body(real *dw, long dw_stride, const real *dy, const real *x, long stride,
                          long n, const int lags) {
    real *dw1 = dw + dw_stride, *dw2 = dw1 + dw_stride, *dw3 = dw2 + dw_stride;
    const real *p1 = x - stride, *p2 = p1 - stride, *p3 = p2 - stride;
    SIMD for (long c = 0; c < n; c++) {
        dw[c] += dy[c] * x[c];
        if (lags > 1) dw1[c] += dy[c] * p1[c];
        if (lags > 2) dw2[c] += dy[c] * p2[c];
        if (lags > 3) dw3[c] += dy[c] * p3[c];
    }
}

/* The same for one row. */
APART void tap_line(real *dw, long dw_stride, const real *dy, const real *x, long stride, long n,
                    int lags) {
    WITH_LAGS(tap_line_body, lags, dw, dw_stride, dy, x, stride, n)
}

static long smaller(long a, long b) { return a < b ? a : b; }

/* Rows that fit L1 three times over (x, y, dy), a multiple of ROWS. */
static long band_rows(long n) {
    long rows = BAND / n / ROWS * ROWS;
    return rows < ROWS ? ROWS : rows;
}

/* y[q] = start + sum_k w[k] x[q-k] for rows q in [0, rows); start NULL: adds to y. stride may be
 * negative. */
static void filter(real *y, const real *start, const real *x, long stride, long rows, const real *w,
                   long w_stride, int width, long n) {
    const long band = band_rows(n);
    for (long top = 0; top < rows; top += band) {
        const long end = smaller(top + band, rows);
        for (int k = 0; k < width && k < end; k += LAGS) {
            const int lags = width - k < LAGS ? width - k : LAGS;
            const real *wk = w + k * w_stride;
            for (long q = top < k ? k : top; q < end;) {
                real *yq = y + q * stride;
                const real *xq = x + (q - k) * stride;
                if (q + ROWS > end || q - k < lags - 1) {
                    const int have = (int)smaller(lags, q - k + 1);
                    line(yq, xq, stride, wk, w_stride, start && !k ? start : yq, n, have);
                    q++;
                    continue;
                }
                if (start && !k)
                    tile_start(yq, xq, stride, wk, w_stride, start, n, lags);
                else
                    tile_add(yq, xq, stride, wk, w_stride, n, lags);
                q += ROWS;
            }
        }
    }
}

/* dw[k] += sum_q dy[q] x[q-k]. */
static void filter_taps(real *dw, long dw_stride, const real *dy, const real *x, long stride,
                        long rows, int width, long n) {
    const long band = band_rows(n);
    for (long top = 0; top < rows; top += band) {
        const long end = smaller(top + band, rows);
        for (int k = 0; k < width && k < end; k += LAGS) {
            const int lags = width - k < LAGS ? width - k : LAGS;
            real *dwk = dw + k * dw_stride;
            for (long q = top < k ? k : top; q < end;) {
                const real *dyq = dy + q * stride, *xq = x + (q - k) * stride;
                if (q + ROWS > end || q - k < lags - 1) {
                    const int have = (int)smaller(lags, q - k + 1);
                    tap_line(dwk, dw_stride, dyq, xq, stride, n, have);
                    q++;
                } else {
                    tap_tile(dwk, dw_stride, dyq, xq, stride, n, lags);
                    q += ROWS;
                }
            }
        }
    }
}

/* Rows of one phase; 0 when the sequence is shorter than the phase. */
static long phase_rows(int time, int dilation, int phase) {
    return phase < time ? (time - phase + dilation - 1) / dilation : 0;
}

/* Taps of channels [c0, c0 + n) of one run with a row of n per lag: spread[k,c] = w[k,g(c0+c)]. */
static void spread_taps(real *spread, const real *w, long c0, long n, int width, int groups,
                        long share) {
    for (long k = 0; k < width; k++)
        for (long c = 0; c < n; c++) spread[k * n + c] = w[k * groups + (c0 + c) / share];
}

/* dw[k,g(c0+c)] += gathered[k,c]. */
static void gather_taps(real *dw, const real *gathered, long c0, long n, int width, int groups,
                        long share) {
    for (long k = 0; k < width; k++)
        for (long c = 0; c < n;) {
            const long end = smaller(n, ((c0 + c) / share + 1) * share - c0);
            const real *from = gathered + k * n;
            real sum = 0;
            SIMD_SUM(sum) for (long i = c; i < end; i++) sum += from[i];
            dw[k * groups + (c0 + c) / share] += sum;
            c = end;
        }
}

/* dbias[c] += sum of dy[t,c] over the rows of one run. */
static void add_bias(real *dbias, const real *dy, long rows, long cols) {
    for (long t = 0; t < rows; t++, dy += cols) {
        SIMD for (long c = 0; c < cols; c++) dbias[c] += dy[c];
    }
}

/* ---- by transforms ---------------------------------------------------------------------- */

/* work: four transforms, then twiddles. */
typedef struct transforms {
    fft f;
    real *filter, *a, *b, *sum; /* [length, 2, FFT_LANES] */
} transforms;

static transforms transforms_start(real *work, int time) {
    const long length = fft_length(time), size = length * FFT_ROW;
    return (transforms){fft_start(work + 4 * size, length), work, work + size, work + 2 * size,
                        work + 3 * size};
}

static void forward_by_fft(real *y, const real *x, const real *w, const real *bias, real *work,
                           int runs, int batch, int time, int cols, int width) {
    static const real zeros[FFT_LANES];
    const transforms s = transforms_start(work, time);
    const long lags = smaller(width, time);
    for (long r = 0; r < runs; r++)
        for (long c0 = 0; c0 < cols; c0 += FFT_LANES) {
            const long n = smaller(FFT_LANES, cols - c0);
            fft_forward(s.filter, &s.f, w + r * width * cols + c0, cols, lags, n);
            for (long b = r * batch; b < (r + 1) * batch; b++) {
                const long at = b * time * cols + c0;
                fft_forward(s.a, &s.f, x + at, cols, time, n);
                fft_convolve(s.a, s.filter, s.f.length);
                fft_inverse(y + at, bias ? bias + r * cols + c0 : zeros, &s.f, s.a, cols, time, n);
            }
        }
}

/* dw is summed over the batch as a transform, and comes back once. */
static void backward_by_fft(real *dx, real *dw, const real *dy, const real *x, const real *w,
                            real *work, int runs, int batch, int time, int cols, int width) {
    const transforms s = transforms_start(work, time);
    const long lags = smaller(width, time);
    for (long r = 0; r < runs; r++)
        for (long c0 = 0; c0 < cols; c0 += FFT_LANES) {
            const long n = smaller(FFT_LANES, cols - c0), taps = r * width * cols + c0;
            if (dx) fft_forward(s.filter, &s.f, w + taps, cols, lags, n);
            if (dw) memset(s.sum, 0, sizeof(real) * (size_t)(s.f.length * FFT_ROW));
            for (long b = r * batch; b < (r + 1) * batch; b++) {
                const long at = b * time * cols + c0;
                fft_forward(s.a, &s.f, dy + at, cols, time, n);
                if (dw) {
                    fft_forward(s.b, &s.f, x + at, cols, time, n);
                    fft_add_correlation(s.sum, s.a, s.b, s.f.length);
                }
                if (!dx) continue;
                fft_correlate(s.a, s.filter, s.f.length);
                fft_inverse(dx + at, NULL, &s.f, s.a, cols, time, n);
            }
            if (dw) fft_inverse(dw + taps, NULL, &s.f, s.sum, cols, lags, n);
        }
}

void K(conv_fwd)(real *y, const real *x, const real *w, const real *bias, real *work, int runs,
                 int batch, int time, int cols, int width, int groups, int dilation) {
    if (conv_transforms(time, width, cols, groups, dilation)) {
        forward_by_fft(y, x, w, bias, work, runs, batch, time, cols, width);
        return;
    }
    static const real zeros[CHUNK];
    real spread[MAX_WIDTH * CHUNK];
    const long share = cols / groups, stride = (long)dilation * cols;
    for (long r = 0; r < runs; r++)
        for (long c0 = 0; c0 < cols; c0 += CHUNK) {
            const long n = smaller(CHUNK, cols - c0);
            const real *wr = w + r * width * groups; /* [width, groups] */
            const real *start = bias ? bias + r * cols + c0 : zeros;
            if (share > 1) spread_taps(spread, wr, c0, n, width, groups, share);
            const real *taps = share > 1 ? spread : wr + c0;
            const long tap_stride = share > 1 ? n : groups;
            for (long b = r * batch; b < (r + 1) * batch; b++)
                for (int phase = 0; phase < dilation && phase < time; phase++) {
                    const long at = (b * time + phase) * cols + c0;
                    filter(y + at, start, x + at, stride, phase_rows(time, dilation, phase), taps,
                           tap_stride, width, n);
                }
        }
}

void K(conv_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                 real *work, int runs, int batch, int time, int cols, int width, int groups,
                 int dilation) {
    if (dbias)
        for (long r = 0; r < runs; r++)
            add_bias(dbias + r * cols, dy + r * batch * time * cols, (long)batch * time, cols);
    if (!dx && !dw) return;
    if (conv_transforms(time, width, cols, groups, dilation)) {
        backward_by_fft(dx, dw, dy, x, w, work, runs, batch, time, cols, width);
        return;
    }
    real spread[MAX_WIDTH * CHUNK], gathered[MAX_WIDTH * CHUNK];
    const long share = cols / groups, stride = (long)dilation * cols;
    for (long r = 0; r < runs; r++)
        for (long c0 = 0; c0 < cols; c0 += CHUNK) {
            const long n = smaller(CHUNK, cols - c0);
            const real *wr = w + r * width * groups;         /* [width, groups] */
            real *dwr = dw ? dw + r * width * groups : NULL; /* [width, groups] */
            if (share > 1) spread_taps(spread, wr, c0, n, width, groups, share);
            if (share > 1) memset(gathered, 0, sizeof(real) * (size_t)(width * n));
            const real *taps = share > 1 ? spread : wr + c0;
            real *taps_g = share > 1 ? gathered : dwr ? dwr + c0 : NULL;
            const long tap_stride = share > 1 ? n : groups;
            for (long b = r * batch; b < (r + 1) * batch; b++) {
                for (int phase = 0; phase < dilation && phase < time; phase++) {
                    const long rows = phase_rows(time, dilation, phase);
                    const long at = (b * time + phase) * cols + c0, last = at + (rows - 1) * stride;
                    if (dx)
                        filter(dx + last, NULL, dy + last, -stride, rows, taps, tap_stride, width,
                               n);
                    if (dw)
                        filter_taps(taps_g, tap_stride, dy + at, x + at, stride, rows, width, n);
                }
            }
            if (dw && share > 1) gather_taps(dwr, gathered, c0, n, width, groups, share);
        }
}
