/* delta.cu - the gated delta rule; see kernels.def and cpu/delta.c for the formulas.
 *
 * Forward: lanes share the rows (key channels) of a column of the state, which stays in registers;
 * a step needs one sum over lanes before the update, one after it, and none across blocks.
 *
 * Backward keeps no states. What ties tokens together are two numbers per token and column: the
 * error err_t = v_t - P_t^T k_t, of a sweep forwards, and du_t = dS_t^T k_t, of a sweep backwards
 * that does not need the states. Given these, with u = beta err and w = beta du, the rest are
 * linear recurrences over the transposed state, where sums run over value channels and lanes share
 * those:
 *
 *   forwards   P = a S,  -dk_t += P w_t,  S = P + k_t u_t^T,  dq_t = S dO_t
 *   backwards  dS += q_t dO_t^T,  dk_t += dS u_t,  dS = a (dS - k_t w_t^T)
 *   by token   dv = w, dbeta = du . err, dg = sum over s >= t of (q_s . dq_s - v_s . dv_s)
 *
 * dg follows from the symmetry that scaling g scales what q reads, and v what is written; summed in
 * double. Three launches: both sweeps for err and du, both recurrences, then the sums by token.
 * Scratch 2 x [R,B,T,H,V] and up to 2 x [R,B,T,H,K]. Flops per state element and token: 7 forward,
 * 26 backward. Sequential in time, as a step depends on the one before through the error. */
#include "suffix.cuh"
#include "sweep.cuh"

namespace {

/* What all sweeps share. */
struct Delta {
    long time, heads;
    int key, value;
    const float *beta, *g; /* [R,B,T,H]; g may be NULL */
    Deal d;
};

/* A head of a sequence. */
struct Place {
    long seq_head, first; /* its token 0 among rows of all heads */
    int col;              /* first column of the block */
};

__device__ inline Place place_of(const Delta &a) {
    const long seq_head = blockIdx.x / a.d.blocks, seq = seq_head / a.heads;
    return {seq_head, seq * a.time * a.heads + seq_head - seq * a.heads,
            (int)(blockIdx.x - seq_head * a.d.blocks) << a.d.col_shift};
}

/* e^g and beta of a tile's tokens. */
__device__ inline void fetch_scalars(float *fade, float *beta, const Delta &a, const Place &x,
                                     const Walk &w, long j0, int tokens, Fetcher f) {
    tile_fetch<true>(fade, a.g + (a.g ? x.first : 0), a.heads, a.g ? 1 : 0, 0, w, j0, 0, tokens, f);
    tile_fetch<false>(beta, a.beta + x.first, a.heads, 1, 0, w, j0, 0, tokens, f);
}

/* Where element b of a fetching thread's batch lies in a tensor of n channels; -1: nowhere. */
__device__ inline long target_of(int e, int tokens, const Delta &a, const Place &x, const Walk &w,
                                 long j0, int n) {
    const int c = x.col + (e & ((1 << a.d.col_shift) - 1));
    const long t = w.token(j0 + (e >> a.d.col_shift));
    if (e >= tokens << a.d.col_shift || c >= n || !w.holds(t)) return -1;
    return (x.first + t * a.heads) * n + c;
}

/* The sum over LANES lanes, in all of them. */
template <int LANES> __device__ inline float lanes_sum(float v) {
    for (int o = LANES / 2; o; o /= 2) v += __shfl_xor_sync(ALL_LANES, v, o);
    return v;
}

/* ---- sweeps over columns: rows are key channels ------------------------------------------- */

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

__host__ __device__ inline ColumnsLayout columns_layout(int tokens, int rows, int cols) {
    const int q = tokens * rows, v = 2 * q, to = v + tokens * cols, fade = to + tokens * cols;
    return {q, v, to, fade, fade + tokens, fade + 2 * tokens, (fade + 3 * tokens + 3) / 4 * 4};
}

__host__ __device__ constexpr int columns_tokens(int rows) { return rows > 128 ? 2 : 8; }

template <int ROWS, int LANES, int COLS> struct ColumnsSweep {
    static constexpr int ALL_ROWS = ROWS * LANES, ROW_SHIFT = log2_up(ALL_ROWS);
    static constexpr int TOKENS = columns_tokens(ALL_ROWS);
    const Columns &p;
    const Delta &a;
    float *shared;
    Place x;
    Walk walk;
    ColumnsLayout at;
    Fetcher f;
    float z[ROWS][COLS]; /* row 4 (j LANES + lane) + e is element 4 j + e */

    __device__ float *buffer(long i) const { return shared + (i & 1) * at.size; }

    __device__ void fetch(long i) {
        float *to = buffer(i);
        const long j0 = i * TOKENS, step = a.heads * a.key;
        tile_fetch<false>(to, p.k + x.first * a.key, step, a.key, ROW_SHIFT, walk, j0, 0, TOKENS,
                          f);
        if (p.q)
            tile_fetch<false>(to + at.q, p.q + x.first * a.key, step, a.key, ROW_SHIFT, walk, j0, 0,
                              TOKENS, f);
        tile_fetch<false>(to + at.v, p.v + x.first * a.value + x.col, a.heads * a.value,
                          a.value - x.col, a.d.col_shift, walk, j0, 0, TOKENS, f);
        fetch_scalars(to + at.fade, to + at.beta, a, x, walk, j0, TOKENS, f);
    }

    __device__ void store(long i) {
        constexpr int BATCH = 4; /* loads before the first store */
        const float *from = buffer(i);
        for (int e0 = f.p; e0 < TOKENS << a.d.col_shift; e0 += BATCH * f.threads) {
            long to[BATCH];
            float old[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                to[b] = target_of(e0 + b * f.threads, TOKENS, a, x, walk, i * TOKENS, a.value);
                old[b] = p.dv && to[b] >= 0 ? p.dv[to[b]] : 0;
            }
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                if (to[b] < 0) continue;
                const int e = e0 + b * f.threads;
                p.to[to[b]] = from[at.to + e];
                if (p.dv)
                    p.dv[to[b]] = old[b] + from[at.weight + (e >> a.d.col_shift)] * from[at.to + e];
            }
        }
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
        float *from = buffer(i);
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const LaneSum<COLS, LANES> sums(lane);
        const long left = a.time - i * TOKENS, tokens = left < TOKENS ? left : TOKENS;
        for (int j = 0; j < tokens; j++) {
            const float *k = from + j * ALL_ROWS, *q = k + at.q;
            const float fade = from[at.fade + j], beta = from[at.beta + j];
            float *to = from + at.to + (j << a.d.col_shift) + c0;
            float v[COLS], sum[COLS];
#pragma unroll
            for (int c = 0; c < COLS; c++) v[c] = from[at.v + (j << a.d.col_shift) + c0 + c];
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
    typedef ColumnsSweep<ROWS, LANES, COLS> Sweep;
    DYN_SHARED(float, shared);
    const Columns p = blockIdx.y ? second : first; /* an indexed array would go to local memory */
    Sweep s = {p,
               a,
               shared,
               place_of(a),
               walk_of(a.time, p.back),
               columns_layout(Sweep::TOKENS, Sweep::ALL_ROWS, 1 << a.d.col_shift),
               {(int)threadIdx.x - a.d.half, a.d.half},
               {}};
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < COLS; c++) s.z[i][c] = 0;
    sweep(s, (a.time + Sweep::TOKENS - 1) / Sweep::TOKENS, (int)threadIdx.x >= a.d.half);
}

template <int ROWS, int LANES, int COLS>
void columns_launch(const Columns (&all)[2], int n, Delta a, long seq_heads) {
    a.d = deal_of(a.value, LANES, COLS);
    const int rows = ROWS * LANES;
    const size_t floats =
        2 * (size_t)columns_layout(columns_tokens(rows), rows, 1 << a.d.col_shift).size;
    LAUNCH((columns_sweep<ROWS, LANES, COLS>),
           dim3((unsigned)(seq_heads * a.d.blocks), (unsigned)n), dim3(2 * a.d.half),
           floats * sizeof(float), all[0], all[1], a);
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

/* ---- recurrences over the transposed state: rows are value channels ------------------------ */

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

__host__ __device__ inline AcrossLayout across_layout(int tokens, int rows, int cols) {
    const int row = tokens * rows, col = tokens * cols, k = 3 * row, fade = k + 4 * col;
    return {row,     2 * row,       k,
            k + col, k + 2 * col,   k + 3 * col,
            fade,    fade + tokens, (fade + 2 * tokens + 3) / 4 * 4};
}

__host__ __device__ constexpr int across_tokens(int rows) { return rows > 128 ? 4 : 8; }

template <int ROWS, int LANES, int COLS> struct AcrossSweep {
    static constexpr int ALL_ROWS = ROWS * LANES, ROW_SHIFT = log2_up(ALL_ROWS);
    static constexpr int TOKENS = across_tokens(ALL_ROWS);
    const Across &p;
    const Delta &a;
    float *shared;
    Place x;
    int row; /* first of this sweep */
    Walk walk;
    AcrossLayout at;
    Fetcher f;
    float z[ROWS][COLS]; /* row 4 (j LANES + lane) + e is element 4 j + e */

    __device__ float *buffer(long i) const { return shared + (i & 1) * at.size; }

    __device__ void fetch_rows(float *to, const float *from, long j0) const {
        tile_fetch<false>(to, from + x.first * a.value + row, a.heads * a.value, a.value - row,
                          ROW_SHIFT, walk, j0, 0, TOKENS, f);
    }
    __device__ void fetch_cols(float *to, const float *from, long j0) const {
        tile_fetch<false>(to, from + x.first * a.key + x.col, a.heads * a.key, a.key - x.col,
                          a.d.col_shift, walk, j0, 0, TOKENS, f);
    }

    __device__ void fetch(long i) {
        float *to = buffer(i);
        const long j0 = i * TOKENS;
        fetch_rows(to, p.dO, j0);
        fetch_rows(to + at.err, p.err, j0);
        fetch_rows(to + at.du, p.du, j0);
        fetch_cols(to + at.k, p.k, j0);
        if (p.back) fetch_cols(to + at.q, p.q, j0);
        fetch_scalars(to + at.fade, to + at.beta, a, x, walk, j0, TOKENS, f);
    }

    __device__ void store(long i) {
        constexpr int BATCH = 4; /* loads before the first store */
        const float *from = buffer(i);
        float *add = p.back ? p.dk : p.dq;
        for (int e0 = f.p; e0 < TOKENS << a.d.col_shift; e0 += BATCH * f.threads) {
            long to[BATCH];
            float old[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                to[b] = target_of(e0 + b * f.threads, TOKENS, a, x, walk, i * TOKENS, a.key);
                old[b] = add && to[b] >= 0 ? add[to[b]] : 0;
            }
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                if (to[b] < 0) continue;
                const int e = e0 + b * f.threads;
                const float sum = from[at.to + e], known = from[at.known + e];
                if (add) add[to[b]] = old[b] + sum;
                if (p.pure_dq) p.pure_dq[to[b]] = row ? p.pure_dq[to[b]] + sum : sum;
                if (p.known) p.known[to[b]] = row ? p.known[to[b]] + known : known;
            }
        }
    }

    __device__ void compute(long i) {
        float *from = buffer(i);
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const LaneSum<COLS, LANES> sums(lane);
        const long left = a.time - i * TOKENS, tokens = left < TOKENS ? left : TOKENS;
        for (int j = 0; j < tokens; j++) {
            const int here = (j << a.d.col_shift) + c0;
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
    typedef AcrossSweep<ROWS, LANES, COLS> Sweep;
    DYN_SHARED(float, shared);
    const Across &p = all.at[blockIdx.y];
    Sweep s = {p,
               a,
               shared,
               place_of(a),
               0,
               walk_of(a.time, p.back),
               across_layout(Sweep::TOKENS, Sweep::ALL_ROWS, 1 << a.d.col_shift),
               {(int)threadIdx.x - a.d.half, a.d.half},
               {}};
    for (; s.row < a.value; s.row += Sweep::ALL_ROWS) {
        for (int i = 0; i < ROWS; i++)
            for (int c = 0; c < COLS; c++) s.z[i][c] = 0;
        sweep(s, (a.time + Sweep::TOKENS - 1) / Sweep::TOKENS, (int)threadIdx.x >= a.d.half);
    }
}

template <int ROWS, int LANES, int COLS>
void across_launch(const AcrossPair &all, int n, Delta a, long seq_heads) {
    a.d = deal_of(a.key, LANES, COLS);
    const int rows = ROWS * LANES;
    const size_t floats =
        2 * (size_t)across_layout(across_tokens(rows), rows, 1 << a.d.col_shift).size;
    LAUNCH((across_sweep<ROWS, LANES, COLS>), dim3((unsigned)(seq_heads * a.d.blocks), (unsigned)n),
           dim3(2 * a.d.half), floats * sizeof(float), all, a);
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

/* ---- sums by token ------------------------------------------------------------------------- */

/* q dq - v dv of a token; on the way dbeta = du . err and dk -= known. At token 0 of a head. */
struct TokenTerm {
    const float *q, *pure_dq, *known, *v, *err, *du, *beta; /* pure_dq NULL: dg is not wanted */
    float *dk, *dbeta;                                      /* may be NULL */
    long heads, key, value;

    __device__ double of(long t, int lane) const {
        double sum = 0, through_v = 0, miss = 0;
        for (long i = lane; i < key; i += WARP) {
            const long at = t * heads * key + i;
            if (pure_dq) sum += (double)q[at] * (double)pure_dq[at];
            if (dk) dk[at] -= known[at];
        }
        for (long i = lane; i < value; i += WARP) {
            const long at = t * heads * value + i;
            through_v += (double)v[at] * (double)du[at];
            miss += (double)err[at] * (double)du[at];
        }
        miss = warp_sum(miss);
        if (dbeta && lane == 0) dbeta[t * heads] += (float)miss;
        return sum - through_v * (double)beta[t * heads];
    }
};

/* All pointers as in TokenTerm, but of all runs. */
__global__ void __launch_bounds__(SUFFIX_THREADS, 2)
    token_sums(float *dg, TokenTerm all, long time) {
    const long seq = blockIdx.x / all.heads, head = blockIdx.x - seq * all.heads;
    const long one = seq * time * all.heads + head, key = one * all.key, value = one * all.value;
    TokenTerm x = all;
    x.q += key, x.v += value, x.err += value, x.du += value, x.beta += one;
    if (x.pure_dq) x.pure_dq += key;
    if (x.dk) x.dk += key, x.known += key;
    if (x.dbeta) x.dbeta += one;
    suffix_sum(dg ? dg + one : nullptr, all.heads, x, time);
}
} // namespace

void K(delta_fwd)(real *o, const real *q, const real *k, const real *v, const real *beta,
                  const real *g, real *, int runs, int batch, int time, int heads, int key,
                  int value) {
    const Delta a = {time, heads, key, value, beta, g, {}};
    columns_pick({{k, q, v, o, nullptr, false}, {}}, 1, a, (long)runs * batch * heads);
}

void K(delta_bwd)(real *dq, real *dk, real *dv, real *dbeta, real *dg, const real *dO,
                  const real *q, const real *k, const real *v, const real *beta, const real *g,
                  real *, int runs, int batch, int time, int heads, int key, int value) {
    if (!dq && !dk && !dv && !dbeta && !dg) return;
    const Delta a = {time, heads, key, value, beta, g, {}};
    const long seq_heads = (long)runs * batch * heads;
    const size_t rows = (size_t)seq_heads * (size_t)time;
    Scratch scratch;
    float *err = scratch.take<float>(rows * (size_t)value);
    float *du = scratch.take<float>(rows * (size_t)value);
    float *pure_dq = dg ? scratch.take<float>(rows * (size_t)key) : nullptr;
    float *known = dk ? scratch.take<float>(rows * (size_t)key) : nullptr;
    columns_pick({{k, nullptr, v, err, nullptr, false}, {k, q, dO, du, dv, true}}, 2, a, seq_heads);
    if (dq || dk || dg)
        across_pick({{{dO, err, du, k, q, dq, pure_dq, known, nullptr, false},
                      {dO, err, du, k, q, nullptr, nullptr, nullptr, dk, true}}},
                    dk ? 2 : 1, a, seq_heads);
    if (dk || dbeta || dg)
        LAUNCH(token_sums, dim3((unsigned)seq_heads), dim3(SUFFIX_THREADS), SUFFIX_BYTES, dg,
               TokenTerm{q, pure_dq, known, v, err, du, beta, dk, dbeta, heads, key, value},
               (long)time);
}
