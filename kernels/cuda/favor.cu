/* favor.cu - positive random features; see kernels.def.
 *
 * Forward: the products x w^T as one matrix product over all positions and heads, then a warp per
 * row turns them into features in place. Backward: a warp per row makes the gradients of the
 * exponents and takes the |x|^2 term to dx; one matrix product with w adds the rest. Two launches
 * each; traffic beside the product: features written twice and read once forward, two read and one
 * written and read backward. */
#include "gemm.cuh"
#include "reduce.cuh"

namespace {
enum { ROWS = 4 }; /* warps of a block */

/* y: products to features. Block (WARP, ROWS). */
__global__ void __launch_bounds__(WARP *ROWS)
    favor_features(float *y, const float *x, long rows, int dim, int features, float shrink,
                   float share, float eps) {
    const long row = (long)blockIdx.x * ROWS + threadIdx.y;
    const int lane = (int)threadIdx.x;
    if (row >= rows) return;
    float square = 0;
    for (int d = lane; d < dim; d += WARP)
        square = fmaf(x[row * dim + d], x[row * dim + d], square);
    const float half = warp_sum(square) * shrink * shrink / 2;
    y += row * features;
    for (int m = lane; m < features; m += WARP) y[m] = share * (expf(y[m] * shrink - half) + eps);
}

/* grad [rows, features], gradients of w_m.x; dx -= x shrink sum_m grad. */
__global__ void __launch_bounds__(WARP *ROWS)
    favor_back(float *dx, float *grad, const float *dy, const float *y, const float *x, long rows,
               int dim, int features, float shrink, float floor) {
    const long row = (long)blockIdx.x * ROWS + threadIdx.y, at = row * features;
    const int lane = (int)threadIdx.x;
    if (row >= rows) return;
    float total = 0;
    for (int m = lane; m < features; m += WARP) {
        const float g = shrink * dy[at + m] * (y[at + m] - floor);
        grad[at + m] = g;
        total += g;
    }
    total = warp_sum(total) * shrink;
    for (int d = lane; d < dim; d += WARP) dx[row * dim + d] -= total * x[row * dim + d];
}

} // namespace

void K(favor_fwd)(real *y, const real *x, const real *w, int runs, long rows, int dim, int features,
                  double eps) {
    product p = {};
    p.runs = runs, p.rows = (int)rows, p.cols = features, p.inner = dim;
    p.a = x, p.a_run = rows * dim, p.a_row = dim, p.a_col = 1;
    p.b = w, p.b_run = (long)features * dim, p.b_row = 1, p.b_col = dim;
    p.c = y, p.c_run = rows * features, p.c_row = features;
    gemm_launch(p);
    LAUNCH(favor_features, dim3(blocks_of(runs * rows, ROWS)), dim3(WARP, ROWS), 0, y, x,
           runs * rows, dim, features, (float)pow(dim, -0.25), (float)(1 / sqrt(features)),
           (float)eps);
}

void K(favor_bwd)(real *dx, const real *dy, const real *y, const real *x, const real *w, int runs,
                  long rows, int dim, int features, double eps) {
    if (!dx) return;
    Scratch scratch;
    float *grad = scratch.take<float>((size_t)(runs * rows * features));
    LAUNCH(favor_back, dim3(blocks_of(runs * rows, ROWS)), dim3(WARP, ROWS), 0, dx, grad, dy, y, x,
           runs * rows, dim, features, (float)pow(dim, -0.25), (float)(eps / sqrt(features)));
    product p = {};
    p.runs = runs, p.rows = (int)rows, p.cols = dim, p.inner = features, p.accumulate = true;
    p.a = grad, p.a_run = rows * features, p.a_row = features, p.a_col = 1;
    p.b = w, p.b_run = (long)features * dim, p.b_row = dim, p.b_col = 1;
    p.c = dx, p.c_run = rows * dim, p.c_row = dim;
    gemm_launch(p);
}
