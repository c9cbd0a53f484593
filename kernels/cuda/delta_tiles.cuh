/* delta_tiles.cuh - what the two sweeps of the delta rule share: where a block stands, its tiles in
 * shared memory, and their way from and to memory.
 *
 * A sweep keeps columns of a matrix in registers, whose rows are dealt to lanes: key channels in
 * delta_columns.cuh, value channels in delta_across.cuh. */
#pragma once
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

/* Tiles of TOKENS tokens, for a matrix of ROWS rows. Tensors are [R,B,T,H,n]. */
template <int ROWS, int TOKENS> struct DeltaTiles {
    static constexpr int ROW_SHIFT = log2_up(ROWS);
    const Delta &a;
    float *shared;
    int size; /* floats of one of the two buffers */
    Place x;
    Walk walk;
    Fetcher f;

    __device__ DeltaTiles(const Delta &all, float *buffers, int floats, bool back)
        : a(all), shared(buffers), size(floats), x(place_of(all)),
          walk(walk_of(all.time, back)), f{(int)threadIdx.x - all.d.half, all.d.half} {}

    __device__ float *buffer(long i) const { return shared + (i & 1) * size; }
    __device__ long count() const { return (a.time + TOKENS - 1) / TOKENS; }
    __device__ int tokens_of(long i) const {
        const long left = a.time - i * TOKENS;
        return (int)(left < TOKENS ? left : TOKENS);
    }

    /* Channels from `row` on, as many as the matrix has rows. */
    __device__ void fetch_rows(float *to, const float *from, int n, int row, long i) const {
        tile_fetch<false>(to, from + x.first * n + row, a.heads * n, n - row, ROW_SHIFT, walk,
                          i * TOKENS, 0, TOKENS, f);
    }

    /* The channels of the block's columns. */
    __device__ void fetch_cols(float *to, const float *from, int n, long i) const {
        tile_fetch<false>(to, from + x.first * n + x.col, a.heads * n, n - x.col, a.d.col_shift,
                          walk, i * TOKENS, 0, TOKENS, f);
    }

    /* e^g and beta of a tile's tokens. */
    __device__ void fetch_scalars(float *fade, float *beta, long i) const {
        tile_fetch<true>(fade, a.g + (a.g ? x.first : 0), a.heads, a.g ? 1 : 0, 0, walk, i * TOKENS,
                         0, TOKENS, f);
        tile_fetch<false>(beta, a.beta + x.first, a.heads, 1, 0, walk, i * TOKENS, 0, TOKENS, f);
    }

    /* Where element e of a tile over the block's columns lies in a tensor; -1: nowhere. */
    __device__ long target_of(int e, int n, long i) const {
        const int c = x.col + (e & ((1 << a.d.col_shift) - 1));
        const long t = walk.token(i * TOKENS + (e >> a.d.col_shift));
        if (e >= TOKENS << a.d.col_shift || c >= n || !walk.holds(t)) return -1;
        return (x.first + t * a.heads) * n + c;
    }

    /* put(e, at, old) for every element e of tile i that exists, where it lies in tensors of n
     * channels, and what `add` holds there; add NULL: 0. */
    template <class Put>
    __device__ void store_cols(const float *add, int n, long i, const Put &put) const {
        constexpr int BATCH = 4; /* loads before the first store */
        for (int e0 = f.p; e0 < TOKENS << a.d.col_shift; e0 += BATCH * f.threads) {
            long to[BATCH];
            float old[BATCH];
#pragma unroll
            for (int b = 0; b < BATCH; b++) {
                to[b] = target_of(e0 + b * f.threads, n, i);
                old[b] = add && to[b] >= 0 ? add[to[b]] : 0;
            }
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                if (to[b] >= 0) put(e0 + b * f.threads, to[b], old[b]);
        }
    }
};

/* All tiles by one sweep, which starts with a matrix of zeros. */
template <class Sweep> __device__ inline void sweep_from_zero(Sweep &s) {
    for (int i = 0; i < Sweep::ROWS_OF_LANE; i++)
        for (int c = 0; c < Sweep::COLS_OF_THREAD; c++) s.z[i][c] = 0;
    sweep(s, s.t.count(), (int)threadIdx.x >= s.t.a.d.half);
}

/* Shared memory of a block of Sweep: two buffers. */
template <class Sweep> size_t sweep_bytes(const Delta &a) {
    return 2 * (size_t)Sweep::layout(a.d.col_shift).size * sizeof(float);
}

/* One block per head and share of the columns, n sweeps at once. */
static inline dim3 sweep_grid(const Delta &a, int n, long seq_heads) {
    return dim3((unsigned)(seq_heads * a.d.blocks), (unsigned)n);
}
} // namespace
