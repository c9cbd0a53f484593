/* ternary.cu - weights of three values; see kernels.def.
 *
 * A matrix is cut into chunks, at most MOST_CHUNKS of them: one launch leaves the sum of |w| of
 * each in double, the next adds those of its matrix, the same way in every block, and rounds its
 * chunk, in double as on a processor. Chunks depend on the size of a matrix only. Moves 12 bytes
 * per weight forward, of which 4 may come from L2, and 12 backward. */
#include "pointwise.cuh"
#include "reduce.cuh"

namespace {
enum { THREADS = 256, MOST_CHUNKS = 1024, ROUND = 4 * THREADS, LEAST_CHUNK = 2 * ROUND };

struct pass {
    static __device__ void of(float *dw, const float *dy) { dw[0] = dy[0]; }
};

/* Matrices of all runs, [matrices, size]. */
struct Matrices {
    const float *w;
    long size, chunk, chunks;
    bool vector;
};

__global__ void __launch_bounds__(THREADS) sum_sizes(double *part, Matrices a) {
    DYN_SHARED(double, warps); /* [THREADS / WARP] */
    const long m = blockIdx.x / a.chunks, first = blockIdx.x % a.chunks * a.chunk;
    const long end = first + a.chunk < a.size ? first + a.chunk : a.size;
    double sum = 0;
    for (long i = first + UNIT * threadIdx.x; i < end; i += ROUND) {
        const Four v = unit_load(a.w + m * a.size + i, unit_size(i, end), a.vector);
        for (int j = 0; j < UNIT; j++) sum += (double)fabsf(v.v[j]);
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS)
    round_weights(float *y, const double *part, Matrices a, double eps) {
    DYN_SHARED(double, warps); /* [THREADS / WARP] */
    const long m = blockIdx.x / a.chunks, first = blockIdx.x % a.chunks * a.chunk;
    const long end = first + a.chunk < a.size ? first + a.chunk : a.size;
    double sum = 0;
    for (long i = threadIdx.x; i < a.chunks; i += THREADS) sum += part[m * a.chunks + i];
    const double mean = block_sum(sum, warps) / (double)a.size, scale = mean > eps ? mean : eps;
    for (long i = first + UNIT * threadIdx.x; i < end; i += ROUND) {
        const int size = unit_size(i, end);
        Four v = unit_load(a.w + m * a.size + i, size, a.vector);
        for (int j = 0; j < UNIT; j++)
            v.v[j] = (float)(scale * fmin(1., fmax(-1., rint((double)v.v[j] / scale))));
        unit_store(y + m * a.size + i, v, size, a.vector);
    }
}
} // namespace

void K(ternary_fwd)(real *y, const real *w, int matrices, long size, double eps) {
    const long even = ((size + MOST_CHUNKS - 1) / MOST_CHUNKS + ROUND - 1) / ROUND * ROUND;
    const long chunk = even > LEAST_CHUNK ? even : (long)LEAST_CHUNK;
    const Matrices a = {w, size, chunk, blocks_of(size, chunk),
                        size % UNIT == 0 && is_vector(w) && is_vector(y)};
    const dim3 grid((unsigned)(matrices * a.chunks)), block(THREADS);
    Scratch scratch;
    double *part = scratch.take<double>((size_t)(matrices * a.chunks));
    LAUNCH(sum_sizes, grid, block, THREADS / WARP * sizeof(double), part, a);
    LAUNCH(round_weights, grid, block, THREADS / WARP * sizeof(double), y, part, a, eps);
}

void K(ternary_bwd)(real *dw, const real *dy, long n) { pointwise_add<pass>({dw}, {dy}, n); }
