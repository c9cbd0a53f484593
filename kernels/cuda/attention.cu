/* attention.cu - causal softmax attention by tiles; see kernels.def. */
#include "attention_tile.cuh"

namespace {

/* Below any score, and expf(MASKED - START) is 0 where a query has seen no key yet. */
constexpr float START = -1e30f, MASKED = -2e30f;

struct problem {
    int batch, time, heads, dim, window; /* window: T when unlimited */
    int warps;                           /* of a block */
    float scale;
    bool alibi, vector;
};

/* How the channels of a head are laid out in tiles. */
template <int DIM> struct layout {
    static constexpr int CHUNKS = DIM < 64 ? DIM / 4 : 16; /* of a slab */
    static constexpr int SLAB = 4 * CHUNKS, OUT = DIM / SLAB;
    static constexpr int N = SLAB / 8; /* channels of a thread */
    static constexpr bool RESIDENT = DIM <= 32, MANY = DIM > SLAB;
};

/* What a block works on: one head of one sequence, and `rows` positions of it from `first` on. */
struct part {
    long stride, base, stat; /* of channel 0 of position 0; of its lse and delta */
    int first, rows, slabs, channel;
    float slope;
};

template <int DIM> __device__ part part_make(const problem &p, long tile, bool heavy_last) {
    const int rows = p.warps * WARP_ROWS;
    const long tiles = (p.time + rows - 1) / rows, of_tile = tile % tiles, sequence = tile / tiles;
    const long h = sequence % p.heads, b = (long)blockIdx.y * p.batch + sequence / p.heads;
    part at;
    at.stride = (long)p.heads * p.dim;
    at.base = b * p.time * at.stride + h * p.dim;
    at.stat = (b * p.heads + h) * p.time;
    at.first = (int)(heavy_last ? tiles - 1 - of_tile : of_tile) * rows;
    at.rows = p.time - at.first < rows ? p.time - at.first : rows;
    at.slabs = layout<DIM>::MANY ? (p.dim + layout<DIM>::SLAB - 1) / layout<DIM>::SLAB : 1;
    at.channel = layout<DIM>::MANY ? (int)blockIdx.z * DIM : 0;
    at.slope = p.alibi ? (float)exp2(-8.0 * (double)(h + 1) / p.heads) : 0;
    return at;
}

/* Columns from `columns` on that the positions from `first` on see, or, as keys, are seen by. */
__device__ __forceinline__ halves keys_seen(const problem &p, int first, int rows, int columns) {
    const int end = first + rows < p.time ? first + rows : p.time;
    if (first >= end) return {0, 0};
    return halves_of(first - p.window + 1 - columns, end - columns);
}
__device__ __forceinline__ halves queries_seeing(const problem &p, int first, int rows,
                                                 int columns) {
    const int last = first + rows - 1 + p.window;
    if (first >= p.time) return {0, 0};
    return halves_of(first - columns, (last < p.time ? last : p.time) - columns);
}

/* Products of queries and keys to scores. t - j is `lag` for m = h = e = 0 and grows by m along
 * the rows, shrinks along the columns (sign 1: rows are queries), or the other way round (-1). */
__device__ __forceinline__ void score_finish(scores s, const problem &p, float slope, int lag,
                                             int sign, int count, bool border) {
    UNROLL
    for (int m = 0; m < 4; m++)
        UNROLL for (int h = 0; h < 2; h++) UNROLL for (int e = 0; e < 4; e++) {
            const int d = lag + sign * (m - h * HALF - e);
            const float v = s[m][h][e] * p.scale - slope * (float)d;
            s[m][h][e] = h < count && (!border || (d >= 0 && d < p.window)) ? v : MASKED;
        }
}

/* Loads the seen halves of a slab of the columns. */
template <int CHUNKS>
__device__ __forceinline__ void columns_load(float4 *to, const float *x, const part &at,
                                             const problem &p, int columns, halves seen,
                                             int channel) {
    const int from = columns + seen.first * HALF;
    slab_load<CHUNKS>(to + seen.first * HALF * CHUNKS, x + at.base + from * at.stride + channel,
                      at.stride, p.time - from, seen.count * HALF, p.dim - channel, p.vector);
}
template <int CHUNKS>
__device__ __forceinline__ void rows_load(float4 *to, const float *x, const part &at,
                                          const problem &p, int channel) {
    slab_load<CHUNKS>(to, x + at.base + at.first * at.stride + channel, at.stride, at.rows,
                      p.warps * WARP_ROWS, p.dim - channel, p.vector);
}

template <int DIM>
__global__ void __launch_bounds__(MAX_WARPS *LANES, DIM <= 64 ? 4 : 3)
    attend(float *o, float *lse, const float *q, const float *k, const float *v, problem p) {
    typedef layout<DIM> L;
    DYN_SHARED(float4, shared);
    const part at = part_make<DIM>(p, blockIdx.x, true);
    const place me = place_of_thread();
    const int rows = p.warps * WARP_ROWS, row = at.first + me.row;
    float4 *a = shared, *c = a + rows * L::CHUNKS, *b = c + TILE * L::CHUNKS;
    float4 *weights = L::SLAB == TILE ? b : b + TILE * L::CHUNKS;
    float sum[L::OUT][4][L::N] = {}, top[4] = {START, START, START, START}, total[4] = {};
    const int oldest = at.first - p.window + 1;
    const int start = oldest > 0 ? oldest / TILE * TILE : 0;
    for (int columns = start; columns < at.first + at.rows; columns += TILE) {
        const halves all = keys_seen(p, at.first, rows, columns);
        const int warp_first = at.first + me.row / WARP_ROWS * WARP_ROWS;
        const halves mine = keys_seen(p, warp_first, WARP_ROWS, columns);
        scores s = {};
        for (int i = 0; i < at.slabs; i++) {
            __syncthreads();
            if (L::MANY || columns == start) rows_load<L::CHUNKS>(a, q, at, p, i * L::SLAB);
            columns_load<L::CHUNKS>(b, k, at, p, columns, all, i * L::SLAB);
            if (i == 0) columns_load<L::CHUNKS>(c, v, at, p, columns, all, at.channel);
            __syncthreads();
            product_rows<L::CHUNKS>(s, a, b, me, mine);
        }
        if (weights == b) __syncthreads();
        if (mine.count) {
            const int begin = columns + mine.first * HALF, end = begin + mine.count * HALF;
            score_finish(s, p, at.slope, row - begin - 4 * me.lx, 1, mine.count,
                         end > warp_first + 1 || begin <= warp_first + WARP_ROWS - 1 - p.window);
            UNROLL for (int m = 0; m < 4; m++) {
                float high = top[m];
                UNROLL
                for (int h = 0; h < 2; h++)
                    UNROLL for (int e = 0; e < 4; e++) high = fmaxf(high, s[m][h][e]);
                for (int lane = 1; lane < 8; lane *= 2)
                    high = fmaxf(high, __shfl_xor_sync(WHOLE_WARP, high, lane));
                const float shrink = expf(top[m] - high);
                top[m] = high;
                total[m] *= shrink;
                UNROLL
                for (int g = 0; g < L::OUT; g++)
                    UNROLL for (int i = 0; i < L::N; i++) sum[g][m][i] *= shrink;
                UNROLL for (int h = 0; h < 2; h++) {
                    if (h >= mine.count) continue;
                    UNROLL for (int e = 0; e < 4; e++) {
                        s[m][h][e] = expf(s[m][h][e] - high);
                        total[m] += s[m][h][e];
                    }
                    *weights_at(weights, me, m, mine.first + h) =
                        make_float4(s[m][h][0], s[m][h][1], s[m][h][2], s[m][h][3]);
                }
            }
            __syncwarp();
        }
        UNROLL for (int g = 0; g < L::OUT; g++) {
            if (g) {
                __syncthreads();
                columns_load<L::CHUNKS>(c, v, at, p, columns, all, at.channel + g * L::SLAB);
                __syncthreads();
            }
            product_columns<L::N>(sum[g], weights, c, me, mine);
        }
    }
    float share[4];
    UNROLL for (int m = 0; m < 4; m++) {
        for (int lane = 1; lane < 8; lane *= 2)
            total[m] += __shfl_xor_sync(WHOLE_WARP, total[m], lane);
        share[m] = 1 / total[m];
        if (me.lx == 0 && row + m < p.time && blockIdx.z == 0)
            lse[at.stat + row + m] = top[m] + logf(total[m]);
    }
    UNROLL for (int g = 0; g < L::OUT; g++) {
        const int channel = at.channel + g * L::SLAB;
        rows_write<L::N>(o + at.base + row * at.stride + channel, sum[g], share, at.stride,
                         p.time - row, p.dim - channel, me.lx, p.vector, false);
    }
}

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
    float *dq, *dk, *dv;
    const float *dO, *lse, *delta, *q, *k, *v;
};

/* dk and dv of a tile of keys: rows are keys, columns are queries. */
template <int DIM>
__device__ __forceinline__ void keys_back(const gradients &x, const problem &p, long tile,
                                          float4 *shared) {
    typedef layout<DIM> L;
    const part at = part_make<DIM>(p, tile, false);
    const place me = place_of_thread();
    const int rows = p.warps * WARP_ROWS, row = at.first + me.row;
    float4 *weights = shared, *a0 = weights + rows * (TILE / 4), *b0 = a0 + rows * L::CHUNKS;
    float4 *a1 = L::RESIDENT ? b0 + TILE * L::CHUNKS : a0;
    float4 *b1 = L::RESIDENT ? a1 + rows * L::CHUNKS : b0;
    float dk[L::OUT][4][L::N] = {}, dv[L::OUT][4][L::N] = {};
    const int start = at.first / TILE * TILE;
    const int last = at.first + at.rows - 1 + p.window, limit = last < p.time ? last : p.time;
    for (int columns = start; columns < limit; columns += TILE) {
        const halves all = queries_seeing(p, at.first, rows, columns);
        const int warp_first = at.first + me.row / WARP_ROWS * WARP_ROWS;
        const halves mine = queries_seeing(p, warp_first, WARP_ROWS, columns);
        const int begin = columns + mine.first * HALF, end = begin + mine.count * HALF;
        scores s = {};
        for (int i = 0; i < at.slabs; i++) {
            __syncthreads();
            if (!L::RESIDENT || columns == start) rows_load<L::CHUNKS>(a0, x.k, at, p, i * L::SLAB);
            columns_load<L::CHUNKS>(b0, x.q, at, p, columns, all, i * L::SLAB);
            if (L::RESIDENT) {
                if (columns == start) rows_load<L::CHUNKS>(a1, x.v, at, p, 0);
                columns_load<L::CHUNKS>(b1, x.dO, at, p, columns, all, 0);
            }
            __syncthreads();
            product_rows<L::CHUNKS>(s, a0, b0, me, mine);
        }
        const int query = begin + 4 * me.lx;
        score_finish(s, p, at.slope, query - row, -1, mine.count,
                     begin < warp_first + WARP_ROWS - 1 || end > warp_first + p.window);
        UNROLL for (int h = 0; h < 2; h++) {
            if (h >= mine.count) continue;
            float lse[4];
            UNROLL for (int e = 0; e < 4; e++) {
                const int t = query + h * HALF + e;
                lse[e] = t < p.time ? x.lse[at.stat + t] : 0;
            }
            UNROLL
            for (int m = 0; m < 4; m++)
                *weights_at(weights, me, m, mine.first + h) =
                    make_float4(expf(s[m][h][0] - lse[0]), expf(s[m][h][1] - lse[1]),
                                expf(s[m][h][2] - lse[2]), expf(s[m][h][3] - lse[3]));
        }
        UNROLL
        for (int m = 0; m < 4; m++)
            UNROLL for (int h = 0; h < 2; h++) UNROLL for (int e = 0; e < 4; e++) s[m][h][e] = 0;
        for (int i = 0; i < at.slabs; i++) {
            if (!L::RESIDENT) {
                __syncthreads();
                rows_load<L::CHUNKS>(a1, x.v, at, p, i * L::SLAB);
                columns_load<L::CHUNKS>(b1, x.dO, at, p, columns, all, i * L::SLAB);
                __syncthreads();
            }
            product_rows<L::CHUNKS>(s, a1, b1, me, mine);
        }
        __syncwarp();
        UNROLL for (int g = 0; g < L::OUT; g++) {
            if (L::MANY) {
                __syncthreads();
                columns_load<L::CHUNKS>(b1, x.dO, at, p, columns, all, at.channel + g * L::SLAB);
                __syncthreads();
            }
            product_columns<L::N>(dv[g], weights, b1, me, mine);
        }
        __syncwarp();
        UNROLL for (int h = 0; h < 2; h++) {
            if (h >= mine.count) continue;
            float delta[4];
            UNROLL for (int e = 0; e < 4; e++) {
                const int t = query + h * HALF + e;
                delta[e] = t < p.time ? x.delta[at.stat + t] : 0;
            }
            UNROLL for (int m = 0; m < 4; m++) {
                float4 *w = weights_at(weights, me, m, mine.first + h);
                const float4 y = *w;
                *w = make_float4(y.x * (s[m][h][0] - delta[0]), y.y * (s[m][h][1] - delta[1]),
                                 y.z * (s[m][h][2] - delta[2]), y.w * (s[m][h][3] - delta[3]));
            }
        }
        __syncwarp();
        UNROLL for (int g = 0; g < L::OUT; g++) {
            if (!L::RESIDENT) {
                __syncthreads();
                columns_load<L::CHUNKS>(b0, x.q, at, p, columns, all, at.channel + g * L::SLAB);
                __syncthreads();
            }
            product_columns<L::N>(dk[g], weights, b0, me, mine);
        }
    }
    const float ones[4] = {1, 1, 1, 1}, scales[4] = {p.scale, p.scale, p.scale, p.scale};
    UNROLL for (int g = 0; g < L::OUT; g++) {
        const int channel = at.channel + g * L::SLAB;
        const long to = at.base + row * at.stride + channel;
        if (x.dk)
            rows_write<L::N>(x.dk + to, dk[g], scales, at.stride, p.time - row, p.dim - channel,
                             me.lx, p.vector, true);
        if (x.dv)
            rows_write<L::N>(x.dv + to, dv[g], ones, at.stride, p.time - row, p.dim - channel,
                             me.lx, p.vector, true);
    }
}

/* dq of a tile of queries: rows are queries, columns are keys. */
template <int DIM>
__device__ __forceinline__ void queries_back(const gradients &x, const problem &p, long tile,
                                             float4 *shared) {
    typedef layout<DIM> L;
    const part at = part_make<DIM>(p, tile, true);
    const place me = place_of_thread();
    const int rows = p.warps * WARP_ROWS, row = at.first + me.row;
    float4 *weights = shared, *a0 = weights + rows * (TILE / 4), *b0 = a0 + rows * L::CHUNKS;
    float4 *a1 = L::RESIDENT ? b0 + TILE * L::CHUNKS : a0;
    float4 *b1 = L::RESIDENT ? a1 + rows * L::CHUNKS : b0;
    float dq[L::OUT][4][L::N] = {}, lse[4], delta[4];
    UNROLL for (int m = 0; m < 4; m++) {
        lse[m] = row + m < p.time ? x.lse[at.stat + row + m] : 0;
        delta[m] = row + m < p.time ? x.delta[at.stat + row + m] : 0;
    }
    const int oldest = at.first - p.window + 1;
    const int start = oldest > 0 ? oldest / TILE * TILE : 0;
    for (int columns = start; columns < at.first + at.rows; columns += TILE) {
        const halves all = keys_seen(p, at.first, rows, columns);
        const int warp_first = at.first + me.row / WARP_ROWS * WARP_ROWS;
        const halves mine = keys_seen(p, warp_first, WARP_ROWS, columns);
        const int begin = columns + mine.first * HALF, end = begin + mine.count * HALF;
        scores s = {}, ds = {};
        for (int i = 0; i < at.slabs; i++) {
            __syncthreads();
            if (!L::RESIDENT || columns == start)
                rows_load<L::CHUNKS>(a1, x.dO, at, p, i * L::SLAB);
            columns_load<L::CHUNKS>(b1, x.v, at, p, columns, all, i * L::SLAB);
            if (L::RESIDENT) {
                if (columns == start) rows_load<L::CHUNKS>(a0, x.q, at, p, 0);
                columns_load<L::CHUNKS>(b0, x.k, at, p, columns, all, 0);
            }
            __syncthreads();
            product_rows<L::CHUNKS>(ds, a1, b1, me, mine);
        }
        for (int i = 0; i < at.slabs; i++) {
            if (!L::RESIDENT) {
                __syncthreads();
                rows_load<L::CHUNKS>(a0, x.q, at, p, i * L::SLAB);
                columns_load<L::CHUNKS>(b0, x.k, at, p, columns, all, i * L::SLAB);
                __syncthreads();
            }
            product_rows<L::CHUNKS>(s, a0, b0, me, mine);
        }
        score_finish(s, p, at.slope, row - begin - 4 * me.lx, 1, mine.count,
                     end > warp_first + 1 || begin <= warp_first + WARP_ROWS - 1 - p.window);
        UNROLL for (int m = 0; m < 4; m++) UNROLL for (int h = 0; h < 2; h++) {
            if (h >= mine.count) continue;
            UNROLL
            for (int e = 0; e < 4; e++)
                ds[m][h][e] = expf(s[m][h][e] - lse[m]) * (ds[m][h][e] - delta[m]);
            *weights_at(weights, me, m, mine.first + h) =
                make_float4(ds[m][h][0], ds[m][h][1], ds[m][h][2], ds[m][h][3]);
        }
        __syncwarp();
        UNROLL for (int g = 0; g < L::OUT; g++) {
            if (L::MANY) {
                __syncthreads();
                columns_load<L::CHUNKS>(b0, x.k, at, p, columns, all, at.channel + g * L::SLAB);
                __syncthreads();
            }
            product_columns<L::N>(dq[g], weights, b0, me, mine);
        }
    }
    const float scales[4] = {p.scale, p.scale, p.scale, p.scale};
    UNROLL for (int g = 0; g < L::OUT; g++) {
        const int channel = at.channel + g * L::SLAB;
        rows_write<L::N>(x.dq + at.base + row * at.stride + channel, dq[g], scales, at.stride,
                         p.time - row, p.dim - channel, me.lx, p.vector, true);
    }
}

/* Tiles of keys first, `keys` of them, as they take longer; then tiles of queries. */
template <int DIM>
__global__ void __launch_bounds__(MAX_WARPS *LANES, DIM <= 64 ? 3 : 2)
    attend_back(gradients x, problem p, unsigned keys) {
    DYN_SHARED(float4, shared);
    if (blockIdx.x < keys)
        keys_back<DIM>(x, p, blockIdx.x, shared);
    else
        queries_back<DIM>(x, p, blockIdx.x - keys, shared);
}

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
