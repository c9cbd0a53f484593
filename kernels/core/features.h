/* features.h - the functions of time that the op `features` makes, for every device; enum
 * features_kind of functions.h says which. Worked out in double: there are only T cols numbers per
 * replay, and they feed long filters. CUDA sources include port.cuh before this. */
#pragma once
#include "functions.h"

#ifdef __cplusplus
#    define DEVICE_FUNCTION static __device__ inline
#else
#    include <math.h>
#    define DEVICE_FUNCTION static inline
#endif

/* Channel c of `cols` at time s = t / length. */
DEVICE_FUNCTION double feature_fourier(long c, long cols, double s) {
    const long bands = (cols - 1) / 2, i = (c - 1) % (bands ? bands : 1);
    if (!c) return s;
    const double f =
        bands > 1 ? 1e-4 + ((double)bands - 1 - 1e-4) * (double)i / (double)(bands - 1) : 1e-4;
    const double angle = 2 * 3.14159265358979323846 * f * s;
    return c <= bands ? cos(angle) : -sin(angle);
}

/* e^(-s rate). */
DEVICE_FUNCTION double feature_window_rate(long c, long cols) {
    const double slow = log(100.0) / 1.5, fast = log(100.0) / 0.3;
    return cols > 1 ? slow + (fast - slow) * (double)c / (double)(cols - 1) : slow;
}

DEVICE_FUNCTION double feature_at(int kind, long c, long cols, double s) {
    return kind == FEATURES_WINDOW ? exp(-s * feature_window_rate(c, cols))
                                   : feature_fourier(c, cols, s);
}
