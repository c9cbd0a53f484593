/* rope.c - rotary positions; see kernels.def.
 *
 * Time is the outer loop: the angles of one position serve all runs, sequences and heads. The
 * backward pass is the rotation by the opposite angle, added to dx. Cost 3 dim per head row. */
#include "turn.h"

#include <stdbool.h>

/* y (+)= x with every pair turned by `sign` times its angle; x, y [R, B, T, heads, dim]. */
static void rotate(real *y, const real *x, long rows, long time, long heads, int dim, double theta,
                   double sign, bool add) {
    const long half = dim / 2;
    turn w;
    real c[TURN_PAIRS], s[TURN_PAIRS];
    turn_start(&w, 0, (int)half, dim, theta);
    for (long t = 0; t < time; t++, turn_next(&w)) {
        for (long i = 0; i < half; i++) {
            c[i] = (real)w.cos[i];
            s[i] = (real)(sign * w.sin[i]);
        }
        for (long row = 0; row < rows; row++)
            for (long h = 0; h < heads; h++) {
                const long at = ((row * time + t) * heads + h) * dim;
                const real *x0 = x + at, *x1 = x0 + half;
                real *restrict y0 = y + at, *restrict y1 = y0 + half;
                if (add) {
                    SIMD for (long i = 0; i < half; i++) {
                        y0[i] += x0[i] * c[i] - x1[i] * s[i];
                        y1[i] += x0[i] * s[i] + x1[i] * c[i];
                    }
                } else {
                    SIMD for (long i = 0; i < half; i++) {
                        y0[i] = x0[i] * c[i] - x1[i] * s[i];
                        y1[i] = x0[i] * s[i] + x1[i] * c[i];
                    }
                }
            }
    }
}

void K(rope_fwd)(real *y, const real *x, int runs, int batch, int time, int heads, int dim,
                 double theta) {
    rotate(y, x, (long)runs * batch, time, heads, dim, theta, 1, false);
}

void K(rope_bwd)(real *dx, const real *dy, int runs, int batch, int time, int heads, int dim,
                 double theta) {
    if (dx) rotate(dx, dy, (long)runs * batch, time, heads, dim, theta, -1, true);
}
