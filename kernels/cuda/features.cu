/* features.cu - fixed functions of time; see kernels.def and core/features.h. A thread makes one
 * number and stores it for all runs. */
#include "port.cuh"
/* needs __device__ */
#include "kernels/core/features.h"

namespace {
enum { THREADS = 128 };

__global__ void __launch_bounds__(THREADS)
    make_features(float *y, int kind, long runs, long time, long cols, double length) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x, t = i / cols, c = i - t * cols;
    if (t >= time) return;
    const float f = (float)feature_at(kind, c, cols, (double)t / length);
    for (long r = 0; r < runs; r++) y[r * time * cols + i] = f;
}
} // namespace

void K(features_fwd)(real *y, int kind, int runs, int time, int cols, int length) {
    LAUNCH(make_features, dim3(blocks_of((long)time * cols, THREADS)), dim3(THREADS), 0, y, kind,
           (long)runs, (long)time, (long)cols, (double)length);
}
