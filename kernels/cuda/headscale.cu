/* headscale.cu - one learned factor per head; see kernels.def.
 *
 * Backward reads dy and x once for both gradients. For ds the rows are cut into slabs: a thread
 * adds its four channels over the rows of its slab in float, a second launch adds slabs and
 * channels of a head in double. The number of slabs depends on `rows` only. Moves 8 bytes per
 * element forward, 16 backward, and the sums of the slabs, at most 1 / SLAB of that. */
#include "pointwise.cuh"
#include "reduce.cuh"

namespace {
enum { SLAB = 16, MOST_SLABS = 256, AHEAD = 2, THREADS = 256 };

/* x [R, rows, heads, dim] as units of a head; a unit never crosses heads. */
struct Heads {
    long rows, heads, dim, units; /* units per head */
    bool vector;
};

__global__ void __launch_bounds__(POINT_THREADS)
    scale_heads(float *y, const float *x, const float *s, Heads a) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, head = i / a.units; /* and row */
    if (head >= a.rows * a.heads) return;
    const long d = UNIT * (i - head * a.units),
               at = (blockIdx.y * a.rows * a.heads + head) * a.dim + d;
    const int size = unit_size(d, a.dim);
    Four v = unit_load(x + at, size, a.vector);
    const float factor = s[blockIdx.y * a.heads + head % a.heads];
    for (int j = 0; j < UNIT; j++) v.v[j] *= factor;
    unit_store(y + at, v, size, a.vector);
}

/* part[r, slab, c] = sum over the rows of the slab of dy x; dx += dy s. Either may be NULL. */
__global__ void __launch_bounds__(POINT_THREADS)
    scale_back(float *dx, float *part, const float *dy, const float *x, const float *s, Heads a,
               long slab, long slabs) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, width = a.heads * a.units;
    const long mine = i / width, head = i % width / a.units, d = UNIT * (i % a.units),
               r = blockIdx.y;
    if (mine >= slabs) return;
    const long c = head * a.dim + d, stride = a.heads * a.dim;
    const long first = mine * slab, end = first + slab < a.rows ? first + slab : a.rows;
    const int size = unit_size(d, a.dim);
    const float factor = s[r * a.heads + head];
    Four sum = {};
    for (long row = first; row < end; row += AHEAD) {
        Four g[AHEAD], v[AHEAD], old[AHEAD]; /* all loads before the first store */
        for (int k = 0; k < AHEAD; k++) {
            const long at = (r * a.rows + row + k) * stride + c;
            const int n = row + k < end ? size : 0;
            g[k] = unit_load(dy + at, n, a.vector);
            v[k] = unit_load(x + at, part ? n : 0, a.vector);
            old[k] = unit_load(dx + at, dx ? n : 0, a.vector);
        }
        for (int k = 0; k < AHEAD; k++) {
            for (int j = 0; j < UNIT; j++) {
                sum.v[j] = fmaf(g[k].v[j], v[k].v[j], sum.v[j]);
                old[k].v[j] = fmaf(g[k].v[j], factor, old[k].v[j]);
            }
            const long at = (r * a.rows + row + k) * stride + c;
            if (dx) unit_store(dx + at, old[k], row + k < end ? size : 0, a.vector);
        }
    }
    if (part) unit_store(part + (r * slabs + mine) * stride + c, sum, size, a.vector);
}

/* ds[r, h] += sum over slabs and channels of part [R, slabs, heads, dim]; one block each. */
__global__ void __launch_bounds__(THREADS)
    sum_slabs(float *ds, const float *part, long slabs, long heads, long dim) {
    DYN_SHARED(double, warps);
    const long h = blockIdx.x, r = blockIdx.y;
    const float *from = part + (r * slabs * heads + h) * dim;
    double sum = 0;
    for (long i = threadIdx.x; i < slabs * dim; i += THREADS)
        sum += (double)from[i / dim * heads * dim + i % dim];
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) ds[r * heads + h] += (float)sum;
}

Heads heads_of(int rows, int heads, int dim) {
    return {rows, heads, dim, (dim + UNIT - 1) / UNIT, dim % UNIT == 0};
}
} // namespace

void K(headscale_fwd)(real *y, const real *x, const real *s, int runs, int rows, int heads,
                      int dim) {
    Heads a = heads_of(rows, heads, dim);
    a.vector = a.vector && is_vector(y) && is_vector(x);
    LAUNCH(scale_heads, dim3(blocks_of(a.rows * a.heads * a.units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, y, x, s, a);
}

void K(headscale_bwd)(real *dx, real *ds, const real *dy, const real *x, const real *s, int runs,
                      int rows, int heads, int dim) {
    if (!dx && !ds) return;
    Heads a = heads_of(rows, heads, dim);
    a.vector = a.vector && is_vector(dx) && is_vector(dy) && is_vector(x);
    const long least = (a.rows + MOST_SLABS - 1) / MOST_SLABS; /* rows of a slab */
    const long slab = least > SLAB ? least : (long)SLAB;
    const long slabs = (a.rows + slab - 1) / slab;
    Scratch scratch;
    float *part = ds ? scratch.take<float>((size_t)(runs * slabs * heads * dim)) : nullptr;
    LAUNCH(scale_back, dim3(blocks_of(slabs * a.heads * a.units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, dx, part, dy, x, s, a, slab, slabs);
    if (ds)
        LAUNCH(sum_slabs, dim3((unsigned)heads, (unsigned)runs), dim3(THREADS),
               THREADS / WARP * sizeof(double), ds, part, slabs, a.heads, a.dim);
}
