/* sweep.cuh - tools for recurrences over a matrix state: tiles of tokens, and sums over lanes.
 *
 * A block goes over time in tiles of tokens. Half of its warps fetch the next tile from memory into
 * shared memory and store the results of the one before, while the other half computes; there are
 * two buffers, and one barrier per tile. So memory latency is hidden even where a GPU holds one
 * block per processor, as with the few sequences of a single small run. */
#pragma once
#include "reduce.cuh"

/* Op: fetch(i) and store(i) by the fetching half, compute(i) by the other, for tile i. Thread p of
 * the fetching half owns elements p, p + threads, ... of every tile in both, so that store(i) may
 * still read what fetch(i) wrote: fetch(i + 2) comes after it in the same thread. */
template <class Op> __device__ inline void sweep(Op &op, long tiles, bool fetches) {
    if (fetches) op.fetch(0);
    __syncthreads();
    for (long i = 0; i < tiles; i++) {
        if (fetches) {
            if (i) op.store(i - 1);
            if (i + 1 < tiles) op.fetch(i + 1);
        } else {
            op.compute(i);
        }
        __syncthreads();
    }
    if (fetches) op.store(tiles - 1);
}

/* The fetching half: thread p of `threads`. */
struct Fetcher {
    int p, threads;
};

/* Tokens of a sequence in the order of a sweep: the j-th is at first + j * step. */
struct Walk {
    long time, first, step;

    __device__ long token(long j) const { return first + j * step; }
    __device__ bool holds(long t) const { return t >= 0 && t < time; }
};

__device__ inline Walk walk_of(long time, bool reverse) {
    return {time, reverse ? time - 1 : 0, reverse ? -1 : 1};
}

/* to[j, c] = channel c of token j0 + j of the walk, 0 <= j < tokens, 0 <= c < 2^shift; later = 1:
 * of the token after it in time. from: channel 0 of token 0; rows are `stride` apart. Zero outside
 * the sequence and for c >= n; then e to it where EXP. */
template <bool EXP>
__device__ inline void tile_fetch(float *to, const float *from, long stride, int n, int shift,
                                  const Walk &w, long j0, int later, int tokens, Fetcher f) {
    constexpr int BATCH = 8; /* loads before the first store */
    const int total = tokens << shift, mask = (1 << shift) - 1;
    for (int e0 = f.p; e0 < total; e0 += BATCH * f.threads) {
        float v[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int e = e0 + b * f.threads, c = e & mask;
            const long t = w.token(j0 + (e >> shift)) + later;
            v[b] = e < total && c < n && w.holds(t) ? from[t * stride + c] : 0;
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const int e = e0 + b * f.threads;
            if (e < total) to[e] = EXP ? expf(v[b]) : v[b];
        }
    }
}

/* Sums of CV columns over LANES lanes that are STRIDE apart, all powers of two; lane: 0 to LANES
 * - 1. Always the tree of a butterfly, whatever CV is; with several columns, lanes trade halves of
 * them, so that four columns cost as many shuffles as two would. Sum j belongs to column first + j.
 */
template <int CV, int LANES, int STRIDE = 1> struct LaneSum {
    static constexpr int LEFT = CV > LANES ? CV / LANES : 1; /* sums that a lane ends up with */
    int first;                                               /* column */
    bool owns; /* of the lanes that end up with the same sums, one */

    __device__ explicit LaneSum(int lane) : first(0), owns(true) {
        int columns = CV;
        for (int half = LANES / 2; half; half /= 2) {
            if (columns > 1) {
                columns /= 2;
                if (lane & half) first += columns;
            } else if (lane & half) {
                owns = false;
            }
        }
    }

    __device__ void add(float (&s)[CV], int lane) const {
        int columns = CV;
#pragma unroll
        for (int half = LANES / 2; half; half /= 2) {
            if (columns > 1) {
                columns /= 2;
#pragma unroll
                for (int j = 0; j < CV / 2; j++) {
                    if (j >= columns) break;
                    const bool upper = lane & half;
                    const float mine = upper ? s[j + columns] : s[j];
                    const float theirs = upper ? s[j] : s[j + columns];
                    s[j] = mine + __shfl_xor_sync(ALL_LANES, theirs, half * STRIDE);
                }
            } else {
                s[0] += __shfl_xor_sync(ALL_LANES, s[0], half * STRIDE);
            }
        }
    }
};

/* The smallest s with 2^s >= n. */
constexpr int log2_up(long n) {
    int s = 0;
    while (1L << s < n) s++;
    return s;
}

/* How columns of the state are dealt out: lanes share a column, a thread has some columns. */
struct Deal {
    int half, col_shift; /* threads that compute; log2 of the columns of a block */
    long blocks;         /* of columns */
};
enum { MAX_HALF = 128 };

static inline Deal deal_of(int cols, int lanes, int cols_of_thread) {
    const long threads = (long)((cols + cols_of_thread - 1) / cols_of_thread) * lanes;
    Deal d = {WARP, 0, 0};
    while (d.half < threads && d.half < MAX_HALF) d.half *= 2;
    d.col_shift = log2_up((long)(d.half / lanes) * cols_of_thread);
    d.blocks = blocks_of(cols, 1L << d.col_shift);
    return d;
}

/* Enough blocks for two per processor of an H100 even where threads have several columns, which
 * saves loads from shared memory? May depend on the pack where bits do not depend on the answer. */
static inline bool deal_is_wide(long heads, int cols) { return heads * ((cols + 63) / 64) >= 264; }

__device__ inline float4 quad(const float *p) { return *(const float4 *)p; }
