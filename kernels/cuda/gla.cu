/* gla.cu - linear attention with decay; see kernels.def and cpu/gla.c for the formulas.
 *
 * Output and gradients are four uses of one recurrence over a state Z [in, out] per head,
 *
 *   Z_t = decay_t Z_{t-1} + add_t outer_t^T,   to_t = Z_t^T read_t,
 *
 *             in     add  read  out    outer  decays      time
 *   o         key    k    q     value  v      with rows   forwards
 *   dq        value  v    dO    key    k      columns     forwards
 *   dk        value  dO   v     key    q      columns     backwards, by the decay of t + 1
 *   dv        key    q    k     value  dO     rows        backwards, by the decay of t + 1
 *
 * so that sums always run over rows, which a few lanes share, and never over blocks: no partial
 * sums, and a column's bits do not depend on how columns are dealt out. That is three passes over
 * the state in backward where a CPU needs two, but each does less. With a bonus, read comes before
 * the update (then backward decays by t itself), and own_t = sum_i read_i u_i add_i of the token
 * itself is added: own_t outer_t (with u for columns instead where these are keys).
 *
 * A thread keeps ROWS x COLS elements of Z in registers. ROWS * LANES rows are done at once; more
 * rows take more sweeps over time. Where there are few heads, a thread has one column, for the
 * sake of more threads; where there are many, four, as each number read from shared memory is then
 * used four times; either way gives the same bits, hence the explicit fmaf. Cost of a pass per
 * state element and token: two fmas and a product.
 *
 * dg: G_t = sum of decays so far gets q_t dq_t - k_t dk_t, and dg_t the sum over later G, in
 * double; dq and dk without bonus wait for that in scratch (2 x [R,B,T,H,K], only where dg or du is
 * wanted).
 *
 * Sequential in time: cutting time into chunks, which would fill a GPU with one long sequence of
 * few heads, is not done; B H V columns of a run are the parallelism. */
#include "fold.cuh"
#include "kernels/core/work.h"
#include "suffix.cuh"
#include "sweep.cuh"
#include "window.cuh"

namespace {
enum { GLA_AHEAD = 4, GLA_THREADS = 64 };

/* One row of the table above; tensors of all runs. Pointers may be NULL from g on. */
struct Pass {
    const float *add, *read, *outer, *g;
    const float *row_u, *col_u; /* [R,H,in] or [R,H,out], one of them where there is a bonus */
    float *to;                  /* [R,B,T,H,out] */
    float *pure;                /* to without the bonus, not added to anything */
    float *own;                 /* [R,B,T,H] */
    int in, out;
    bool adds, reverse; /* to +=, else = */
};

struct Passes {
    Pass at[2]; /* by blockIdx.y */
};

struct Gla {
    long time, heads, batch;
    int decay;
    bool before; /* read, then update: there is a bonus */
    Deal d;
};

/* Floats of shared memory of one of the two buffers. */
struct Layout {
    int read, fade, outer, to, own, size; /* add is at 0 */
};

__host__ __device__ inline Layout layout_of(int tokens, int rows, int cols) {
    Layout l;
    l.read = tokens * rows;
    l.fade = 2 * tokens * rows;
    l.outer = l.fade + tokens * (rows > cols ? rows : cols);
    l.to = l.outer + tokens * cols;
    l.own = l.to + tokens * cols;
    l.size = l.own + tokens;
    return l;
}

/* Tokens of a tile: long enough that a barrier is cheap, and 48 KiB hold two. */
__host__ __device__ constexpr int tile_tokens(int rows, int cols) {
    return rows > 128 ? 4 : rows <= 32 && cols == 1 ? 16 : 8;
}

/* What a block does of a pass: rows [row, row + ROWS LANES) and columns [col, col + 2^col_shift) of
 * one head. FADE_ROWS: decays are those of rows; else of columns, or one for all. */
template <int ROWS, int LANES, int COLS, bool FADE_ROWS> struct GlaSweep {
    static constexpr int ALL_ROWS = ROWS * LANES, ROW_SHIFT = log2_up(ALL_ROWS);
    static constexpr int TOKENS = tile_tokens(ALL_ROWS, COLS);
    const Pass &p;
    const Gla &a;
    float *shared, *u; /* [2, layout size], [ALL_ROWS] */
    long seq, head, row;
    int col;
    Walk walk;
    Layout at;
    Fetcher f;
    float z[ROWS][COLS]; /* row 4 (j LANES + lane) + e is element 4 j + e */

    __device__ float *buffer(long i) const { return shared + (i & 1) * at.size; }
    __device__ const float *row_of(const float *x, long channels) const {
        return x + (seq * a.time * a.heads + head) * channels;
    }

    __device__ void fetch(long i) {
        float *to = buffer(i);
        const int in = (int)(p.in - row), out = p.out - col, rows = FADE_ROWS ? p.in : p.out;
        const long j0 = i * TOKENS, in_step = a.heads * p.in, out_step = a.heads * p.out;
        tile_fetch<false>(to, row_of(p.add, p.in) + row, in_step, in, ROW_SHIFT, walk, j0, 0,
                          TOKENS, f);
        tile_fetch<false>(to + at.read, row_of(p.read, p.in) + row, in_step, in, ROW_SHIFT, walk,
                          j0, 0, TOKENS, f);
        tile_fetch<false>(to + at.outer, row_of(p.outer, p.out) + col, out_step, out, a.d.col_shift,
                          walk, j0, 0, TOKENS, f);
        const int later = p.reverse && !a.before;
        if (FADE_ROWS)
            tile_fetch<true>(to + at.fade, row_of(p.g, rows) + row, in_step, in, ROW_SHIFT, walk,
                             j0, later, TOKENS, f);
        else if (a.decay == GLA_CHANNEL)
            tile_fetch<true>(to + at.fade, row_of(p.g, rows) + col, out_step, out, a.d.col_shift,
                             walk, j0, later, TOKENS, f);
        else if (a.decay == GLA_HEAD)
            tile_fetch<true>(to + at.fade, row_of(p.g, 1), a.heads, 1, 0, walk, j0, later, TOKENS,
                             f);
        else
            for (int j = f.p; j < TOKENS; j += f.threads)
                to[at.fade + j] = a.decay == GLA_RETNET ? 1 - exp2f(-5 - (float)head) : 1;
    }

    __device__ void store(long i) {
        constexpr int BATCH = 4; /* loads before the first store */
        const float *from = buffer(i);
        const long run_head = seq / a.batch * a.heads + head, step = a.heads * p.out;
        const long first = (seq * a.time * a.heads + head) * p.out + col;
        const int mask = (1 << a.d.col_shift) - 1;
        for (int e0 = f.p; e0 < TOKENS << a.d.col_shift; e0 += BATCH * f.threads) {
            float old[BATCH];
            long to[BATCH]; /* -1: nowhere */
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                const int e = e0 + b * f.threads, c = e & mask;
                const long t = walk.token(i * TOKENS + (e >> a.d.col_shift));
                const bool is = e < TOKENS << a.d.col_shift && col + c < p.out && walk.holds(t);
                to[b] = is ? first + t * step + c : -1;
                old[b] = is && p.to && (p.adds || row) ? p.to[to[b]] : 0;
            }
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                if (to[b] < 0) continue;
                const int e = e0 + b * f.threads;
                const float sum = from[at.to + e];
                float all = sum;
                if (a.before) {
                    const long channel = run_head * p.out + col + (e & mask);
                    const float weight = p.col_u ? p.col_u[channel] : 1;
                    all =
                        fmaf(from[at.own + (e >> a.d.col_shift)] * weight, from[at.outer + e], sum);
                }
                if (p.to) p.to[to[b]] = old[b] + all;
                if (p.pure) p.pure[to[b]] = row ? p.pure[to[b]] + sum : sum;
            }
        }
        for (int j = f.p; p.own && !col && j < TOKENS; j += f.threads) {
            const long t = walk.token(i * TOKENS + j);
            if (!walk.holds(t)) continue;
            float *own = p.own + (seq * a.time + t) * a.heads + head;
            *own = row ? *own + from[at.own + j] : from[at.own + j];
        }
    }

    template <bool BEFORE> __device__ void step(float (&sum)[COLS], const float *from, int j) {
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const float *outer = from + at.outer + (j << a.d.col_shift) + c0;
        const float4 v4 = COLS == 4 ? quad(outer) : make_float4(0, 0, 0, 0);
        const float four[4] = {v4.x, v4.y, v4.z, v4.w};
        float v[COLS], fade[COLS];
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            v[c] = COLS == 4 ? four[c] : outer[c];
            if (!FADE_ROWS)
                fade[c] = a.decay == GLA_CHANNEL ? from[at.fade + (j << a.d.col_shift) + c0 + c]
                                                 : from[at.fade + j];
            sum[c] = 0;
        }
#pragma unroll
        for (int i = 0; i < ROWS / 4; i++) {
            const float *here = from + j * ALL_ROWS + 4 * (i * LANES + lane);
            const float4 add4 = quad(here), read4 = quad(here + at.read);
            const float4 fade4 = FADE_ROWS ? quad(here + at.fade) : make_float4(0, 0, 0, 0);
            const float add[4] = {add4.x, add4.y, add4.z, add4.w};
            const float read[4] = {read4.x, read4.y, read4.z, read4.w};
            const float faded[4] = {fade4.x, fade4.y, fade4.z, fade4.w};
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int c = 0; c < COLS; c++) {
                    float &s = z[4 * i + e][c];
                    const float next = fmaf(FADE_ROWS ? faded[e] : fade[c], s, add[e] * v[c]);
                    sum[c] = fmaf(read[e], BEFORE ? s : next, sum[c]);
                    s = next;
                }
        }
    }

    /* sum_i read_i u_i add_i of token j. */
    __device__ float own_of(const float *from, int j) const {
        float sum[1] = {0};
        const int lane = threadIdx.x % LANES;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const int r = 4 * (i / 4 * LANES + lane) + i % 4;
            const float *here = from + j * ALL_ROWS + r;
            sum[0] = fmaf(here[at.read], u[r] * here[0], sum[0]);
        }
        LaneSum<1, LANES>(lane).add(sum, lane);
        return sum[0];
    }

    __device__ void compute(long i) {
        float *from = buffer(i);
        const int lane = threadIdx.x % LANES, c0 = threadIdx.x / LANES * COLS;
        const LaneSum<COLS, LANES> sums(lane);
        const long left = a.time - i * TOKENS, tokens = left < TOKENS ? left : TOKENS;
        for (int j = 0; j < tokens; j++) {
            float sum[COLS];
            if (a.before) {
                step<true>(sum, from, j);
                const float own = own_of(from, j);
                if (threadIdx.x == 0) from[at.own + j] = own;
            } else {
                step<false>(sum, from, j);
            }
            sums.add(sum, lane);
            float *to = from + at.to + (j << a.d.col_shift) + c0 + sums.first;
            if (sums.owns)
                for (int c = 0; c < sums.LEFT; c++) to[c] = sum[c];
        }
    }
};

/* Grid (heads of all sequences times blocks of columns, passes); the second half of a block
 * fetches. */
template <int ROWS, int LANES, int COLS, bool FADE_ROWS>
__global__ void __launch_bounds__(2 * MAX_HALF, 2) gla_sweep(Passes all, Gla a) {
    typedef GlaSweep<ROWS, LANES, COLS, FADE_ROWS> Sweep;
    DYN_SHARED(float, shared);
    const Pass &p = all.at[blockIdx.y];
    const long seq_head = blockIdx.x / a.d.blocks, seq = seq_head / a.heads;
    const int first = (int)(blockIdx.x - seq_head * a.d.blocks) << a.d.col_shift;
    const bool fetches = (int)threadIdx.x >= a.d.half;
    const Layout at = layout_of(Sweep::TOKENS, Sweep::ALL_ROWS, 1 << a.d.col_shift);
    Sweep s = {p,
               a,
               shared,
               shared + 2 * at.size,
               seq,
               seq_head - seq * a.heads,
               0,
               first,
               walk_of(a.time, p.reverse),
               at,
               {(int)threadIdx.x - a.d.half, a.d.half},
               {}};
    for (; s.row < p.in; s.row += Sweep::ALL_ROWS) {
        for (int i = 0; i < ROWS; i++)
            for (int c = 0; c < COLS; c++) s.z[i][c] = 0;
        if (fetches && a.before)
            for (int i = s.f.p; i < Sweep::ALL_ROWS; i += a.d.half) {
                const long from = (seq / a.batch * a.heads + s.head) * p.in + s.row + i;
                s.u[i] = p.row_u && s.row + i < p.in ? p.row_u[from] : 1;
            }
        sweep(s, (a.time + Sweep::TOKENS - 1) / Sweep::TOKENS, fetches);
    }
}

template <int ROWS, int LANES, int COLS>
void sweep_launch(const Passes &all, int n, Gla a, long seq_heads, bool fade_rows) {
    const int out = all.at[0].out;
    a.d = deal_of(out, LANES, COLS);
    const int tokens = tile_tokens(ROWS * LANES, COLS);
    const Layout at = layout_of(tokens, ROWS * LANES, 1 << a.d.col_shift);
    const size_t bytes = (size_t)(2 * at.size + ROWS * LANES) * sizeof(float);
    const dim3 grid((unsigned)(seq_heads * a.d.blocks), (unsigned)n);
    if (fade_rows)
        LAUNCH((gla_sweep<ROWS, LANES, COLS, true>), grid, dim3(2 * a.d.half), bytes, all, a);
    else
        LAUNCH((gla_sweep<ROWS, LANES, COLS, false>), grid, dim3(2 * a.d.half), bytes, all, a);
}

/* n passes of the same sizes at once. The columns of a thread may depend on the size of the pack,
 * as bits do not depend on them. */
void passes_launch(const Passes &all, int n, const Gla &a, int runs, bool fade_rows) {
    const int in = all.at[0].in, out = all.at[0].out;
    const long heads = (long)runs * a.batch * a.heads;
    const bool many = deal_is_wide(heads * n, out);
#define SWEEP(rows, lanes, cols) sweep_launch<rows, lanes, cols>(all, n, a, heads, fade_rows)
    if (in <= 8)
        SWEEP(4, 2, 1);
    else if (in <= 16)
        many ? SWEEP(4, 4, 2) : SWEEP(4, 4, 1);
    else if (in <= 32)
        many ? SWEEP(8, 4, 4) : SWEEP(8, 4, 1);
    else if (in <= 64)
        many ? SWEEP(8, 8, 4) : SWEEP(8, 8, 1);
    else if (in <= 128)
        SWEEP(8, 16, 4);
    else
        SWEEP(8, 32, 4);
#undef SWEEP
}

/* What the gradients of decays and bonus read; pure: see Pass. */
struct DecayBack {
    const float *q, *k, *pure_dq, *pure_dk, *own;
    long time, heads, key;
    bool bonus;
};

/* dg of decays per channel, and sum[seq, c] = du of the sequence; either may be NULL. A thread has
 * a channel of all heads; grid: sequences times blocks of channels. */
__global__ void __launch_bounds__(GLA_THREADS, 8) channel_back(float *dg, float *sum, DecayBack a) {
    const long cols = a.heads * a.key, blocks = (cols + GLA_THREADS - 1) / GLA_THREADS;
    const long seq = blockIdx.x / blocks;
    const long c = (blockIdx.x - seq * blocks) * GLA_THREADS + threadIdx.x;
    if (c >= cols) return;
    const long at = seq * a.time * cols + c;
    const float *const from[4] = {a.q, a.k, a.pure_dq, a.pure_dk};
    const float *const own[1] = {a.own};
    const long own_at = seq * a.time * a.heads + c / a.key;
    double all = 0, read = 0; /* what a query gives to the token before it, with a bonus */
    float du = 0;
    Window<4, GLA_AHEAD> now, next;
    Window<1, GLA_AHEAD> own_now, own_next;
    now.load(from, at, a.time - 1, -1, a.time, cols);
    own_now.load(own, own_at, a.time - 1, -1, a.time, a.heads);
    for (long first = a.time - 1; first >= 0; first -= GLA_AHEAD, now = next, own_now = own_next) {
        next.load(from, at, first - GLA_AHEAD, -1, a.time, cols);
        own_next.load(own, own_at, first - GLA_AHEAD, -1, a.time, a.heads);
        for (int j = 0; j < GLA_AHEAD; j++) {
            if (first - j < 0) break;
            const float q = now.v[0][j], k = now.v[1][j];
            const double mine = (double)q * (double)now.v[2][j];
            all += (a.bonus ? read : mine) - (double)k * (double)now.v[3][j];
            read = mine;
            du += own_now.v[0][j] * q * k;
            if (dg) dg[at + (first - j) * cols] += (float)all;
        }
    }
    if (sum) sum[seq * cols + c] = du;
}

/* q_t dq_t - k_t dk_t over the channels of a head. */
struct HeadTerm {
    const float *q, *k, *dq, *dk; /* token 0 */
    long key, stride;

    __device__ double of(long t, int lane) const {
        double sum = 0;
        for (long i = lane; i < key; i += WARP) {
            const long at = t * stride + i;
            sum += (double)q[at] * (double)dq[at] - (double)k[at] * (double)dk[at];
        }
        return sum;
    }
};

/* dg of decays per head; a block has a head of a sequence. */
__global__ void __launch_bounds__(SUFFIX_THREADS, 2) head_back(float *dg, DecayBack a) {
    const long seq = blockIdx.x / a.heads, head = blockIdx.x - seq * a.heads;
    const long first = seq * a.time * a.heads + head, at = first * a.key;
    const HeadTerm term = {a.q + at,       a.k + at, a.pure_dq + at,
                           a.pure_dk + at, a.key,    a.heads * a.key};
    suffix_sum(dg + first, a.heads, term, a.time);
}

Gla gla_of(const float *u, int batch, int time, int heads, int decay) {
    return {time, heads, batch, decay, u != nullptr, {}};
}
} // namespace

void K(gla_fwd)(real *o, const real *q, const real *k, const real *v, const real *g, const real *u,
                real *, int runs, int batch, int time, int heads, int key, int value, int decay) {
    Pass p = {};
    p.add = k, p.read = q, p.outer = v, p.g = g, p.row_u = u, p.to = o;
    p.in = key, p.out = value;
    passes_launch({{p, {}}}, 1, gla_of(u, batch, time, heads, decay), runs, decay == GLA_CHANNEL);
}

void K(gla_bwd)(real *dq, real *dk, real *dv, real *dg, real *du, const real *dO, const real *q,
                const real *k, const real *v, const real *g, const real *u, real *, int runs,
                int batch, int time, int heads, int key, int value, int decay) {
    const Gla a = gla_of(u, batch, time, heads, decay);
    const size_t rows = (size_t)runs * (size_t)batch * (size_t)time * (size_t)heads;
    if (decay < GLA_HEAD) dg = nullptr;
    const bool waits = dg || du;
    Scratch scratch;
    float *pure = waits ? scratch.take<float>(2 * rows * (size_t)key) : nullptr;
    float *own = du ? scratch.take<float>(rows) : nullptr;
    float *sum =
        du ? scratch.take<float>((size_t)runs * (size_t)batch * (size_t)(heads * key)) : nullptr;

    Pass p = {};
    p.g = g, p.adds = true;
    Passes keys = {};
    int n = 0;
    p.in = value, p.out = key, p.col_u = u;
    if (dq || waits) {
        p.add = v, p.read = dO, p.outer = k, p.to = dq, p.pure = pure, p.own = own;
        keys.at[n++] = p;
    }
    if (dk || waits) {
        p.add = dO, p.read = v, p.outer = q, p.to = dk, p.own = nullptr, p.reverse = true;
        p.pure = waits ? pure + rows * (size_t)key : nullptr;
        keys.at[n++] = p;
    }
    if (n) passes_launch(keys, n, a, runs, false);
    if (dv) {
        p.in = key, p.out = value, p.row_u = u, p.col_u = nullptr;
        p.add = q, p.read = k, p.outer = dO, p.to = dv, p.pure = p.own = nullptr, p.reverse = true;
        passes_launch({{p, {}}}, 1, a, runs, decay == GLA_CHANNEL);
    }
    if (!waits) return;
    const DecayBack back = {q,     k,   pure,        pure + rows * (size_t)key, own, time,
                            heads, key, u != nullptr};
    const long seqs = (long)runs * batch;
    if (decay == GLA_HEAD) {
        LAUNCH(head_back, dim3((unsigned)(seqs * heads)), dim3(SUFFIX_THREADS), SUFFIX_BYTES, dg,
               back);
        return;
    }
    LAUNCH(channel_back, dim3((unsigned)(seqs * blocks_of((long)heads * key, GLA_THREADS))),
           dim3(GLA_THREADS), 0, dg, sum, back);
    if (du) fold_launch(du, nullptr, {sum, runs, batch, (long)heads * key, 0});
}
