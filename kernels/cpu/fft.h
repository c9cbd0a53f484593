/* fft.h - products of real polynomials by a Fourier transform, for FFT_LANES channels at once.
 *
 * A transform holds N complex rows, [N, 2, FFT_LANES]: all real parts of a row, then all imaginary
 * ones. It stands for a real sequence of 2 N rows modulo x^2N + 1, of which the caller gives and
 * takes the first N; the others are the room that products need, so that a convolution of two
 * sequences of at most N rows is exact in its first N rows, and a correlation in its lags >= 0.
 * Rounding errors are relative to the norm of a whole channel: eps sqrt(log N), not to an element.
 * Results depend on shapes and values only. No heap, no state between calls. */
#pragma once
#include "cpu.h"
#include "kernels/core/work.h"

enum { FFT_ROW = 2 * FFT_LANES, FFT_MOST_TOP = 6 };

typedef struct fft {
    long length; /* N = top * 4^k rows */
    int top;     /* 2, 3, 4 or 6: how many blocks the first pass makes */
    const real *table;
    real root[FFT_MOST_TOP][FFT_MOST_TOP][2]; /* block, power: of the first pass */
    real back[FFT_MOST_TOP][FFT_MOST_TOP][2]; /* power, block: the same, for the last one */
} fft;

/* length: an fft_length(); table: fft_table(length) reals that stay in use. */
#define fft_start K(fft_start)
fft fft_start(real *table, long length);

/* Transforms `rows` <= N rows of n <= FFT_LANES channels, `stride` apart; zero after them. */
#define fft_forward K(fft_forward)
void fft_forward(real *z, const fft *f, const real *x, long stride, long rows, long n);

/* y[t] = start + sequence of z at t < rows; start [n], or NULL: adds to y. z is spoilt. */
#define fft_inverse K(fft_inverse)
void fft_inverse(real *y, const real *start, const fft *f, real *z, long stride, long rows, long n);

/* Transforms of convolutions and correlations: z = z h; z = z conj(h); sum += a conj(b). */
#define fft_convolve K(fft_convolve)
void fft_convolve(real *z, const real *h, long length);
#define fft_correlate K(fft_correlate)
void fft_correlate(real *z, const real *h, long length);
#define fft_add_correlation K(fft_add_correlation)
void fft_add_correlation(real *sum, const real *a, const real *b, long length);
