/* repeat.cu - copies of groups of channels; see kernels.def.
 *
 * A thread holds four channels of x or dx: forward writes them `times` times, backward adds as many
 * rows of dy to them, in order. Moves 4 (times + 1) bytes per element of x forward, 4 (times + 2)
 * backward. */
#include "pointwise.cuh"

namespace {
/* x [groups, dim] with the rows among the groups, y [groups, times, dim]. */
struct Copies {
    long groups, dim, times, units; /* units per group */
    bool vector;
};

/* Of the unit of this thread. */
struct Place {
    long x, y; /* first channel, and the same of the first copy */
    int size;  /* 0: there is no such unit */
};

__device__ Place place_of(const Copies &a) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, g = i / a.units;
    const long d = UNIT * (i - g * a.units);
    return {g * a.dim + d, g * a.times * a.dim + d, g < a.groups ? unit_size(d, a.dim) : 0};
}

__global__ void __launch_bounds__(POINT_THREADS) copy(float *y, const float *x, Copies a) {
    const Place p = place_of(a);
    const Four v = unit_load(x + p.x, p.size, a.vector);
    for (long j = 0; j < a.times; j++) unit_store(y + p.y + j * a.dim, v, p.size, a.vector);
}

__global__ void __launch_bounds__(POINT_THREADS) add_copies(float *dx, const float *dy, Copies a) {
    const Place p = place_of(a);
    Four sum = unit_load(dx + p.x, p.size, a.vector);
#pragma unroll 4 /* loads that are under way together */
    for (long j = 0; j < a.times; j++) {
        const Four g = unit_load(dy + p.y + j * a.dim, p.size, a.vector);
        for (int k = 0; k < UNIT; k++) sum.v[k] += g.v[k];
    }
    unit_store(dx + p.x, sum, p.size, a.vector);
}

Copies copies_of(const float *to, const float *from, long rows, int groups, int dim, int times) {
    return {rows * groups, dim, times, (dim + UNIT - 1) / UNIT,
            dim % UNIT == 0 && is_vector(to) && is_vector(from)};
}
} // namespace

void K(repeat_fwd)(real *y, const real *x, long rows, int groups, int dim, int times) {
    const Copies a = copies_of(y, x, rows, groups, dim, times);
    LAUNCH(copy, dim3(blocks_of(a.groups * a.units, POINT_THREADS)), dim3(POINT_THREADS), 0, y, x,
           a);
}

void K(repeat_bwd)(real *dx, const real *dy, long rows, int groups, int dim, int times) {
    if (!dx) return;
    const Copies a = copies_of(dx, dy, rows, groups, dim, times);
    LAUNCH(add_copies, dim3(blocks_of(a.groups * a.units, POINT_THREADS)), dim3(POINT_THREADS), 0,
           dx, dy, a);
}
