/* expfilter.c - long filters from exponentials; see kernels.def.
 *
 * e^(-(t0 + j) rate) = e^(-t0 rate) e^(-j rate): with a table of the second factor for j < STEP, an
 * exponential is computed per STEP rows and state, and the rest are products. States are taken 64
 * at a time, so that the table stays in L1. Gradients get one number each from the whole length:
 * sums over the rows of a step in float, over steps in double. Cost per element and state: one
 * multiply-add forward, three backward. */
#include "cpu.h"

enum { STEP = 32, STATES = 64 };

/* fade[j,n] = e^(-j rate[n]). */
static void fade_fill(real fade[STEP][STATES], const real *rate, long states) {
    for (long j = 0; j < STEP; j++)
        SIMD for (long n = 0; n < states; n++) fade[j][n] = real_exp(-(real)j * rate[n]);
}

static long smaller(long a, long b) { return a < b ? a : b; }

void K(expfilter_fwd)(real *h, const real *w, const real *rate, int runs, int time, int cols,
                      int state) {
    real fade[STEP][STATES], top[STATES];
    for (long rc = 0; rc < (long)runs * cols; rc++)
        for (long first = 0; first < state; first += STATES) {
            const long states = smaller(STATES, state - first);
            const real *wn = w + rc * state + first, *rn = rate + rc * state + first;
            real *hc = h + rc / cols * time * cols + rc % cols; /* [time], cols apart */
            fade_fill(fade, rn, states);
            for (long t0 = 0; t0 < time; t0 += STEP) {
                SIMD for (long n = 0; n < states; n++) top[n] = wn[n] * real_exp(-(real)t0 * rn[n]);
                for (long j = 0; j < smaller(STEP, time - t0); j++) {
                    real sum = 0, *to = hc + (t0 + j) * cols;
                    SIMD_SUM(sum) for (long n = 0; n < states; n++) sum += top[n] * fade[j][n];
                    *to = first ? *to + sum : sum;
                }
            }
        }
}

void K(expfilter_bwd)(real *dw, real *drate, const real *dh, const real *w, const real *rate,
                      int runs, int time, int cols, int state) {
    real fade[STEP][STATES];
    for (long rc = 0; rc < (long)runs * cols; rc++)
        for (long first = 0; first < state; first += STATES) {
            const long states = smaller(STATES, state - first), at = rc * state + first;
            const real *dhc = dh + rc / cols * time * cols + rc % cols; /* [time], cols apart */
            double sum[STATES] = {0}, aged[STATES] = {0}; /* of e^(-t rate) dh, and t times that */
            fade_fill(fade, rate + at, states);
            for (long t0 = 0; t0 < time; t0 += STEP) {
                real part[STATES] = {0}, grown[STATES] = {0}; /* the same with j for t */
                for (long j = 0; j < smaller(STEP, time - t0); j++) {
                    const real d = dhc[(t0 + j) * cols], age = (real)j * d;
                    SIMD for (long n = 0; n < states; n++) {
                        part[n] += fade[j][n] * d;
                        grown[n] += fade[j][n] * age;
                    }
                }
                SIMD for (long n = 0; n < states; n++) {
                    const real top = real_exp(-(real)t0 * rate[at + n]);
                    sum[n] += (double)(top * part[n]);
                    aged[n] += (double)(top * ((real)t0 * part[n] + grown[n]));
                }
            }
            for (long n = 0; n < states; n++) {
                if (dw) dw[at + n] += (real)sum[n];
                if (drate) drate[at + n] -= (real)(aged[n] * (double)w[at + n]);
            }
        }
}
