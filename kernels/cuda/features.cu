/* features.cu - fixed functions of time; see kernels.def.
 *
 * Worked out in double, as on a CPU: there are only T cols numbers, and they feed long filters. A
 * thread makes one of them and stores it for all runs. */
#include "kernels/core/functions.h"
#include "port.cuh"

namespace {
enum { THREADS = 128 };

__device__ double fourier(long c, long cols, double s) {
    const long bands = (cols - 1) / 2, i = (c - 1) % (bands ? bands : 1);
    if (!c) return s;
    const double f =
        bands > 1 ? 1e-4 + ((double)bands - 1 - 1e-4) * (double)i / (double)(bands - 1) : 1e-4;
    const double angle = 2 * 3.14159265358979323846 * f * s;
    return c <= bands ? cos(angle) : -sin(angle);
}

__device__ double window(long c, long cols, double s) {
    const double slow = log(100.0) / 1.5, fast = log(100.0) / 0.3;
    const double rate = cols > 1 ? slow + (fast - slow) * (double)c / (double)(cols - 1) : slow;
    return exp(-s * rate);
}

__global__ void __launch_bounds__(THREADS)
    make_features(float *y, int kind, long runs, long time, long cols, double length) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x, t = i / cols, c = i - t * cols;
    if (t >= time) return;
    const double s = (double)t / length;
    const float f = (float)(kind == FEATURES_WINDOW ? window(c, cols, s) : fourier(c, cols, s));
    for (long r = 0; r < runs; r++) y[r * time * cols + i] = f;
}
} // namespace

void K(features_fwd)(real *y, int kind, int runs, int time, int cols, int length) {
    LAUNCH(make_features, dim3(blocks_of((long)time * cols, THREADS)), dim3(THREADS), 0, y, kind,
           (long)runs, (long)time, (long)cols, (double)length);
}
