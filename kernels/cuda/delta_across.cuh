/* delta_across.cuh - backward of the delta rule over the transposed state, once err and du of every
 * token are known (see delta.cu).
 *
 * Sums run over value channels, so lanes share those, and columns are key channels. Where there
 * are more value channels than rows, one sweep after the other adds its part. */
#pragma once
#include "delta_tiles.cuh"

namespace {

struct Across {
    const float *dO, *err, *du, *k, *q;
    float *dq, *pure_dq, *known; /* forwards; known = P w, not added to anything; may be NULL */
    float *dk;                   /* backwards: += dS u */
    bool back;
};

struct AcrossPair {
    Across at[2]; /* by blockIdx.y */
};

/* dO is at 0. */
struct AcrossLayout {
    int err, du, k, q, to, known, fade, beta, size;
};

template <int ROWS, int LANES, int COLS> struct AcrossSweep {
    static constexpr int ALL_ROWS = ROWS * LANES, TOKENS = ALL_ROWS > 128 ? 4 : 8;
    static constexpr int ROWS_OF_LANE = ROWS, COLS_OF_THREAD = COLS;
    const Across &p;
    int row; /* first of this sweep */
    AcrossLayout at;
    DeltaTiles<ALL_ROWS, TOKENS> t;
    float z[ROWS][COLS]; /* row 4 (j LANES + lane) + e is element 4 j + e */

    __host__ __device__ static AcrossLayout layout(int col_shift) {
        const int row = TOKENS * ALL_ROWS, col = TOKENS << col_shift, k = 3 * row,
                  fade = k + 4 * col;
        return {row,     2 * row,       k,
                k + col, k + 2 * col,   k + 3 * col,
                fade,    fade + TOKENS, (fade + 2 * TOKENS + 3) / 4 * 4};
    }

    __device__ AcrossSweep(const Across &pass, const Delta &a, float *shared)
        : p(pass), row(0), at(layout(a.d.col_shift)), t(a, shared, at.size, pass.back) {}

    __device__ void fetch(long i) {
        float *to = t.buffer(i);
        t.fetch_rows(to, p.dO, t.a.value, row, i);
        t.fetch_rows(to + at.err, p.err, t.a.value, row, i);
        t.fetch_rows(to + at.du, p.du, t.a.value, row, i);
        t.fetch_cols(to + at.k, p.k, t.a.key, i);
        if (p.back) t.fetch_cols(to + at.q, p.q, t.a.key, i);
        t.fetch_scalars(to + at.fade, to + at.beta, i);
    }

    __device__ void store(long i) {
        const float *from = t.buffer(i);
        float *add = p.back ? p.dk : p.dq;
        t.store_cols(add, t.a.key, i, [&](int e, long to, float old) {
            const float sum = from[at.to + e], known = from[at.known + e];
            if (add) add[to] = old + sum;
            if (p.pure_dq) p.pure_dq[to] = row ? p.pure_dq[to] + sum : sum;
            if (p.known) p.known[to] = row ? p.known[to] + known : known;
        });
    }

    __device__ void compute(long i) {
        float *from = t.buffer(i);
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const int tokens = t.tokens_of(i);
        const LaneSum<COLS, LANES> sums(lane);
        for (int j = 0; j < tokens; j++) {
            const int here = (j << t.a.d.col_shift) + c0;
            const float fade = from[at.fade + j], beta = from[at.beta + j];
            float k[COLS], q[COLS], sum[COLS], known[COLS];
#pragma unroll
            for (int c = 0; c < COLS; c++) {
                k[c] = beta * from[at.k + here + c]; /* u and w carry beta */
                q[c] = p.back ? from[at.q + here + c] : 0;
                sum[c] = known[c] = 0;
            }
#pragma unroll
            for (int r = 0; r < ROWS; r += 4) {
                const float *rows = from + j * ALL_ROWS + 4 * (r / 4 * LANES + lane);
                const float4 g4 = quad(rows), e4 = quad(rows + at.err), d4 = quad(rows + at.du);
                const float dO[4] = {g4.x, g4.y, g4.z, g4.w}, err[4] = {e4.x, e4.y, e4.z, e4.w};
                const float du[4] = {d4.x, d4.y, d4.z, d4.w};
#pragma unroll
                for (int e = 0; e < 4; e++)
#pragma unroll
                    for (int c = 0; c < COLS; c++) {
                        float &s = z[r + e][c];
                        if (p.back) {
                            s = fmaf(dO[e], q[c], s);
                            sum[c] = fmaf(err[e], s, sum[c]);
                            s = fade * fmaf(-du[e], k[c], s);
                        } else {
                            s *= fade;
                            known[c] = fmaf(du[e], s, known[c]);
                            s = fmaf(err[e], k[c], s);
                            sum[c] = fmaf(dO[e], s, sum[c]);
                        }
                    }
            }
            sums.add(sum, lane);
            sums.add(known, lane);
            if (!sums.owns) continue;
            const int to = here + sums.first;
#pragma unroll
            for (int c = 0; c < sums.LEFT; c++) {
                from[at.to + to + c] = p.back ? beta * sum[c] : sum[c];
                from[at.known + to + c] = beta * known[c];
            }
        }
    }
};

template <int ROWS, int LANES, int COLS>
__global__ void __launch_bounds__(2 * MAX_HALF, 2) across_sweep(AcrossPair all, Delta a) {
    DYN_SHARED(float, shared);
    AcrossSweep<ROWS, LANES, COLS> s(all.at[blockIdx.y], a, shared);
    for (; s.row < a.value; s.row += ROWS * LANES) sweep_from_zero(s);
}

template <int ROWS, int LANES, int COLS>
void across_launch(const AcrossPair &all, int n, Delta a, long seq_heads) {
    a.d = deal_of(a.key, LANES, COLS);
    LAUNCH((across_sweep<ROWS, LANES, COLS>), sweep_grid(a, n, seq_heads), dim3(2 * a.d.half),
           (sweep_bytes<AcrossSweep<ROWS, LANES, COLS>>(a)), all, a);
}

void across_pick(const AcrossPair &all, int n, const Delta &a, long seq_heads) {
    const bool wide = deal_is_wide(seq_heads * n, a.key);
    if (a.value <= 16)
        across_launch<4, 4, 1>(all, n, a, seq_heads);
    else if (a.value <= 32)
        across_launch<8, 4, 1>(all, n, a, seq_heads);
    else if (a.value <= 64 && !wide)
        across_launch<8, 8, 1>(all, n, a, seq_heads);
    else if (a.value <= 64)
        across_launch<8, 8, 4>(all, n, a, seq_heads);
    else
        across_launch<8, 32, 4>(all, n, a, seq_heads);
}
} // namespace
