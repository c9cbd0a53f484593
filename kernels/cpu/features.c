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

static double window(long c, long cols, double s) {
    const double slow = log(100) / 1.5, fast = log(100) / 0.3;
    const double rate = cols > 1 ? slow + (fast - slow) * (double)c / (double)(cols - 1) : slow;
    return exp(-s * rate);
}

void K(features_fwd)(real *y, int kind, int runs, int time, int cols, int length) {
    const long n = (long)time * cols;
    for (long t = 0; t < time; t++)
        for (long c = 0; c < cols; c++) {
            const double s = (double)t / length;
            y[t * cols + c] =
                (real)(kind == FEATURES_WINDOW ? window(c, cols, s) : fourier(c, cols, s));
        }
    for (long r = 1; r < runs; r++) memcpy(y + r * n, y, (size_t)n * sizeof *y);
}
