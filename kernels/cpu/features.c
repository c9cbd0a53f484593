/* features.c - fixed functions of time; see kernels.def. Worked out in double: they are computed
 * once per replay, over T elements, and feed long filters. */
#include "cpu.h"
#include "kernels/core/functions.h"

#include <string.h>

static double fourier(long c, long cols, double s) {
    const long bands = (cols - 1) / 2, i = (c - 1) % (bands ? bands : 1);
    if (!c) return s;
    const double f =
        bands > 1 ? 1e-4 + ((double)bands - 1 - 1e-4) * (double)i / (double)(bands - 1) : 1e-4;
    const double angle = 2 * 3.14159265358979323846 * f * s;
    return c <= bands ? cos(angle) : -sin(angle);
}

static double window_rate(long c, long cols) {
    const double slow = log(100) / 1.5, fast = log(100) / 0.3;
    return cols > 1 ? slow + (fast - slow) * (double)c / (double)(cols - 1) : slow;
}

/* e^(-t rate / length) from products: an exponential starts every STEP rows, so that rounding in
 * double does not grow with time. */
static void windows(real *y, long time, long cols, long length) {
    enum { STEP = 64, COLS = 16 };
    for (long c0 = 0; c0 < cols; c0 += COLS) {
        const long n = cols - c0 < COLS ? cols - c0 : COLS;
        double value[COLS] = {0}, step[COLS] = {0};
        for (long c = 0; c < n; c++) step[c] = exp(-window_rate(c0 + c, cols) / (double)length);
        for (long t = 0; t < time; t++) {
            for (long c = 0; t % STEP == 0 && c < n; c++)
                value[c] = exp(-window_rate(c0 + c, cols) * (double)t / (double)length);
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
                y[t * cols + c] = (real)fourier(c, cols, (double)t / length);
    for (long r = 1; r < runs; r++) memcpy(y + r * n, y, (size_t)n * sizeof *y);
}
