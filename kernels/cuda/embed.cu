/* embed.cu - rows of a table by id; see kernels.def.
 *
 * Backward adds all rows of dy that share an id, without atomics. Rows are sorted by id (sort.cuh).
 * The sorted list is cut into chunks of rows. A thread adds four channels down one
 * chunk: an id that lies within the chunk goes straight to the table, one that crosses its ends
 * leaves a partial sum, and a last launch adds the partial sums of such ids. So an id of thousands
 * of rows (vocabulary 2) and thousands of ids of one row take the same time, and the order of a sum
 * depends on the ids of the run alone.
 * Moves 8 bytes per element forward. Backward: 4 per element of dy, 8 per element of the rows of
 * the table that occur, and for the sort some 40 bytes per row and digit.
 *
 * An id outside the table cannot stop the program from here as on a CPU: its row becomes NaN, and
 * backward takes the nearest id. */
#include "pointwise.cuh"
#include "reduce.cuh"
#include "sort.cuh"

namespace {
enum { AHEAD = 4, LEAST_CHUNK = 16, MOST_CHUNKS = 512, FINISH_WARPS = 8 };

__global__ void __launch_bounds__(POINT_THREADS)
    take_rows(float *y, const float *table, const int *ids, long rows, long vocab, long cols,
              long units, bool vector) {
    const long u = (long)blockIdx.x * POINT_THREADS + threadIdx.x, i = u / units, r = blockIdx.y;
    if (i >= rows) return;
    const long c = UNIT * (u - i * units), id = ids[r * rows + i];
    const bool known = id >= 0 && id < vocab;
    const int size = unit_size(c, cols);
    Four x = unit_load(table + (r * vocab + id) * cols + c, known ? size : 0, vector);
    for (int j = 0; j < UNIT; j++)
        if (!known) x.v[j] = NAN;
    unit_store(y + (r * rows + i) * cols + c, x, size, vector);
}

/* The sums. order, sorted [R, rows]; edge [R, chunks, 2, cols]: of each chunk the sum of the id
 * that began before it, and of the id that began in it and goes on behind it, where there are such.
 */
struct Sums {
    const int *order, *sorted;
    long rows, vocab, cols, units, chunk, chunks;
    bool vector;
};

/* Adds the sum of an id to its row of the table, or stores it as an edge. */
__device__ void leave(float *to, Four sum, bool add, int size, bool vector) {
    const Four old = unit_load(to, add ? size : 0, vector);
    for (int j = 0; j < UNIT; j++) sum.v[j] += old.v[j];
    unit_store(to, sum, size, vector);
}

__global__ void __launch_bounds__(POINT_THREADS)
    sum_chunks(float *dtable, float *edge, const float *dy, Sums a) {
    const long u = (long)blockIdx.x * POINT_THREADS + threadIdx.x, mine = u / a.units;
    if (mine >= a.chunks) return;
    const long c = UNIT * (u - mine * a.units), r = blockIdx.y;
    const int size = unit_size(c, a.cols);
    const int *order = a.order + r * a.rows, *sorted = a.sorted + r * a.rows;
    const long first = mine * a.chunk, end = first + a.chunk < a.rows ? first + a.chunk : a.rows;
    int id = sorted[first];
    bool began_before = first && sorted[first - 1] == id;
    dy += r * a.rows * a.cols + c;
    dtable += r * a.vocab * a.cols + c;
    edge += (r * a.chunks + mine) * 2 * a.cols + c;
    Four sum = {};
    for (long at = first; at < end; at += AHEAD) {
        Four g[AHEAD];
        int next[AHEAD];
        for (int k = 0; k < AHEAD; k++) {
            const bool in = at + k < end;
            next[k] = in ? sorted[at + k] : -1;
            g[k] = unit_load(dy + (in ? order[at + k] : 0) * a.cols, in ? size : 0, a.vector);
        }
        for (int k = 0; k < AHEAD && at + k < end; k++) {
            if (next[k] != id) {
                leave(began_before ? edge : dtable + id * a.cols, sum, !began_before, size,
                      a.vector);
                id = next[k];
                began_before = false;
                sum = {};
            }
            for (int j = 0; j < UNIT; j++) sum.v[j] += g[k].v[j];
        }
    }
    const bool goes_on = end < a.rows && sorted[end] == id;
    float *to = began_before ? edge : goes_on ? edge + a.cols : dtable + id * a.cols;
    leave(to, sum, !began_before && !goes_on, size, a.vector);
}

/* Adds the partial sums of the id that began in chunk blockIdx.x and goes on behind it, if one did:
 * 32 channels per block, warp w takes every FINISH_WARPS-th of the chunks that follow. */
__global__ void __launch_bounds__(FINISH_WARPS *WARP)
    sum_edges(float *dtable, const float *edge, Sums a) {
    DYN_SHARED(float, part); /* [FINISH_WARPS, WARP] */
    const long mine = blockIdx.x % a.chunks, r = blockIdx.y;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const long c = (long)(blockIdx.x / a.chunks) * WARP + lane;
    const int *sorted = a.sorted + r * a.rows;
    const long first = mine * a.chunk, end = first + a.chunk;
    if (end >= a.rows || sorted[end] != sorted[end - 1]) return;
    const int id = sorted[end];
    if (first && sorted[first - 1] == id) return; /* began earlier */
    long low = mine + 1, high = a.chunks; /* the last chunk with this id is in [low, high) */
    while (high - low > 1) {
        const long middle = (low + high) / 2;
        if (sorted[middle * a.chunk] == id)
            low = middle;
        else
            high = middle;
    }
    edge += r * a.chunks * 2 * a.cols + c;
    float sum = 0;
    for (long k = mine + 1 + warp; c < a.cols && k <= low; k += FINISH_WARPS)
        sum += edge[k * 2 * a.cols];
    part[warp * WARP + lane] = sum;
    __syncthreads();
    if (warp || c >= a.cols) return;
    sum = edge[(mine * 2 + 1) * a.cols];
    for (int w = 0; w < FINISH_WARPS; w++) sum += part[w * WARP + lane];
    dtable[(r * a.vocab + id) * a.cols + c] += sum;
}
} // namespace

void K(embed_fwd)(real *y, const real *table, const int *ids, int runs, int rows, int vocab,
                  int cols) {
    const long units = (cols + UNIT - 1) / UNIT;
    const bool vector = cols % UNIT == 0 && is_vector(y) && is_vector(table);
    LAUNCH(take_rows, dim3(blocks_of(rows * units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, y, table, ids, (long)rows, (long)vocab, (long)cols, units,
           vector);
}

void K(embed_bwd)(real *dtable, const real *dy, const int *ids, int runs, int rows, int vocab,
                  int cols) {
    if (!dtable) return;
    Scratch scratch;
    const Sorted list = sort_launch(scratch, ids, runs, rows, vocab);
    const long even = blocks_of(rows, MOST_CHUNKS),
               chunk = even > LEAST_CHUNK ? even : (long)LEAST_CHUNK;
    Sums s = {list.order, list.id,
              rows,       vocab,
              cols,       (cols + UNIT - 1) / UNIT,
              chunk,      blocks_of(rows, chunk),
              false};
    s.vector = cols % UNIT == 0 && is_vector(dtable) && is_vector(dy);
    float *edge = scratch.take<float>((size_t)(runs * s.chunks * 2 * cols));
    LAUNCH(sum_chunks, dim3(blocks_of(s.chunks * s.units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, dtable, edge, dy, s);
    if (s.chunks > 1)
        LAUNCH(sum_edges, dim3((unsigned)s.chunks * blocks_of(cols, WARP), (unsigned)runs),
               dim3(FINISH_WARPS * WARP), FINISH_WARPS * WARP * sizeof(float), dtable, edge, s);
}
