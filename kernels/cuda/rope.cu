/* rope.cu - rotary positions; see kernels.def.
 *
 * The angles of a position serve all runs and sequences: a thread makes those of four pairs of one
 * head and turns them in SEQUENCES sequences. The fractions of a turn per step are worked out once
 * per block. Backward is the rotation by the opposite angle, added to dx. Moves 8 bytes per element
 * forward, 12 backward. */
#include "phase.cuh"
#include "pointwise.cuh"

namespace {
enum { SEQUENCES = 2 };

/* x [sequences, time, heads, dim]; units are those of half a head. */
struct Rope {
    long sequences, time, heads, half, units, blocks; /* blocks per group of sequences */
    double log2_theta;
    bool vector;
};

template <bool BACK>
__global__ void __launch_bounds__(POINT_THREADS) rotate(float *y, const float *x, Rope a) {
    DYN_SHARED(uint64_t, steps); /* [half] */
    for (long i = threadIdx.x; i < a.half; i += POINT_THREADS)
        steps[i] = phase_step(i, 2 * a.half, a.log2_theta);
    __syncthreads();
    const long group = blockIdx.x / a.blocks, block = blockIdx.x % a.blocks;
    const long u = block * POINT_THREADS + threadIdx.x, head = u / a.units; /* and position */
    if (head >= a.time * a.heads) return;
    const long i = UNIT * (u - head * a.units), t = head / a.heads;
    const int size = unit_size(i, a.half);
    Four c, s;
    for (int j = 0; j < UNIT; j++) {
        phase_turn(&c.v[j], &s.v[j], steps[j < size ? i + j : 0], t);
        if (BACK) s.v[j] = -s.v[j];
    }
    const long stride = a.time * a.heads * 2 * a.half;
    const long first = group * SEQUENCES * stride + head * 2 * a.half + i;
    Four x0[SEQUENCES], x1[SEQUENCES], y0[SEQUENCES], y1[SEQUENCES];
    for (int k = 0; k < SEQUENCES; k++) { /* all loads before the first store */
        const long at = first + k * stride;
        const int n = group * SEQUENCES + k < a.sequences ? size : 0;
        x0[k] = unit_load(x + at, n, a.vector);
        x1[k] = unit_load(x + at + a.half, n, a.vector);
        y0[k] = unit_load(y + at, BACK ? n : 0, a.vector);
        y1[k] = unit_load(y + at + a.half, BACK ? n : 0, a.vector);
    }
    for (int k = 0; k < SEQUENCES; k++) {
        const long at = first + k * stride;
        const int n = group * SEQUENCES + k < a.sequences ? size : 0;
        for (int j = 0; j < UNIT; j++) {
            const float turned0 = fmaf(x0[k].v[j], c.v[j], -(x1[k].v[j] * s.v[j]));
            const float turned1 = fmaf(x0[k].v[j], s.v[j], x1[k].v[j] * c.v[j]);
            y0[k].v[j] = BACK ? y0[k].v[j] + turned0 : turned0;
            y1[k].v[j] = BACK ? y1[k].v[j] + turned1 : turned1;
        }
        unit_store(y + at, y0[k], n, a.vector);
        unit_store(y + at + a.half, y1[k], n, a.vector);
    }
}

template <bool BACK>
void rope(float *y, const float *x, long sequences, long time, long heads, long dim, double theta) {
    Rope a = {};
    a.sequences = sequences, a.time = time, a.heads = heads, a.half = dim / 2;
    a.units = (a.half + UNIT - 1) / UNIT;
    a.blocks = blocks_of(time * heads * a.units, POINT_THREADS);
    a.log2_theta = log2(theta);
    a.vector = a.half % UNIT == 0 && is_vector(y) && is_vector(x);
    LAUNCH((rotate<BACK>), dim3((unsigned)(a.blocks * blocks_of(sequences, SEQUENCES))),
           dim3(POINT_THREADS), (size_t)a.half * sizeof(uint64_t), y, x, a);
}
} // namespace

void K(rope_fwd)(real *y, const real *x, int runs, int batch, int time, int heads, int dim,
                 double theta) {
    rope<false>(y, x, (long)runs * batch, time, heads, dim, theta);
}

void K(rope_bwd)(real *dx, const real *dy, int runs, int batch, int time, int heads, int dim,
                 double theta) {
    if (dx) rope<true>(dx, dy, (long)runs * batch, time, heads, dim, theta);
}
