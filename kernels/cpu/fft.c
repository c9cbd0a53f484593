/* fft.c - see fft.h.
 *
 * Real sequences of 2 N rows modulo x^2N + 1 are complex ones of N rows modulo x^N - i (the high
 * half becomes the imaginary part), so nothing is wasted on the symmetry of real spectra. The first
 * pass splits x^N - i into `top` factors x^m - s; each further one splits x^4m - s into the factors
 * x^m - r, x^m + r, x^m - ir, x^m + ir, r^4 = s. One r serves a whole block, so that twiddles are
 * scalars and lanes are channels; the order of the result is that of the factors, which products do
 * not mind, so no row is ever moved. The high half of what comes in is zero and that of what goes
 * out is not wanted: first and last pass are real on one side, read and write the caller's rows,
 * and leave out rows past the end.
 *
 * Blocks are finished one after the other once they fit L1. Twiddles are computed in double and
 * rounded. Cost per row and channel: about 8.5 log4 N + 4 top each way; table: N / 3 sines and
 * cosines. */
#include "fft.h"

enum { LANES = FFT_LANES, TWIDDLE = 6 /* r, r^2, r^3 */, NEAR = 64 /* rows well inside L1 */ };

#define INLINE static inline __attribute__((always_inline))

/* e^(2 pi i turn) */
static void unit(real *out, double turn) {
    const double angle = 6.283185307179586477 * turn;
    out[0] = (real)cos(angle), out[1] = (real)sin(angle);
}

/* Twiddles of block `block` of its level, whose s is at `turn`, and of all blocks inside it. */
static void fill(real *level, long block, long blocks, long rows, double turn) {
    static const double child[4] = {0, .5, .25, .75};
    if (rows == 1) return;
    const double angle = 6.283185307179586477 * (turn / 4);
    const double c = cos(angle), s = sin(angle), c2 = c * c - s * s, s2 = 2 * c * s;
    real *w = level + block * TWIDDLE;
    w[0] = (real)c, w[1] = (real)s;
    w[2] = (real)c2, w[3] = (real)s2;
    w[4] = (real)(c * c2 - s * s2), w[5] = (real)(c * s2 + s * c2);
    for (int i = 0; i < 4; i++)
        fill(level + blocks * TWIDDLE, 4 * block + i, 4 * blocks, rows / 4, turn / 4 + child[i]);
}

fft fft_start(real *table, long length) {
    fft f = {.length = length, .table = table};
    long rows = length;
    while (rows % 4 == 0 && rows > 4) rows /= 4;
    f.top = (int)rows;
    rows = length / f.top;
    for (int j = 0; j < f.top; j++) {
        for (int l = 0; l < f.top; l++) {
            unit(f.root[j][l], (double)(l * (1 + 4 * j) % (4 * f.top)) / (4 * f.top));
            for (int i = 0; i < 2; i++) f.back[l][j][i] = f.root[j][l][i];
        }
        fill(table, j, f.top, rows, (1 + 4 * j) / (4. * f.top));
    }
    return f;
}

/* ---- inner passes ----------------------------------------------------------------------- */

/* One block of 4 m rows into four of m. */
static void split(real *z, long m, const real *w) {
    const real r1 = w[0], i1 = w[1], r2 = w[2], i2 = w[3], r3 = w[4], i3 = w[5];
    const long leg = m * FFT_ROW;
    for (real *a = z; a < z + leg; a += FFT_ROW) {
        real *b = a + leg, *c = b + leg, *d = c + leg;
        SIMD for (int j = 0; j < LANES; j++) {
            const real ar = a[j], ai = a[LANES + j];
            const real br = r1 * b[j] - i1 * b[LANES + j], bi = i1 * b[j] + r1 * b[LANES + j];
            const real cr = r2 * c[j] - i2 * c[LANES + j], ci = i2 * c[j] + r2 * c[LANES + j];
            const real dr = r3 * d[j] - i3 * d[LANES + j], di = i3 * d[j] + r3 * d[LANES + j];
            const real sr = ar + cr, si = ai + ci, er = br + dr, ei = bi + di;
            const real tr = ar - cr, ti = ai - ci, fr = br - dr, fi = bi - di;
            a[j] = sr + er, a[LANES + j] = si + ei;
            b[j] = sr - er, b[LANES + j] = si - ei;
            c[j] = tr - fi, c[LANES + j] = ti + fr;
            d[j] = tr + fi, d[LANES + j] = ti - fr;
        }
    }
}

/* The reverse, times 4. */
static void join(real *z, long m, const real *w) {
    const real r1 = w[0], i1 = w[1], r2 = w[2], i2 = w[3], r3 = w[4], i3 = w[5];
    const long leg = m * FFT_ROW;
    for (real *a = z; a < z + leg; a += FFT_ROW) {
        real *b = a + leg, *c = b + leg, *d = c + leg;
        SIMD for (int j = 0; j < LANES; j++) {
            const real sr = a[j] + b[j], si = a[LANES + j] + b[LANES + j];
            const real tr = a[j] - b[j], ti = a[LANES + j] - b[LANES + j];
            const real er = c[j] + d[j], ei = c[LANES + j] + d[LANES + j];
            const real fr = c[j] - d[j], fi = c[LANES + j] - d[LANES + j];
            const real br = tr + fi, bi = ti - fr, cr = sr - er, ci = si - ei;
            const real dr = tr - fi, di = ti + fr;
            a[j] = sr + er, a[LANES + j] = si + ei;
            b[j] = r1 * br + i1 * bi, b[LANES + j] = r1 * bi - i1 * br;
            c[j] = r2 * cr + i2 * ci, c[LANES + j] = r2 * ci - i2 * cr;
            d[j] = r3 * dr + i3 * di, d[LANES + j] = r3 * di - i3 * dr;
        }
    }
}

/* Twiddles of a level of so many blocks: [blocks, 6]. */
static const real *twiddles(const fft *f, long blocks) {
    return f->table + (blocks - f->top) / 3 * TWIDDLE;
}

/* All passes of one block: level by level where it is near, else block by block. */
static void split_all(real *z, const fft *f, long rows, long block, long blocks) {
    const long part = rows / 4;
    if (rows > NEAR) {
        split(z, part, twiddles(f, blocks) + block * TWIDDLE);
        for (long i = 0; i < 4; i++)
            split_all(z + i * part * FFT_ROW, f, part, 4 * block + i, 4 * blocks);
        return;
    }
    for (long m = part, inside = 1; m > 0; m /= 4, inside *= 4) {
        const real *w = twiddles(f, blocks * inside) + block * inside * TWIDDLE;
        for (long i = 0; i < inside; i++) split(z + i * 4 * m * FFT_ROW, m, w + i * TWIDDLE);
    }
}

static void join_all(real *z, const fft *f, long rows, long block, long blocks) {
    const long part = rows / 4;
    if (rows > NEAR) {
        for (long i = 0; i < 4; i++)
            join_all(z + i * part * FFT_ROW, f, part, 4 * block + i, 4 * blocks);
        join(z, part, twiddles(f, blocks) + block * TWIDDLE);
        return;
    }
    for (long m = 1, inside = part; inside > 0; m *= 4, inside /= 4) {
        const real *w = twiddles(f, blocks * inside) + block * inside * TWIDDLE;
        for (long i = 0; i < inside; i++) join(z + i * 4 * m * FFT_ROW, m, w + i * TWIDDLE);
    }
}

/* ---- first and last pass ---------------------------------------------------------------- */

/* z[block j, q] = sum_l root[j]^l x[q + l m]. */
INLINE void enter(real *z, const fft *f, const real *x, long stride, long rows, long n,
                  const int top) {
    static const real zeros[LANES];
    const long m = f->length / top;
    for (long q = 0; q < m; q++) {
        const real *a[FFT_MOST_TOP] = {NULL};
        for (int l = 0; l < top; l++) a[l] = q + l * m < rows ? x + (q + l * m) * stride : zeros;
        const real *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3], *a4 = a[4], *a5 = a[5];
        for (int j = 0; j < top; j++) {
            const real(*w)[2] = f->root[j];
            const real r1 = w[1][0], r2 = w[2][0], r3 = w[3][0], r4 = w[4][0], r5 = w[5][0];
            const real i1 = w[1][1], i2 = w[2][1], i3 = w[3][1], i4 = w[4][1], i5 = w[5][1];
            real *to = z + (q + j * m) * FFT_ROW;
            SIMD for (long c = 0; c < n; c++) {
                real re = a0[c] + r1 * a1[c], im = i1 * a1[c];
                if (top > 2) re += r2 * a2[c], im += i2 * a2[c];
                if (top > 3) re += r3 * a3[c], im += i3 * a3[c];
                if (top > 4) re += r4 * a4[c], im += i4 * a4[c];
                if (top > 5) re += r5 * a5[c], im += i5 * a5[c];
                to[c] = re, to[LANES + c] = im;
            }
        }
    }
}

/* y[q + l m] = start + Re sum_j conj(root[j]^l) z[block j, q] / N. */
INLINE void leave(real *y, const real *start, const fft *f, const real *z, long stride, long rows,
                  long n, const int top) {
    const long m = f->length / top, leg = m * FFT_ROW;
    const real share = (real)(1. / (double)f->length);
    for (long q = 0; q < m; q++) {
        const real *a0 = z + q * FFT_ROW, *a1 = a0 + leg, *a2 = a1 + leg, *a3 = a2 + leg;
        const real *a4 = a3 + leg, *a5 = a4 + leg;
        for (int l = 0; l < top && q + l * m < rows; l++) {
            const real(*w)[2] = f->back[l];
            const real r0 = w[0][0], r1 = w[1][0], r2 = w[2][0], r3 = w[3][0], r4 = w[4][0],
                       r5 = w[5][0];
            const real i0 = w[0][1], i1 = w[1][1], i2 = w[2][1], i3 = w[3][1], i4 = w[4][1],
                       i5 = w[5][1];
            real *to = y + (q + l * m) * stride;
            const real *from = start ? start : to;
            SIMD for (long c = 0; c < n; c++) {
                real sum = r0 * a0[c] + i0 * a0[LANES + c] + r1 * a1[c] + i1 * a1[LANES + c];
                if (top > 2) sum += r2 * a2[c] + i2 * a2[LANES + c];
                if (top > 3) sum += r3 * a3[c] + i3 * a3[LANES + c];
                if (top > 4) sum += r4 * a4[c] + i4 * a4[LANES + c];
                if (top > 5) sum += r5 * a5[c] + i5 * a5[LANES + c];
                to[c] = from[c] + share * sum;
            }
        }
    }
}

/* Runs a body with a constant number of blocks, and of channels where they fill the lanes. */
#define WITH_TOP(body, n, ...)                                                                     \
    switch (f->top) {                                                                              \
    case 2: body(__VA_ARGS__, n, 2); break;                                                        \
    case 3: body(__VA_ARGS__, n, 3); break;                                                        \
    case 4: body(__VA_ARGS__, n, 4); break;                                                        \
    default: body(__VA_ARGS__, n, 6); break;                                                       \
    }

void fft_forward(real *z, const fft *f, const real *x, long stride, long rows, long n) {
    const long m = f->length / f->top;
    if (n == LANES) {
        WITH_TOP(enter, LANES, z, f, x, stride, rows);
    } else {
        memset(z, 0, sizeof(real) * (size_t)(f->length * FFT_ROW));
        WITH_TOP(enter, n, z, f, x, stride, rows);
    }
    for (int j = 0; m > 1 && j < f->top; j++) split_all(z + j * m * FFT_ROW, f, m, j, f->top);
}

void fft_inverse(real *y, const real *start, const fft *f, real *z, long stride, long rows,
                 long n) {
    const long m = f->length / f->top;
    for (int j = 0; m > 1 && j < f->top; j++) join_all(z + j * m * FFT_ROW, f, m, j, f->top);
    if (n == LANES) {
        WITH_TOP(leave, LANES, y, start, f, z, stride, rows);
    } else {
        WITH_TOP(leave, n, y, start, f, z, stride, rows);
    }
}

/* ---- products --------------------------------------------------------------------------- */

void fft_convolve(real *z, const real *h, long length) {
    for (long q = 0; q < length; q++, z += FFT_ROW, h += FFT_ROW)
        SIMD for (int j = 0; j < LANES; j++) {
            const real re = z[j], im = z[LANES + j], hr = h[j], hi = h[LANES + j];
            z[j] = re * hr - im * hi, z[LANES + j] = re * hi + im * hr;
        }
}

void fft_correlate(real *z, const real *h, long length) {
    for (long q = 0; q < length; q++, z += FFT_ROW, h += FFT_ROW)
        SIMD for (int j = 0; j < LANES; j++) {
            const real re = z[j], im = z[LANES + j], hr = h[j], hi = h[LANES + j];
            z[j] = re * hr + im * hi, z[LANES + j] = im * hr - re * hi;
        }
}

void fft_add_correlation(real *sum, const real *a, const real *b, long length) {
    for (long q = 0; q < length; q++, sum += FFT_ROW, a += FFT_ROW, b += FFT_ROW)
        SIMD for (int j = 0; j < LANES; j++) {
            const real ar = a[j], ai = a[LANES + j], br = b[j], bi = b[LANES + j];
            sum[j] += ar * br + ai * bi, sum[LANES + j] += ai * br - ar * bi;
        }
}
