/* position.c - absolute positions, learned or sinusoidal; see kernels.def.
 *
 * A sinusoid row is computed once per position and added to all sequences of all runs. Channels
 * are taken in chunks so that the row fits on the stack whatever the width. */
#include "turn.h"

static void add_table(real *y, const real *x, const real *table, long runs, long batch, long time,
                      long cols, long max_time) {
    for (long r = 0; r < runs; r++)
        for (long b = 0; b < batch; b++) {
            const long at = (r * batch + b) * time * cols;
            const real *row = table + r * max_time * cols; /* [max_time, C], of which T are used */
            SIMD for (long i = 0; i < time * cols; i++) y[at + i] = x[at + i] + row[i];
        }
}

/* Channel 2i: sin(t 10000^(-2i/C)), channel 2i + 1: cos of the same; an odd C ends on a sine. */
static void add_sinusoids(real *y, const real *x, long rows, long time, int cols) {
    turn w;
    real wave[2 * TURN_PAIRS];
    for (int c0 = 0; c0 < cols; c0 += 2 * TURN_PAIRS) {
        const int n = cols - c0 < 2 * TURN_PAIRS ? cols - c0 : 2 * TURN_PAIRS;
        turn_start(&w, c0 / 2, (n + 1) / 2, cols, 10000);
        for (long t = 0; t < time; t++, turn_next(&w)) {
            for (int c = 0; c < n; c++) wave[c] = (real)(c % 2 ? w.cos[c / 2] : w.sin[c / 2]);
            for (long row = 0; row < rows; row++) {
                const long at = (row * time + t) * cols + c0;
                SIMD for (int c = 0; c < n; c++) y[at + c] = x[at + c] + wave[c];
            }
        }
    }
}

void K(position_fwd)(real *y, const real *x, const real *table, int runs, int batch, int time,
                     int cols, int max_time) {
    if (table)
        add_table(y, x, table, runs, batch, time, cols, max_time);
    else
        add_sinusoids(y, x, (long)runs * batch, time, cols);
}

void K(position_bwd)(real *dx, real *dtable, const real *dy, int runs, int batch, int time,
                     int cols, int max_time) {
    const long n = (long)time * cols;
    if (dx) SIMD for (long i = 0; i < (long)runs * batch * n; i++) dx[i] += dy[i];
    if (!dtable) return;
    for (long r = 0; r < runs; r++)
        for (long b = 0; b < batch; b++) {
            real *row = dtable + r * max_time * cols;
            const real *dyb = dy + (r * batch + b) * n; /* [T, C] */
            SIMD for (long i = 0; i < n; i++) row[i] += dyb[i];
        }
}
