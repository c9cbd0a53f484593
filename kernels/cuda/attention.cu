/* attention.cu - causal softmax attention by tiles; see kernels.def.
 *
 * Forward (Dao 2023): a block owns a tile of queries and walks over the tiles of 64 keys up to the
 * diagonal with a running maximum m and sum l of each query,
 *   m' = max(m, max_j s_j), l' = l e^(m - m') + sum_j e^(s_j - m'), likewise o; lse = m + log l.
 * Backward computes p = e^(s - lse) again; with delta = sum_c dO o it is
 *   dv_j = sum_t p dO_t, ds = p (dO_t.v_j - delta), dk_j = scale sum_t ds q_t,
 *   dq_t = scale sum_j ds k_j.
 * One kernel makes delta, a second one the gradients: its first blocks own tiles of keys (dk, dv),
 * the others tiles of queries (dq). So no sum crosses blocks, nothing is atomic, and small problems
 * fill the GPU twice as well as with a launch for each gradient. The price is two products made
 * twice: 14 T^2 D / 2 flops a head instead of 10. Forward takes 4 T^2 D / 2.
 *
 * Tiles and threads: attention_tile.cuh; who sees whom: attention_part.cuh. Heads are padded to 16,
 * 32, 64 or 128 channels in shared memory. Scores are summed over slabs of up to 64 channels, so
 * any dim fits; above 128 more blocks share the output channels and each makes all scores, which
 * is correct, but slow. Nothing of size T x T is stored.
 *
 * Shared memory of 64 rows: 28 KiB forward and 32 backward for 16 channels, 40 and 48 for 32, and
 * 48 KiB from 64 channels on, where weights lie in place of keys and, backward, two tiles take
 * turns: a tile pair then loads 5 tiles (dk, dv) or 4 (dq) instead of 2. That is 8 to 13 bytes a
 * clock and multiprocessor at the full rate of multiply-adds, from L1 and L2; from memory, each
 * tensor comes about once.
 *
 * Registers, by nvcc 13 for sm_80 and sm_90, none spilled: forward at most 128, for 4 blocks of 128
 * threads a multiprocessor (128 channels: 168, 3 blocks), backward at most 168, for 3 blocks (254,
 * 2 blocks). */
#include "attention_part.cuh"

namespace {

/* ---- forward ---------------------------------------------------------------------------- */

/* Scores to weights e^(s - top); top, total (this thread's share) and sum move on. */
template <int DIM, class L = layout<DIM>>
__device__ __forceinline__ void softmax_step(scores s, float4 *weights, float *top, float *total,
                                             float (&sum)[L::OUT][4][L::N], place me,
                                             const halves &seen) {
    UNROLL for (int m = 0; m < 4; m++) {
        float high = top[m];
        UNROLL for (int i = 0; i < 8; i++) high = fmaxf(high, s[m][i / 4][i % 4]);
        for (int lane = 1; lane < 8; lane *= 2)
            high = fmaxf(high, __shfl_xor_sync(WHOLE_WARP, high, lane));
        const float shrink = expf(top[m] - high);
        top[m] = high;
        total[m] *= shrink;
        UNROLL for (int i = 0; i < L::OUT * L::N; i++) sum[i / L::N][m][i % L::N] *= shrink;
        UNROLL for (int h = 0; h < 2; h++) {
            if (h >= seen.count) continue;
            UNROLL for (int e = 0; e < 4; e++) {
                s[m][h][e] = expf(s[m][h][e] - high);
                total[m] += s[m][h][e];
            }
            *weights_at(weights, me, m, seen.first + h) =
                make_float4(s[m][h][0], s[m][h][1], s[m][h][2], s[m][h][3]);
        }
    }
}

template <int DIM>
__global__ void __launch_bounds__(THREADS, DIM <= 64 ? 4 : 3)
    attend(float *o, float *lse, const float *q, const float *k, const float *v, problem p) {
    typedef layout<DIM> L;
    DYN_SHARED(float4, shared);
    const part at = part_make<DIM>(p, blockIdx.x, true);
    const place me = place_of_thread();
    const int row = at.first + me.row;
    float4 *a = shared, *c = a + p.warps * WARP_ROWS * L::CHUNKS, *b = c + TILE * L::CHUNKS;
    float4 *weights = L::SLAB == TILE ? b : b + TILE * L::CHUNKS;
    float sum[L::OUT][4][L::N] = {}, top[4] = {START, START, START, START}, total[4] = {};
    const int oldest = at.first - p.window + 1, start = oldest > 0 ? oldest / TILE * TILE : 0;
    for (int columns = start; columns < at.first + at.rows; columns += TILE) {
        const meet m = keys_meet(p, at, me, columns);
        scores s = {};
        for (int i = 0; i < at.slabs; i++) {
            __syncthreads();
            if (L::MANY || columns == start) rows_load<L::CHUNKS>(a, q, p, at, i * L::SLAB);
            columns_load<L::CHUNKS>(b, k, p, at, m, i * L::SLAB);
            if (i == 0) columns_load<L::CHUNKS>(c, v, p, at, m, at.channel);
            __syncthreads();
            product_rows<L::CHUNKS>(s, a, b, me, m.mine);
        }
        if (weights == b) __syncthreads(); /* until all warps have read the keys */
        if (m.mine.count) {
            scores_finish(s, p, at, m, row - m.begin - 4 * me.lx, 1);
            softmax_step<DIM>(s, weights, top, total, sum, me, m.mine);
        }
        __syncwarp();
        weights_apply<DIM>(sum, weights, c, v, p, at, me, m, false);
    }
    float share[4];
    UNROLL for (int m = 0; m < 4; m++) {
        for (int lane = 1; lane < 8; lane *= 2)
            total[m] += __shfl_xor_sync(WHOLE_WARP, total[m], lane);
        share[m] = 1 / total[m];
        if (me.lx == 0 && row + m < p.time && blockIdx.z == 0)
            lse[at.stat + row + m] = top[m] + logf(total[m]);
    }
    sums_write<DIM>(o, sum, share, p, at, me, false);
}

/* ---- backward --------------------------------------------------------------------------- */

/* delta [R, B, heads, T] = sum of dO o over the channels of a head; eight lanes for each sum. */
enum { SUM_THREADS = 256, SUM_LANES = 8 };

__global__ void __launch_bounds__(SUM_THREADS)
    head_dots(float *delta, const float *dO, const float *o, long n, problem p) {
    const long i = (blockIdx.x * (long)SUM_THREADS + threadIdx.x) / SUM_LANES;
    const int lane = threadIdx.x % SUM_LANES;
    float sum = 0;
    for (int c = 4 * lane; i < n && c < p.dim; c += 4 * SUM_LANES) {
        const float4 x = chunk_read(dO + i * p.dim + c, p.dim - c, p.vector);
        const float4 y = chunk_read(o + i * p.dim + c, p.dim - c, p.vector);
        sum += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
    }
    for (int far = 1; far < SUM_LANES; far *= 2) sum += __shfl_xor_sync(WHOLE_WARP, sum, far);
    const long h = i % p.heads, t = i / p.heads % p.time, b = i / p.heads / p.time;
    if (i < n && lane == 0) delta[(b * p.heads + h) * p.time + t] = sum;
}

struct gradients {
    float *dq, *dk, *dv; /* each may be NULL */
    const float *dO, *lse, *delta, *q, *k, *v;
};

/* Shared memory: a for rows, b for columns; 0 for q and k, 1 for dO and v. Where not all is
 * resident, 0 and 1 take turns. */
struct tiles {
    float4 *weights, *a0, *b0, *a1, *b1;
};

template <int DIM> __device__ __forceinline__ tiles tiles_make(float4 *shared, const problem &p) {
    typedef layout<DIM> L;
    const int rows = p.warps * WARP_ROWS;
    tiles t;
    t.weights = shared;
    t.a0 = t.weights + rows * (TILE / 4);
    t.b0 = t.a0 + rows * L::CHUNKS;
    t.a1 = L::RESIDENT ? t.b0 + TILE * L::CHUNKS : t.a0;
    t.b1 = L::RESIDENT ? t.a1 + rows * L::CHUNKS : t.b0;
    return t;
}

/* What a tile of columns brings, all at once: x0 to b0, x1 to b1; at the start the rows, too. */
template <int DIM>
__device__ __forceinline__ void
resident_load(const tiles &t, const float *rows0, const float *rows1, const float *x0,
              const float *x1, const problem &p, const part &at, const meet &m, bool start) {
    constexpr int CHUNKS = layout<DIM>::CHUNKS;
    if (!layout<DIM>::RESIDENT) return;
    __syncthreads();
    if (start) rows_load<CHUNKS>(t.a0, rows0, p, at, 0);
    if (start) rows_load<CHUNKS>(t.a1, rows1, p, at, 0);
    columns_load<CHUNKS>(t.b0, x0, p, at, m, 0);
    columns_load<CHUNKS>(t.b1, x1, p, at, m, 0);
    __syncthreads();
}

/* s = rows times x, loaded to a and b slab by slab unless they are there. */
template <int DIM>
__device__ __forceinline__ void scores_of(scores s, float4 *a, float4 *b, const float *rows,
                                          const float *x, const problem &p, const part &at,
                                          place me, const meet &meet) {
    typedef layout<DIM> L;
    UNROLL for (int i = 0; i < SCORES; i++) s[i / 8][i / 4 % 2][i % 4] = 0;
    for (int i = 0; i < at.slabs; i++) {
        if (!L::RESIDENT) {
            __syncthreads();
            rows_load<L::CHUNKS>(a, rows, p, at, i * L::SLAB);
            columns_load<L::CHUNKS>(b, x, p, at, meet, i * L::SLAB);
            __syncthreads();
        }
        product_rows<L::CHUNKS>(s, a, b, me, meet.mine);
    }
}

/* Four statistics of neighbouring queries; 0 past the end, where q and dO are 0, too. */
__device__ __forceinline__ void stats_read(float *y, const float *x, int t, int time) {
    UNROLL for (int e = 0; e < 4; e++) y[e] = t + e < time ? x[t + e] : 0;
}

/* dk and dv of a tile of keys: rows are keys, columns are queries. The weights pass through shared
 * memory twice, as p for dv and then as ds for dk. */
template <int DIM>
__device__ __forceinline__ void keys_back(const gradients &x, const problem &p, long tile,
                                          const tiles &t) {
    typedef layout<DIM> L;
    const part at = part_make<DIM>(p, tile, false);
    const place me = place_of_thread();
    float dk[L::OUT][4][L::N] = {}, dv[L::OUT][4][L::N] = {};
    const int start = at.first / TILE * TILE, last = at.first + at.rows - 1 + p.window;
    for (int columns = start; columns < p.time && columns < last; columns += TILE) {
        const meet meet = queries_meet(p, at, me, columns);
        const int query = meet.begin + 4 * me.lx;
        scores s;
        resident_load<DIM>(t, x.k, x.v, x.q, x.dO, p, at, meet, columns == start);
        scores_of<DIM>(s, t.a0, t.b0, x.k, x.q, p, at, me, meet);
        scores_finish(s, p, at, meet, query - at.first - me.row, -1);
        UNROLL for (int h = 0; h < 2; h++) {
            if (h >= meet.mine.count) continue;
            float lse[4];
            stats_read(lse, x.lse + at.stat, query + h * HALF, p.time);
            UNROLL for (int m = 0; m < 4; m++) * weights_at(t.weights, me, m, meet.mine.first + h) =
                make_float4(expf(s[m][h][0] - lse[0]), expf(s[m][h][1] - lse[1]),
                            expf(s[m][h][2] - lse[2]), expf(s[m][h][3] - lse[3]));
        }
        scores_of<DIM>(s, t.a1, t.b1, x.v, x.dO, p, at, me, meet);
        __syncwarp();
        weights_apply<DIM>(dv, t.weights, t.b1, x.dO, p, at, me, meet, L::MANY);
        __syncwarp();
        UNROLL for (int h = 0; h < 2; h++) {
            if (h >= meet.mine.count) continue;
            float delta[4];
            stats_read(delta, x.delta + at.stat, query + h * HALF, p.time);
            UNROLL for (int m = 0; m < 4; m++) {
                float4 *w = weights_at(t.weights, me, m, meet.mine.first + h);
                const float4 y = *w;
                *w = make_float4(y.x * (s[m][h][0] - delta[0]), y.y * (s[m][h][1] - delta[1]),
                                 y.z * (s[m][h][2] - delta[2]), y.w * (s[m][h][3] - delta[3]));
            }
        }
        __syncwarp();
        weights_apply<DIM>(dk, t.weights, t.b0, x.q, p, at, me, meet, !L::RESIDENT);
    }
    const float ones[4] = {1, 1, 1, 1}, scales[4] = {p.scale, p.scale, p.scale, p.scale};
    if (x.dk) sums_write<DIM>(x.dk, dk, scales, p, at, me, true);
    if (x.dv) sums_write<DIM>(x.dv, dv, ones, p, at, me, true);
}

/* dq of a tile of queries: rows are queries, columns are keys. dO.v comes first, so that the keys
 * are in place for the last product. */
template <int DIM>
__device__ __forceinline__ void queries_back(const gradients &x, const problem &p, long tile,
                                             const tiles &t) {
    typedef layout<DIM> L;
    const part at = part_make<DIM>(p, tile, true);
    const place me = place_of_thread();
    const int row = at.first + me.row;
    float dq[L::OUT][4][L::N] = {}, lse[4], delta[4];
    stats_read(lse, x.lse + at.stat, row, p.time);
    stats_read(delta, x.delta + at.stat, row, p.time);
    const int oldest = at.first - p.window + 1, start = oldest > 0 ? oldest / TILE * TILE : 0;
    for (int columns = start; columns < at.first + at.rows; columns += TILE) {
        const meet meet = keys_meet(p, at, me, columns);
        scores s, ds;
        resident_load<DIM>(t, x.q, x.dO, x.k, x.v, p, at, meet, columns == start);
        scores_of<DIM>(ds, t.a1, t.b1, x.dO, x.v, p, at, me, meet);
        scores_of<DIM>(s, t.a0, t.b0, x.q, x.k, p, at, me, meet);
        scores_finish(s, p, at, meet, row - meet.begin - 4 * me.lx, 1);
        UNROLL for (int i = 0; i < SCORES / 4; i++) {
            const int m = i / 2, h = i % 2;
            if (h >= meet.mine.count) continue;
            UNROLL for (int e = 0; e < 4; e++) {
                ds[m][h][e] = expf(s[m][h][e] - lse[m]) * (ds[m][h][e] - delta[m]);
            }
            *weights_at(t.weights, me, m, meet.mine.first + h) =
                make_float4(ds[m][h][0], ds[m][h][1], ds[m][h][2], ds[m][h][3]);
        }
        __syncwarp();
        weights_apply<DIM>(dq, t.weights, t.b0, x.k, p, at, me, meet, L::MANY);
    }
    const float scales[4] = {p.scale, p.scale, p.scale, p.scale};
    sums_write<DIM>(x.dq, dq, scales, p, at, me, true);
}

/* Tiles of keys first, `keys` of them, as they take longer; then tiles of queries. */
template <int DIM>
__global__ void __launch_bounds__(THREADS, DIM <= 64 ? 3 : 2)
    attend_back(gradients x, problem p, unsigned keys) {
    DYN_SHARED(float4, shared);
    const tiles t = tiles_make<DIM>(shared, p);
    if (blockIdx.x < keys)
        keys_back<DIM>(x, p, blockIdx.x, t);
    else
        queries_back<DIM>(x, p, blockIdx.x - keys, t);
}

/* ---- launchers -------------------------------------------------------------------------- */

/* Fewer rows to a block where the sequence is short, or where the GPU would be left half empty. No
 * bit depends on it. */
enum { ENOUGH_BLOCKS = 96 };

problem problem_make(int runs, int batch, int time, int heads, int dim, int window, int alibi,
                     double scale) {
    problem p = {};
    p.batch = batch, p.time = time, p.heads = heads, p.dim = dim;
    p.window = window > 0 && window < time ? window : time;
    p.scale = (float)(scale != 0 ? scale : 1 / sqrt((double)dim));
    p.alibi = alibi != 0;
    p.warps = MAX_WARPS;
    while (p.warps > 1 && p.warps / 2 * WARP_ROWS >= time) p.warps /= 2;
    const long blocks = (long)runs * batch * heads * blocks_of(time, TILE);
    if (p.warps == MAX_WARPS && blocks < ENOUGH_BLOCKS) p.warps /= 2;
    return p;
}

unsigned tiles_of(const problem &p) {
    return (unsigned)p.batch * p.heads * blocks_of(p.time, p.warps * WARP_ROWS);
}

/* Blocks along z share the output channels of heads that are wider than a template. */
dim3 grid_of(unsigned tiles, int runs, const problem &p) {
    return dim3(tiles, runs, p.dim > 128 ? blocks_of(p.dim, 128) : 1);
}

template <int DIM> size_t shared_bytes(const problem &p, bool back) {
    typedef layout<DIM> L;
    const size_t rows = p.warps * WARP_ROWS, weights = rows * TILE / 4;
    const size_t pair = (rows + TILE) * L::CHUNKS, keys = TILE * L::CHUNKS;
    const size_t forward = pair + keys + (L::SLAB == TILE ? 0 : weights);
    return sizeof(float4) * (back ? weights + pair * (L::RESIDENT ? 2 : 1) : forward);
}

template <int DIM>
void forward(float *o, float *lse, const float *q, const float *k, const float *v, int runs,
             const problem &p) {
    LAUNCH(attend<DIM>, grid_of(tiles_of(p), runs, p), dim3(p.warps * LANES),
           shared_bytes<DIM>(p, false), o, lse, q, k, v, p);
}

template <int DIM> void backward(const gradients &x, int runs, const problem &p) {
    const unsigned tiles = tiles_of(p), keys = x.dk || x.dv ? tiles : 0, queries = x.dq ? tiles : 0;
    LAUNCH(attend_back<DIM>, grid_of(keys + queries, runs, p), dim3(p.warps * LANES),
           shared_bytes<DIM>(p, true), x, p, keys);
}

} // namespace

void K(attention_fwd)(real *o, real *lse, const real *q, const real *k, const real *v, real *work,
                      int runs, int batch, int time, int heads, int dim, int window, int alibi,
                      double scale) {
    (void)work;
    problem p = problem_make(runs, batch, time, heads, dim, window, alibi, scale);
    p.vector = dim % 4 == 0 && is_vector(o) && is_vector(q) && is_vector(k) && is_vector(v);
    if (dim <= 16)
        forward<16>(o, lse, q, k, v, runs, p);
    else if (dim <= 32)
        forward<32>(o, lse, q, k, v, runs, p);
    else if (dim <= 64)
        forward<64>(o, lse, q, k, v, runs, p);
    else
        forward<128>(o, lse, q, k, v, runs, p);
}

void K(attention_bwd)(real *dq, real *dk, real *dv, const real *dO, const real *o, const real *lse,
                      const real *q, const real *k, const real *v, real *work, int runs, int batch,
                      int time, int heads, int dim, int window, int alibi, double scale) {
    (void)work;
    if (!dq && !dk && !dv) return;
    problem p = problem_make(runs, batch, time, heads, dim, window, alibi, scale);
    p.vector = dim % 4 == 0 && is_vector(dq) && is_vector(dk) && is_vector(dv) && is_vector(dO) &&
               is_vector(o) && is_vector(q) && is_vector(k) && is_vector(v);
    const long n = (long)runs * batch * time * heads;
    Scratch scratch;
    float *delta = scratch.take<float>(n);
    LAUNCH(head_dots, dim3(blocks_of(n * SUM_LANES, SUM_THREADS)), dim3(SUM_THREADS), 0, delta, dO,
           o, n, p);
    const gradients x = {dq, dk, dv, dO, lse, delta, q, k, v};
    if (dim <= 16)
        backward<16>(x, runs, p);
    else if (dim <= 32)
        backward<32>(x, runs, p);
    else if (dim <= 64)
        backward<64>(x, runs, p);
    else
        backward<128>(x, runs, p);
}
