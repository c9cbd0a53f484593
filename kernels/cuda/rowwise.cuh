/* rowwise.cuh - streams [R, rows, cols] beside one operand [R, cols] that the rows of a run share.
 *
 * Forward is pointwise.cuh with the operand as one more input, which caches hold. Backward makes
 * the gradients of streams and, in the same pass, sums the operand's over rows: rows are cut into
 * slabs, a thread adds four channels over the rows of its slab, colsum.cuh adds the slabs. Slabs
 * follow from rows and cols only; their sums are at most 8 / SLAB bytes per element of traffic. */
#pragma once
#include "colsum.cuh"
#include "pointwise.cuh"

namespace {

enum { SLAB = 16 };
constexpr long ENOUGH_UNITS = 1 << 15; /* threads that fill a GPU */

template <int OUT, int IN> struct Rows {
    Streams<OUT, IN> s;
    const float *shared;    /* [R, cols]; NULL: zeros */
    long rows, cols, units; /* units per row */
};

template <int OUT, int IN>
Rows<OUT, IN> rows_of(float *const (&out)[OUT], const float *const (&in)[IN], const float *shared,
                      long rows, long cols) {
    Rows<OUT, IN> a = {{}, shared, rows, cols, (cols + UNIT - 1) / UNIT};
    a.s.vector = cols % UNIT == 0 && is_vector(shared);
    for (int k = 0; k < OUT; k++) {
        a.s.out[k] = out[k];
        a.s.vector = a.s.vector && is_vector(out[k]);
    }
    for (int k = 0; k < IN; k++) {
        a.s.in[k] = in[k];
        a.s.vector = a.s.vector && is_vector(in[k]);
    }
    return a;
}

template <class F, int IN>
__global__ void __launch_bounds__(POINT_THREADS) row_values(Rows<1, IN> a) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, row = i / a.units;
    if (row >= a.rows) return;
    const long c = UNIT * (i - row * a.units), at = (blockIdx.y * a.rows + row) * a.cols + c;
    const int size = unit_size(c, a.cols);
    Four in[IN + 1], out;
    for (int k = 0; k < IN; k++) in[k] = unit_load(a.s.in[k] + at, size, a.s.vector);
    in[IN] = unit_load(a.shared + blockIdx.y * a.cols + c, size, a.s.vector);
    for (int j = 0; j < UNIT; j++) {
        float x[IN + 1];
        for (int k = 0; k <= IN; k++) x[k] = in[k].v[j];
        F::of(&out.v[j], x);
    }
    unit_store(a.s.out[0] + at, out, size, a.s.vector);
}

/* part[r, slab, c] = sum over the rows of the slab of y[OUT]; NULL: not wanted. */
template <class F, int OUT, int IN>
__global__ void __launch_bounds__(POINT_THREADS)
    row_gradients(float *part, Rows<OUT, IN> a, long slab, long slabs) {
    constexpr int AHEAD = OUT + IN > 3 ? 2 : 4; /* rows whose loads are under way together */
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, mine = i / a.units;
    if (mine >= slabs) return;
    const long c = UNIT * (i - mine * a.units), r = blockIdx.y, first = mine * slab;
    const long end = first + slab < a.rows ? first + slab : a.rows;
    const int size = unit_size(c, a.cols);
    const Four shared = unit_load(a.shared + r * a.cols + c, a.shared ? size : 0, a.s.vector);
    Four sum = {};
    for (long row = first; row < end; row += AHEAD) {
        Four in[AHEAD][IN], out[AHEAD][OUT];
        for (int n = 0; n < AHEAD; n++) {
            const long at = (r * a.rows + row + n) * a.cols + c;
            const int m = row + n < end ? size : 0;
            for (int k = 0; k < IN; k++) in[n][k] = unit_load(a.s.in[k] + at, m, a.s.vector);
            for (int k = 0; k < OUT; k++)
                out[n][k] = unit_load(a.s.out[k] + at, a.s.out[k] ? m : 0, a.s.vector);
        }
        for (int n = 0; n < AHEAD; n++) {
            const long at = (r * a.rows + row + n) * a.cols + c;
            const int m = row + n < end ? size : 0;
            for (int j = 0; j < UNIT; j++) {
                float x[IN + 1], y[OUT + 1];
                for (int k = 0; k < IN; k++) x[k] = in[n][k].v[j];
                x[IN] = shared.v[j];
                F::of(y, x);
                for (int k = 0; k < OUT; k++) out[n][k].v[j] += y[k];
                if (m) sum.v[j] += y[OUT];
            }
            for (int k = 0; k < OUT; k++)
                if (a.s.out[k]) unit_store(a.s.out[k] + at, out[n][k], m, a.s.vector);
        }
    }
    if (part) unit_store(part + (r * slabs + mine) * a.cols + c, sum, size, a.s.vector);
}

} // namespace

/* y = y[0], where F::of(y, x) with x[k] = in[k] at the same place, x[IN] = shared of the run and
 * column. */
template <class F, int IN>
void rowwise_set(float *y, const float *const (&in)[IN], const float *shared, int runs, int rows,
                 int cols) {
    const Rows<1, IN> a = rows_of<1, IN>({y}, in, shared, rows, cols);
    LAUNCH((row_values<F, IN>), dim3(blocks_of(a.rows * a.units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, a);
}

/* out[k] += y[k] and dshared [R, cols] += sum over rows of y[OUT]; any may be NULL. out[k] do not
 * overlap. */
template <class F, int OUT, int IN>
void rowwise_add(float *const (&out)[OUT], float *dshared, const float *const (&in)[IN],
                 const float *shared, int runs, int rows, int cols) {
    bool any = dshared;
    for (int k = 0; k < OUT; k++) any = any || out[k];
    if (!any) return;
    const Rows<OUT, IN> a = rows_of(out, in, shared, rows, cols);
    const long most = ENOUGH_UNITS > a.units ? ENOUGH_UNITS / a.units : 1;
    const long even = (rows + most - 1) / most, slab = even > SLAB ? even : (long)SLAB;
    const long slabs = (rows + slab - 1) / slab;
    Scratch scratch;
    float *part = dshared ? scratch.take<float>((size_t)(runs * slabs * cols)) : nullptr;
    LAUNCH((row_gradients<F, OUT, IN>),
           dim3(blocks_of(slabs * a.units, POINT_THREADS), (unsigned)runs), dim3(POINT_THREADS), 0,
           part, a, slab, slabs);
    if (dshared) colsum_launch(dshared, part, runs, slabs, cols);
}
