/* shift.cu - sequences moved along time; see kernels.def.
 *
 * Within a sequence a move by `steps` is one by steps cols floats. Copies are of four floats where
 * that and the length are multiples of 4. Moves 8 bytes per element forward, 12 backward. */
#include "pointwise.cuh"

namespace {
/* x, y [sequences, all]; a move by `lead` of them. */
struct Move {
    long sequences, all, lead, units; /* units that a sequence is cut into */
    bool vector;
};

struct Spot {
    long sequence, at;
};

/* The unit of this thread. */
__device__ Spot spot_of(const Move &m) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, sequence = i / m.units;
    return {sequence, UNIT * (i - sequence * m.units)};
}

__global__ void __launch_bounds__(POINT_THREADS) move_on(float *y, const float *x, Move m) {
    const Spot p = spot_of(m);
    if (p.sequence >= m.sequences) return;
    const int size = unit_size(p.at, m.all);
    const float *from = x + p.sequence * m.all + p.at - m.lead;
    Four v = {};
    if (p.at >= m.lead)
        v = unit_load(from, size, m.vector);
    else
        for (int j = 0; j < UNIT; j++)
            if (j < size && p.at + j >= m.lead) v.v[j] = from[j];
    unit_store(y + p.sequence * m.all + p.at, v, size, m.vector);
}

__global__ void __launch_bounds__(POINT_THREADS) move_back(float *dx, const float *dy, Move m) {
    const Spot p = spot_of(m);
    if (p.sequence >= m.sequences) return;
    const int size = unit_size(p.at, m.all - m.lead);
    const long at = p.sequence * m.all + p.at;
    unit_add(dx + at, unit_load(dy + at + m.lead, size, m.vector), size, m.vector);
}

/* Units cover the sequence, or, back, what is left of it. */
Move move_of(const float *to, const float *from, int sequences, int time, int cols, int steps,
             bool back) {
    const long all = (long)time * cols, lead = (long)(steps < time ? steps : time) * cols;
    const long covered = back ? all - lead : all;
    return {sequences, all, lead, (covered + UNIT - 1) / UNIT,
            all % UNIT == 0 && lead % UNIT == 0 && is_vector(to) && is_vector(from)};
}
} // namespace

void K(shift_fwd)(real *y, const real *x, int sequences, int time, int cols, int steps) {
    const Move m = move_of(y, x, sequences, time, cols, steps, false);
    LAUNCH(move_on, dim3(blocks_of(m.sequences * m.units, POINT_THREADS)), dim3(POINT_THREADS), 0,
           y, x, m);
}

void K(shift_bwd)(real *dx, const real *dy, int sequences, int time, int cols, int steps) {
    if (!dx) return;
    const Move m = move_of(dx, dy, sequences, time, cols, steps, true);
    LAUNCH(move_back, dim3(blocks_of(m.sequences * m.units, POINT_THREADS)), dim3(POINT_THREADS), 0,
           dx, dy, m);
}
