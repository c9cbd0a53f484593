/* lerp.cu - a blend of two streams; see kernels.def.
 *
 * With m per element this is pointwise: 16 bytes per element forward, 40 backward. With m per
 * channel, see rowwise.cuh: 12 forward, 28 and the sums backward. */
#include "rowwise.cuh"

namespace {
struct blend {
    static __device__ void of(float *y, const float *x) { /* a, b, m */
        y[0] = fmaf(x[2], x[1] - x[0], x[0]);
    }
};

struct gradients {
    static __device__ void of(float *d, const float *x) { /* da, db, dm from dy, a, b, m */
        d[0] = x[0] * (1 - x[3]);
        d[1] = x[0] * x[3];
        d[2] = x[0] * (x[2] - x[1]);
    }
};
} // namespace

void K(lerp_fwd)(real *y, const real *a, const real *b, const real *m, int runs, int rows, int cols,
                 int rows_of_m) {
    if (rows_of_m == rows)
        pointwise_set<blend>({y}, {a, b, m}, (long)runs * rows * cols);
    else
        rowwise_set<blend>(y, {a, b}, m, runs, rows, cols);
}

void K(lerp_bwd)(real *da, real *db, real *dm, const real *dy, const real *a, const real *b,
                 const real *m, int runs, int rows, int cols, int rows_of_m) {
    if (rows_of_m == rows) {
        pointwise_add<gradients>({da, db, dm}, {dy, a, b, m}, (long)runs * rows * cols);
    } else if (da && da == db) { /* one stream as both: its two gradients one after the other */
        rowwise_add<gradients>({da, nullptr}, dm, {dy, a, b}, m, runs, rows, cols);
        rowwise_add<gradients>({nullptr, db}, nullptr, {dy, a, b}, m, runs, rows, cols);
    } else {
        rowwise_add<gradients>({da, db}, dm, {dy, a, b}, m, runs, rows, cols);
    }
}
