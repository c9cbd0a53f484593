/* fill.cu - a constant; see kernels.def. Writes 4 bytes per element. */
#include "pointwise.cuh"

static __global__ void __launch_bounds__(POINT_THREADS)
    fill(float *y, float value, long n, bool vector) {
    const long at = UNIT * ((long)blockIdx.x * POINT_THREADS + threadIdx.x);
    Four v;
    for (int j = 0; j < UNIT; j++) v.v[j] = value;
    unit_store(y + at, v, unit_size(at, n), vector);
}

void K(fill_fwd)(real *y, double value, long n) {
    LAUNCH(fill, dim3(blocks_of(n, UNIT * POINT_THREADS)), dim3(POINT_THREADS), 0, y, (float)value,
           n, is_vector(y));
}
