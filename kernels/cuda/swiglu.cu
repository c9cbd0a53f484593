/* swiglu.cu - y = silu(a) b; see kernels.def. Moves 12 bytes per element forward, 28 backward; one
 * sigmoid serves both gradients. */
#include "pointwise.cuh"

namespace {
struct gate {
    static __device__ void of(float *y, const float *x) { y[0] = x[0] / (1 + expf(-x[0])) * x[1]; }
};

struct slopes {
    static __device__ void of(float *d, const float *x) { /* dy, a, b */
        const float s = 1 / (1 + expf(-x[1])), dy_s = x[0] * s;
        d[0] = dy_s * x[2] * (1 + x[1] * (1 - s));
        d[1] = dy_s * x[1];
    }
};
} // namespace

void K(swiglu_fwd)(real *y, const real *a, const real *b, long n) {
    pointwise_set<gate>({y}, {a, b}, n);
}

void K(swiglu_bwd)(real *da, real *db, const real *dy, const real *a, const real *b, long n) {
    pointwise_add<slopes>({da, db}, {dy, a, b}, n);
}
