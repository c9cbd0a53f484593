/* colsum.cu - out[r,c] += sum_i x[r,i,c], without atomics, in an order fixed by the shape of x.
 *
 * A block of 256 threads is LANES rows high and 256 / LANES quads of columns wide: a thread sums
 * every LANES-th row of its quad, then a tree in shared memory joins the lanes. Tall x is cut into
 * parts of rows, each a row of partials; the same kernel sums those, so there are two launches, or
 * one where one part will do. 32 lanes read 128 bytes of each row, 4 rows per warp; the low block
 * of 4 lanes is for few rows of many columns (partials of matrix products).
 *
 * Memory-bound: x is read once, partials are at most 1/512 of it where x is large. Each thread
 * has up to four loads of 16 bytes in flight, a part at least 128 rows, and there are up to
 * 128 parts, so that 32 columns already make 128 blocks. */
#include "colsum.cuh"

enum { THREADS = 256, MIN_PART = 128, MAX_PARTS = 128, FEW_ROWS = 16 };

/* out[r out_run + p cols + c] (+)= sum of column c over part p, rows [p part_rows, ...) of x[r].
 * Grid: blocks of columns, parts, runs. */
template <int LANES, bool VECTOR>
static __global__ void __launch_bounds__(THREADS)
    column_sums(float *out, long out_run, const float *x, long rows, long cols, long part_rows,
                bool accumulate) {
    constexpr int QUADS = THREADS / LANES;
    DYN_SHARED(float4, sums); /* [LANES, QUADS] */
    const int quad = threadIdx.x % QUADS, lane = threadIdx.x / QUADS;
    const long c = ((long)blockIdx.x * QUADS + quad) * 4, from = blockIdx.y * part_rows;
    const long to = from + part_rows < rows ? from + part_rows : rows;
    const float *p = x + (blockIdx.z * rows + from + lane) * cols + c;
    float4 sum = make_float4(0, 0, 0, 0);
    for (long i = from + lane; i < to && c < cols; i += LANES, p += LANES * cols) {
        float4 v;
        if (VECTOR) {
            v = *(const float4 *)p;
        } else {
            v.x = p[0];
            v.y = c + 1 < cols ? p[1] : 0;
            v.z = c + 2 < cols ? p[2] : 0;
            v.w = c + 3 < cols ? p[3] : 0;
        }
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
    }
    sums[threadIdx.x] = sum;
    for (int half = LANES / 2; half; half /= 2) {
        __syncthreads();
        if (lane >= half) continue;
        const float4 v = sums[threadIdx.x + half * QUADS];
        sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        sums[threadIdx.x] = sum;
    }
    if (lane) return;
    float *to_quad = out + blockIdx.z * out_run + blockIdx.y * cols + c;
    const float total[4] = {sum.x, sum.y, sum.z, sum.w};
    for (int j = 0; j < 4; j++)
        if (c + j < cols) to_quad[j] = accumulate ? to_quad[j] + total[j] : total[j];
}

static void columns_launch(float *out, long out_run, const float *x, int runs, long rows, long cols,
                           int parts, long part_rows, bool accumulate) {
    const bool vector = is_vector(x) && cols % 4 == 0, few = part_rows <= FEW_ROWS;
    const long width = 4 * THREADS / (few ? 4 : 32); /* columns of a block */
    const dim3 grid(blocks_of(cols, width), (unsigned)parts, (unsigned)runs);
    const size_t shared = THREADS * sizeof(float4);
#define COLUMNS(lanes, is_vector)                                                                  \
    LAUNCH((column_sums<lanes, is_vector>), grid, dim3(THREADS), shared, out, out_run, x, rows,    \
           cols, part_rows, accumulate)
    if (few && vector)
        COLUMNS(4, true);
    else if (few)
        COLUMNS(4, false);
    else if (vector)
        COLUMNS(32, true);
    else
        COLUMNS(32, false);
#undef COLUMNS
}

void partials_launch(float *out, long out_run, const float *part, int runs, int parts, long n,
                     bool accumulate) {
    columns_launch(out, out_run, part, runs, parts, n, 1, parts, accumulate);
}

void colsum_launch(float *out, const float *x, int runs, long rows, int cols) {
    long part_rows = (rows + MAX_PARTS - 1) / MAX_PARTS;
    if (part_rows < MIN_PART) part_rows = MIN_PART;
    const int parts = (int)((rows + part_rows - 1) / part_rows);
    if (parts <= 4) { /* a second launch would take longer than it saves */
        columns_launch(out, cols, x, runs, rows, cols, 1, rows, true);
        return;
    }
    Scratch scratch;
    float *part = scratch.take<float>((size_t)runs * (size_t)parts * (size_t)cols);
    columns_launch(part, (long)parts * cols, x, runs, rows, cols, parts, part_rows, false);
    partials_launch(out, cols, part, runs, parts, cols, true);
}
