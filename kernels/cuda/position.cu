/* position.cu - absolute positions, learned or sinusoidal; see kernels.def.
 *
 * Forward: a thread holds four channels of one position, read from the table or made by phase.cuh,
 * and adds them to SEQUENCES sequences. Backward: a thread walks the same channels of a group of
 * sequences, for dx and dtable at once. Where positions are too few to fill a GPU, the batch is cut
 * into groups whose sums a second launch adds; how many depends on the shapes of one run. Moves 8
 * bytes per element forward, 12 backward, and the sums, at most 2 / LEAST of that. */
#include "phase.cuh"
#include "pointwise.cuh"

namespace {
enum { SEQUENCES = 4, AHEAD = 4, LEAST = 8 };
constexpr long ENOUGH = 1 << 17; /* elements that fill a GPU: 2^15 threads */

/* x [R, batch, time, cols], table [R, max_time, cols]. */
struct Places {
    long batch, time, cols, max_time, units; /* units per position */
    double log2_theta;
    bool vector;
};

/* Channels c, c + 1, ... of the sinusoids of position t; c is even. */
__device__ Four sinusoids(long t, long c, const Places &a) {
    Four w;
    for (int j = 0; j < UNIT; j += 2)
        phase_turn(&w.v[j + 1], &w.v[j], phase_step((c + j) / 2, a.cols, a.log2_theta), t);
    return w;
}

__global__ void __launch_bounds__(POINT_THREADS)
    add_position(float *y, const float *x, const float *table, Places a) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, t = i / a.units;
    if (t >= a.time) return;
    const long c = UNIT * (i - t * a.units), r = blockIdx.z, first = (long)blockIdx.y * SEQUENCES;
    const int size = unit_size(c, a.cols);
    const Four w = table ? unit_load(table + (r * a.max_time + t) * a.cols + c, size, a.vector)
                         : sinusoids(t, c, a);
    Four v[SEQUENCES];
    for (int k = 0; k < SEQUENCES; k++) { /* all loads before the first store */
        const long at = ((r * a.batch + first + k) * a.time + t) * a.cols + c;
        v[k] = unit_load(x + at, first + k < a.batch ? size : 0, a.vector);
    }
    for (int k = 0; k < SEQUENCES; k++) {
        const long at = ((r * a.batch + first + k) * a.time + t) * a.cols + c;
        for (int j = 0; j < UNIT; j++) v[k].v[j] += w.v[j];
        unit_store(y + at, v[k], first + k < a.batch ? size : 0, a.vector);
    }
}

/* Over the sequences of a group, n elements each: dx += dy and sum[r, group] = or += the sum of dy.
 * Either may be NULL. */
__global__ void __launch_bounds__(POINT_THREADS)
    position_back(float *dx, float *sum, long sum_run, bool add, const float *dy, long batch,
                  long group, long n, bool vector) {
    const long i = UNIT * ((long)blockIdx.x * POINT_THREADS + threadIdx.x), r = blockIdx.z;
    const int size = unit_size(i, n);
    if (!size) return;
    const long first = blockIdx.y * group, end = first + group < batch ? first + group : batch;
    Four total = {};
    for (long b = first; b < end; b += AHEAD) {
        Four g[AHEAD], old[AHEAD];
        for (int k = 0; k < AHEAD; k++) {
            const long at = (r * batch + b + k) * n + i;
            const int m = b + k < end ? size : 0;
            g[k] = unit_load(dy + at, m, vector);
            old[k] = unit_load(dx + at, dx ? m : 0, vector);
        }
        for (int k = 0; k < AHEAD; k++) {
            for (int j = 0; j < UNIT; j++) {
                total.v[j] += g[k].v[j];
                old[k].v[j] += g[k].v[j];
            }
            const long at = (r * batch + b + k) * n + i;
            unit_store(dx + at, old[k], dx && b + k < end ? size : 0, vector);
        }
    }
    if (!sum) return;
    float *to = sum + r * sum_run + blockIdx.y * n + i;
    if (add)
        unit_add(to, total, size, vector);
    else
        unit_store(to, total, size, vector);
}

/* dtable[r, i] += sum over groups of part [R, groups, n]. */
__global__ void __launch_bounds__(POINT_THREADS)
    sum_groups(float *dtable, long table_run, const float *part, long groups, long n, bool vector) {
    const long i = UNIT * ((long)blockIdx.x * POINT_THREADS + threadIdx.x), r = blockIdx.y;
    const int size = unit_size(i, n);
    if (!size) return;
    Four total = {};
    for (long k = 0; k < groups; k++) {
        const Four p = unit_load(part + (r * groups + k) * n + i, size, vector);
        for (int j = 0; j < UNIT; j++) total.v[j] += p.v[j];
    }
    unit_add(dtable + r * table_run + i, total, size, vector);
}

/* Sequences per group. */
long group_of(long batch, long n) {
    const long groups = (ENOUGH + n - 1) / n, even = (batch + groups - 1) / groups;
    return even < LEAST ? (long)LEAST : even;
}
} // namespace

void K(position_fwd)(real *y, const real *x, const real *table, int runs, int batch, int time,
                     int cols, int max_time) {
    Places a = {batch, time, cols, max_time, (cols + UNIT - 1) / UNIT, log2(10000.0), false};
    a.vector = cols % UNIT == 0 && is_vector(y) && is_vector(x) && is_vector(table);
    LAUNCH(add_position,
           dim3(blocks_of(a.time * a.units, POINT_THREADS), blocks_of(batch, SEQUENCES),
                (unsigned)runs),
           dim3(POINT_THREADS), 0, y, x, table, a);
}

void K(position_bwd)(real *dx, real *dtable, const real *dy, int runs, int batch, int time,
                     int cols, int max_time) {
    if (!dx && !dtable) return;
    const long n = (long)time * cols, table_run = (long)max_time * cols;
    const long group = group_of(batch, n), groups = (batch + group - 1) / group;
    const bool vector = n % UNIT == 0 && table_run % UNIT == 0 && is_vector(dx) &&
                        is_vector(dtable) && is_vector(dy);
    const unsigned blocks = blocks_of(n, UNIT * POINT_THREADS);
    const bool add = groups == 1;
    Scratch scratch;
    float *part = dtable && !add ? scratch.take<float>((size_t)(runs * groups * n)) : nullptr;
    LAUNCH(position_back, dim3(blocks, (unsigned)groups, (unsigned)runs), dim3(POINT_THREADS), 0,
           dx, add ? dtable : part, add ? table_run : groups * n, add, dy, (long)batch, group, n,
           vector);
    if (part)
        LAUNCH(sum_groups, dim3(blocks, (unsigned)runs), dim3(POINT_THREADS), 0, dtable, table_run,
               part, groups, n, vector);
}
