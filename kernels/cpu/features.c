/* features.c - fixed functions of time; see kernels.def and core/features.h. */
#include "kernels/core/features.h"
#include "cpu.h"

#include <string.h>

/* e^(-t rate / length) from products: an exponential starts every STEP rows, so that rounding in
 * double does not grow with time. */
static void windows(real *y, long time, long cols, long length) {
    enum { STEP = 64, COLS = 16 };
    for (long c0 = 0; c0 < cols; c0 += COLS) {
        const long n = cols - c0 < COLS ? cols - c0 : COLS;
        double value[COLS] = {0}, step[COLS] = {0};
        for (long c = 0; c < n; c++)
            step[c] = exp(-feature_window_rate(c0 + c, cols) / (double)length);
        for (long t = 0; t < time; t++) {
            for (long c = 0; t % STEP == 0 && c < n; c++)
                value[c] = exp(-feature_window_rate(c0 + c, cols) * (double)t / (double)length);
            for (long c = 0; c < n; c++) {
                y[t * cols + c0 + c] = (real)value[c];
                value[c] *= step[c];
            }
        }
    }
}

void K(features_fwd)(real *y, int kind, int runs, int time, int cols, int length) {
    const long n = (long)time * cols;
    if (kind == FEATURES_WINDOW)
        windows(y, time, cols, length);
    else
        for (long t = 0; t < time; t++)
            for (long c = 0; c < cols; c++)
                y[t * cols + c] = (real)feature_fourier(c, cols, (double)t / length);
    for (long r = 1; r < runs; r++) memcpy(y + r * n, y, (size_t)n * sizeof *y);
}
