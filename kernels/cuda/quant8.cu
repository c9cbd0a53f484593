/* quant8.cu - activations of 8 bits per token; see kernels.def.
 *
 * A warp per row: one pass for the maximum, one that rounds; the second finds the row in cache.
 * Rounding is in double, as on a processor, so that every device takes the same steps; two
 * multiplications and a rounding per element stay hidden behind memory on a GPU with fast doubles.
 * Moves 8 bytes per element forward, 12 backward. */
#include "pointwise.cuh"
#include "reduce.cuh"

namespace {
enum { WARPS = 4 };

struct pass {
    static __device__ void of(float *dx, const float *dy) { dx[0] = dy[0]; }
};

__global__ void __launch_bounds__(WARPS *WARP)
    round_rows(float *y, const float *x, long rows, long cols, double eps, bool vector) {
    const long i = (long)blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (i >= rows) return;
    x += i * cols;
    y += i * cols;
    float most = 0;
    for (long c = UNIT * lane; c < cols; c += UNIT * WARP) {
        const Four v = unit_load(x + c, unit_size(c, cols), vector);
        for (int j = 0; j < UNIT; j++) most = fmaxf(most, fabsf(v.v[j]));
    }
    most = warp_max(most);
    const double top = (double)most > eps ? (double)most : eps, up = 127 / top, a = top / 127;
    for (long c = UNIT * lane; c < cols; c += UNIT * WARP) {
        const int size = unit_size(c, cols);
        Four v = unit_load(x + c, size, vector);
        for (int j = 0; j < UNIT; j++) v.v[j] = (float)(a * rint((double)v.v[j] * up));
        unit_store(y + c, v, size, vector);
    }
}
} // namespace

void K(quant8_fwd)(real *y, const real *x, long rows, int cols, double eps) {
    const bool vector = cols % UNIT == 0 && is_vector(x) && is_vector(y);
    LAUNCH(round_rows, dim3(blocks_of(rows, WARPS)), dim3(WARPS * WARP), 0, y, x, rows, (long)cols,
           eps, vector);
}

void K(quant8_bwd)(real *dx, const real *dy, long n) { pointwise_add<pass>({dx}, {dy}, n); }
