/* attention_part.cuh - the part of a problem that a block works on, and what its rows see.
 *
 * Positions are counted within the sequence. Rows and columns are queries and keys or keys and
 * queries; query t sees key j where 0 <= t - j < window. What a warp does not see of a tile is
 * left out by whole halves, the rest is masked. */
#pragma once
#include "attention_tile.cuh"

namespace {

/* Below any score, and expf(MASKED - START) is 0 where a query has seen no key yet. */
constexpr float START = -1e30f, MASKED = -2e30f;

enum { THREADS = MAX_WARPS * LANES };

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
    static constexpr int N = SLAB / 8;          /* channels of a thread */
    static constexpr bool MANY = DIM > SLAB;    /* more than one slab */
    static constexpr bool RESIDENT = DIM <= 32; /* backward: q, k, v and dO fit at once */
};

/* What a block works on: one head of one sequence, and `rows` positions of it from `first` on. */
struct part {
    long stride, base, stat; /* of positions; of channel 0 and of lse and delta at position 0 */
    int first, rows, slabs, channel;
    float slope; /* 0: no ALiBi */
};

/* Tile number `tile`; the tiles of a sequence in the order of positions or backwards. */
template <int DIM> __device__ part part_make(const problem &p, long tile, bool backwards) {
    const int rows = p.warps * WARP_ROWS;
    const long tiles = (p.time + rows - 1) / rows, i = tile % tiles, sequence = tile / tiles;
    const long h = sequence % p.heads, b = (long)blockIdx.y * p.batch + sequence / p.heads;
    part at;
    at.stride = (long)p.heads * p.dim;
    at.base = b * p.time * at.stride + h * p.dim;
    at.stat = (b * p.heads + h) * p.time;
    at.first = (int)(backwards ? tiles - 1 - i : i) * rows;
    at.rows = p.time - at.first < rows ? p.time - at.first : rows;
    at.slabs = layout<DIM>::MANY ? (p.dim + layout<DIM>::SLAB - 1) / layout<DIM>::SLAB : 1;
    at.channel = layout<DIM>::MANY ? (int)blockIdx.z * DIM : 0;
    at.slope = p.alibi ? (float)exp2(-8.0 * (double)(h + 1) / p.heads) : 0;
    return at;
}

/* A tile of columns from `columns` on against the rows of a block. */
struct meet {
    int columns;
    halves all, mine; /* seen by the block, by this warp */
    int begin;        /* of this warp's columns */
    bool border;      /* some row of the warp does not see some of them */
};

__device__ __forceinline__ halves keys_seen(const problem &p, int first, int rows, int columns) {
    const int end = first + rows < p.time ? first + rows : p.time;
    return first < end ? halves_of(first - p.window + 1 - columns, end - columns) : halves{0, 0};
}

/* Rows are queries, columns are keys. */
__device__ __forceinline__ meet keys_meet(const problem &p, const part &at, place me, int columns) {
    const int first = at.first + me.row / WARP_ROWS * WARP_ROWS;
    meet m;
    m.columns = columns;
    m.all = keys_seen(p, at.first, at.rows, columns);
    m.mine = keys_seen(p, first, WARP_ROWS, columns);
    m.begin = columns + m.mine.first * HALF;
    m.border = m.mine.count < 2 || m.begin + TILE - 1 > first ||
               m.begin <= first + WARP_ROWS - 1 - p.window;
    return m;
}

__device__ __forceinline__ halves queries_seeing(const problem &p, int first, int rows,
                                                 int columns) {
    const int end = first + rows - 1 + p.window < p.time ? first + rows - 1 + p.window : p.time;
    return first < p.time ? halves_of(first - columns, end - columns) : halves{0, 0};
}

/* Rows are keys, columns are queries. */
__device__ __forceinline__ meet queries_meet(const problem &p, const part &at, place me,
                                             int columns) {
    const int first = at.first + me.row / WARP_ROWS * WARP_ROWS;
    meet m;
    m.columns = columns;
    m.all = queries_seeing(p, at.first, at.rows, columns);
    m.mine = queries_seeing(p, first, WARP_ROWS, columns);
    m.begin = columns + m.mine.first * HALF;
    m.border =
        m.mine.count < 2 || m.begin < first + WARP_ROWS - 1 || m.begin + TILE > first + p.window;
    return m;
}

/* Loads a slab, from `channel` on, of the block's rows, or of the columns that it sees. */
template <int CHUNKS>
__device__ __forceinline__ void rows_load(float4 *to, const float *x, const problem &p,
                                          const part &at, int channel) {
    slab_load<CHUNKS>(to, x + at.base + at.first * at.stride + channel, at.stride, at.rows,
                      p.warps * WARP_ROWS, p.dim - channel, p.vector);
}
template <int CHUNKS>
__device__ __forceinline__ void columns_load(float4 *to, const float *x, const problem &p,
                                             const part &at, const meet &m, int channel) {
    const int from = m.columns + m.all.first * HALF;
    slab_load<CHUNKS>(to + m.all.first * HALF * CHUNKS, x + at.base + from * at.stride + channel,
                      at.stride, p.time - from, m.all.count * HALF, p.dim - channel, p.vector);
}

/* Products of queries and keys to scores. t - j is lag + sign (i - j) for row i and column j of
 * this thread: sign is 1 where rows are queries and -1 where they are keys. */
__device__ __forceinline__ void scores_finish(scores s, const problem &p, const part &at,
                                              const meet &meet, int lag, int sign) {
    UNROLL for (int i = 0; i < SCORES; i++) s[i / 8][i / 4 % 2][i % 4] *= p.scale;
    if (at.slope != 0) {
        const float far = (float)lag; /* exact sums of floats are faster than conversions */
        UNROLL for (int i = 0; i < SCORES; i++) {
            const int m = i / 8, h = i / 4 % 2, e = i % 4;
            s[m][h][e] -= at.slope * (far + (float)(sign * (m - h * HALF - e)));
        }
    }
    if (meet.border) {
        UNROLL for (int i = 0; i < SCORES; i++) {
            const int m = i / 8, h = i / 4 % 2, e = i % 4, d = lag + sign * (m - h * HALF - e);
            const bool seen = h < meet.mine.count && d >= 0 && d < p.window;
            s[m][h][e] = seen ? s[m][h][e] : MASKED;
        }
    }
}

/* sum += weights times x, whose slab is in b already, or is loaded where `reload` says so and for
 * all slabs but the first. */
template <int DIM, class L = layout<DIM>>
__device__ __forceinline__ void
weights_apply(float (&sum)[L::OUT][4][L::N], const float4 *weights, float4 *b, const float *x,
              const problem &p, const part &at, place me, const meet &m, bool reload) {
    UNROLL for (int g = 0; g < L::OUT; g++) {
        if (g || reload) {
            __syncthreads();
            columns_load<L::CHUNKS>(b, x, p, at, m, at.channel + g * L::SLAB);
            __syncthreads();
        }
        product_columns<L::N>(sum[g], weights, b, me, m.mine);
    }
}

/* y (+)= factor[m] sum, for the block's rows and its channels. */
template <int DIM, class L = layout<DIM>>
__device__ __forceinline__ void sums_write(float *y, float (&sum)[L::OUT][4][L::N],
                                           const float *factor, const problem &p, const part &at,
                                           place me, bool add) {
    const int row = at.first + me.row;
    UNROLL for (int g = 0; g < L::OUT; g++) {
        const int channel = at.channel + g * L::SLAB;
        rows_write<L::N>(y + at.base + row * at.stride + channel, sum[g], factor, at.stride,
                         p.time - row, p.dim - channel, me.lx, p.vector, add);
    }
}

} // namespace
