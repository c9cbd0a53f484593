/* add.cu - residual connection; see kernels.def. Moves 12 bytes per element forward, 20 backward
 * for both gradients. */
#include "pointwise.cuh"

namespace {
struct sum {
    static __device__ void of(float *y, const float *x) { y[0] = x[0] + x[1]; }
};

struct both {
    static __device__ void of(float *d, const float *dy) { d[0] = d[1] = dy[0]; }
};
} // namespace

void K(add_fwd)(real *y, const real *a, const real *b, long n) {
    pointwise_set<sum>({y}, {a, b}, n);
}

void K(add_bwd)(real *da, real *db, const real *dy, long n) {
    pointwise_add<both>({da, db}, {dy}, n);
}
