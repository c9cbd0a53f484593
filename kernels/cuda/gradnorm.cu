/* gradnorm.cu - Euclidean norm of all gradients of a run; see kernels.def.
 *
 * A block sums one chunk of a run in double, a second launch the chunks. Chunks, and the elements
 * of a thread, are cut by position within the run, so a pack adds in the order of a run alone. At
 * most MOST_CHUNKS of them: the second launch is one short block per run. Reads 4 bytes per
 * element. */
#include "pointwise.cuh"
#include "reduce.cuh"
#include "segment.cuh"

namespace {
enum { THREADS = 256, MOST_CHUNKS = 1024 };

/* part[r, chunk] = sum of the squares of the chunk. */
__global__ void __launch_bounds__(THREADS)
    square_chunks(double *part, const float *g, const int *seg, int n_seg, long params, long chunk,
                  bool vector) {
    DYN_SHARED(double, warps);
    const long r = blockIdx.y, runs = gridDim.y, first = blockIdx.x * chunk;
    const long end = first + chunk < params ? first + chunk : params;
    double sum = 0;
    for (long e = first + UNIT * threadIdx.x; e < end; e += UNIT * THREADS) {
        const int size = unit_size(e, end);
        const Segment s = segment_find(seg, n_seg, runs, r, e);
        Four x = {};
        if (s.left >= size) {
            x = unit_load(g + s.at, size, vector && s.at % UNIT == 0);
        } else { /* across segments */
            for (int j = 0; j < UNIT; j++)
                if (j < size) x.v[j] = g[segment_find(seg, n_seg, runs, r, e + j).at];
        }
        for (int j = 0; j < UNIT; j++) sum += (double)x.v[j] * (double)x.v[j];
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) part[r * gridDim.x + blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS)
    root_of_sum(float *norm, const double *part, long chunks) {
    DYN_SHARED(double, warps);
    const long r = blockIdx.x;
    double sum = 0;
    for (long i = threadIdx.x; i < chunks; i += THREADS) sum += part[r * chunks + i];
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) norm[r] = (float)sqrt(sum);
}
} // namespace

void K(gradnorm_fwd)(real *norm, const real *g, const int *seg, int runs, int params, int n_seg) {
    const long pass = UNIT * THREADS; /* elements that a block reads at a time */
    const long chunk = ((params + pass * MOST_CHUNKS - 1) / (pass * MOST_CHUNKS)) * pass;
    const unsigned chunks = blocks_of(params, chunk);
    Scratch scratch;
    double *part = scratch.take<double>((size_t)runs * chunks);
    LAUNCH(square_chunks, dim3(chunks, (unsigned)runs), dim3(THREADS),
           THREADS / WARP * sizeof(double), part, g, seg, n_seg, (long)params, chunk, is_vector(g));
    LAUNCH(root_of_sum, dim3((unsigned)runs), dim3(THREADS), THREADS / WARP * sizeof(double), norm,
           part, (long)chunks);
}
