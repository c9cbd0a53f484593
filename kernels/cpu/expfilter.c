/* expfilter.c - long filters from exponentials; see kernels.def. Sums over time in double: w and
 * rate get one number each from the whole length. */
#include "cpu.h"

void K(expfilter_fwd)(real *h, const real *w, const real *rate, int runs, int time, int cols,
                      int state) {
    for (long r = 0; r < runs; r++)
        for (long t = 0; t < time; t++)
            for (long c = 0; c < cols; c++) {
                const real *wc = w + (r * cols + c) * state, *rc = rate + (r * cols + c) * state;
                real sum = 0;
                SIMD_SUM(sum)
                for (long n = 0; n < state; n++) sum += wc[n] * real_exp(-(real)t * rc[n]);
                h[(r * time + t) * cols + c] = sum;
            }
}

void K(expfilter_bwd)(real *dw, real *drate, const real *dh, const real *w, const real *rate,
                      int runs, int time, int cols, int state) {
    for (long r = 0; r < runs; r++)
        for (long c = 0; c < cols; c++)
            for (long n = 0; n < state; n++) {
                const long at = (r * cols + c) * state + n;
                double sum = 0, aged = 0;
                for (long t = 0; t < time; t++) {
                    const double term =
                        (double)(dh[(r * time + t) * cols + c] * real_exp(-(real)t * rate[at]));
                    sum += term;
                    aged += (double)t * term;
                }
                if (dw) dw[at] += (real)sum;
                if (drate) drate[at] -= (real)(aged * (double)w[at]);
            }
}
