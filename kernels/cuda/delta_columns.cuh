/* delta_columns.cuh - the delta rule over columns of the state: forward, and the numbers per token
 * and column that tie tokens together (see delta.cu).
 *
 * Lanes share the rows (key channels) of a column, which stays in registers; a step needs one sum
 * over lanes before the update, one after it, and none across blocks. */
#pragma once
#include "delta_tiles.cuh"

namespace {

/* The sum over LANES lanes, in all of them. */
template <int LANES> __device__ inline float lanes_sum(float v) {
    for (int o = LANES / 2; o; o /= 2) v += __shfl_xor_sync(ALL_LANES, v, o);
    return v;
}

struct Columns {
    const float *k, *q; /* q NULL: forwards for the errors only */
    const float *v;     /* or dO */
    float *to;          /* o or err; or du */
    float *dv;          /* backwards; may be NULL */
    bool back;
};

/* The tiles of one buffer, in floats from its start; k is at 0. */
struct ColumnsLayout {
    int q, v, to, fade, beta, weight, size; /* weight: beta for store(), left by compute() */
};

template <int ROWS, int LANES, int COLS> struct ColumnsSweep {
    static constexpr int ALL_ROWS = ROWS * LANES, TOKENS = ALL_ROWS > 128 ? 2 : 8;
    static constexpr int ROWS_OF_LANE = ROWS, COLS_OF_THREAD = COLS;
    const Columns &p;
    ColumnsLayout at;
    DeltaTiles<ALL_ROWS, TOKENS> t;
    float z[ROWS][COLS]; /* row 4 (j LANES + lane) + e is element 4 j + e */

    __host__ __device__ static ColumnsLayout layout(int col_shift) {
        const int row = TOKENS * ALL_ROWS, col = TOKENS << col_shift;
        const int v = 2 * row, to = v + col, fade = to + col;
        return {
            row, v, to, fade, fade + TOKENS, fade + 2 * TOKENS, (fade + 3 * TOKENS + 3) / 4 * 4};
    }

    __device__ ColumnsSweep(const Columns &pass, const Delta &a, float *shared)
        : p(pass), at(layout(a.d.col_shift)), t(a, shared, at.size, pass.back) {}

    __device__ void fetch(long i) {
        float *to = t.buffer(i);
        t.fetch_rows(to, p.k, t.a.key, 0, i);
        if (p.q) t.fetch_rows(to + at.q, p.q, t.a.key, 0, i);
        t.fetch_cols(to + at.v, p.v, t.a.value, i);
        t.fetch_scalars(to + at.fade, to + at.beta, i);
    }

    __device__ void store(long i) {
        const float *from = t.buffer(i);
        t.store_cols(p.dv, t.a.value, i, [&](int e, long to, float old) {
            const float value = from[at.to + e];
            p.to[to] = value;
            if (p.dv) p.dv[to] = old + from[at.weight + (e >> t.a.d.col_shift)] * value;
        });
    }

    /* This thread's rows of a tile row. */
    __device__ void rows_of(float (&row)[ROWS], const float *from) const {
#pragma unroll
        for (int i = 0; i < ROWS; i += 4) {
            const float4 v = quad(from + 4 * (i / 4 * LANES + threadIdx.x % LANES));
            row[i] = v.x, row[i + 1] = v.y, row[i + 2] = v.z, row[i + 3] = v.w;
        }
    }

    /* P, error, update; sum: this lane's part of o. */
    __device__ void learn(float (&err)[COLS], float (&sum)[COLS], const float *k, const float *q,
                          float fade, float beta) {
        float row[ROWS];
        rows_of(row, k);
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            float known = 0;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                z[i][c] *= fade;
                known = fmaf(row[i], z[i][c], known);
            }
            err[c] -= lanes_sum<LANES>(known);
#pragma unroll
            for (int i = 0; i < ROWS; i++) z[i][c] = fmaf(row[i], beta * err[c], z[i][c]);
            sum[c] = 0;
        }
        if (!p.q) return;
        rows_of(row, q);
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int c = 0; c < COLS; c++) sum[c] = fmaf(row[i], z[i][c], sum[c]);
    }

    /* dS of S_t becomes that of S_{t-1}. */
    __device__ void unlearn(float (&du)[COLS], const float (&dO)[COLS], const float *k,
                            const float *q, float fade, float beta) {
        float row[ROWS];
        rows_of(row, q);
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int c = 0; c < COLS; c++) z[i][c] = fmaf(row[i], dO[c], z[i][c]);
        rows_of(row, k);
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            float sum = 0;
#pragma unroll
            for (int i = 0; i < ROWS; i++) sum = fmaf(row[i], z[i][c], sum);
            du[c] = lanes_sum<LANES>(sum);
#pragma unroll
            for (int i = 0; i < ROWS; i++) z[i][c] = fade * fmaf(-row[i], beta * du[c], z[i][c]);
        }
    }

    __device__ void compute(long i) {
        float *from = t.buffer(i);
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const int tokens = t.tokens_of(i), shift = t.a.d.col_shift;
        const LaneSum<COLS, LANES> sums(lane);
        for (int j = 0; j < tokens; j++) {
            const float *k = from + j * ALL_ROWS, *q = k + at.q;
            const float fade = from[at.fade + j], beta = from[at.beta + j];
            float *to = from + at.to + (j << shift) + c0;
            float v[COLS], sum[COLS];
#pragma unroll
            for (int c = 0; c < COLS; c++) v[c] = from[at.v + (j << shift) + c0 + c];
            if (threadIdx.x == 0) from[at.weight + j] = beta;
            if (p.back)
                unlearn(sum, v, k, q, fade, beta);
            else
                learn(v, sum, k, q, fade, beta);
            if (p.back || !p.q) { /* already whole */
#pragma unroll
                for (int c = 0; c < COLS; c++)
                    if (lane == 0) to[c] = p.back ? sum[c] : v[c];
                continue;
            }
            sums.add(sum, lane);
            if (sums.owns)
#pragma unroll
                for (int c = 0; c < sums.LEFT; c++) to[sums.first + c] = sum[c];
        }
    }
};

template <int ROWS, int LANES, int COLS>
__global__ void __launch_bounds__(2 * MAX_HALF, 2)
    columns_sweep(Columns first, Columns second, Delta a) {
    DYN_SHARED(float, shared);
    const Columns p = blockIdx.y ? second : first; /* an indexed array would go to local memory */
    ColumnsSweep<ROWS, LANES, COLS> s(p, a, shared);
    sweep_from_zero(s);
}

template <int ROWS, int LANES, int COLS>
void columns_launch(const Columns (&all)[2], int n, Delta a, long seq_heads) {
    a.d = deal_of(a.value, LANES, COLS);
    LAUNCH((columns_sweep<ROWS, LANES, COLS>), sweep_grid(a, n, seq_heads), dim3(2 * a.d.half),
           (sweep_bytes<ColumnsSweep<ROWS, LANES, COLS>>(a)), all[0], all[1], a);
}

void columns_pick(const Columns (&all)[2], int n, const Delta &a, long seq_heads) {
    const bool wide = deal_is_wide(seq_heads * n, a.value);
    if (a.key <= 16)
        columns_launch<8, 2, 1>(all, n, a, seq_heads);
    else if (a.key <= 32)
        columns_launch<16, 2, 1>(all, n, a, seq_heads);
    else if (a.key <= 64 && !wide)
        columns_launch<16, 4, 1>(all, n, a, seq_heads);
    else if (a.key <= 64)
        columns_launch<16, 4, 2>(all, n, a, seq_heads);
    else if (a.key <= 128)
        columns_launch<16, 8, 1>(all, n, a, seq_heads);
    else
        columns_launch<32, 32, 1>(all, n, a, seq_heads);
}
} // namespace
