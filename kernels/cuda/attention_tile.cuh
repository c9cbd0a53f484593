/* attention_tile.cuh - tiles of rows in shared memory, and the two products on them.
 *
 * A block holds a tile of `rows` = 16 per warp on one side (queries, or keys in the kernel of dk
 * and dv) against TILE = 64 columns on the other. Each warp owns 16 rows and all columns, so what
 * passes from one product to the next (the weights) stays within a warp: no block barrier, and row
 * maxima take three shuffles. A thread has 4 neighbouring rows and, of the columns, the float4
 * chunks lx and lx + 8, lx = lane % 8: 4 x 8 sums in registers, 128 multiply-adds per 12 loads of
 * 16 bytes from shared memory.
 *
 * Rows of channels are stored without padding, so that three tiles of 64 x 64 floats fill 48 KiB
 * exactly. Banks are spread by exclusive or: chunk c of row i lies in place (i chunks + c) ^ (i / 4
 * % 8). Eight lanes that read the same chunk of rows 4 apart, or neighbouring chunks of one row,
 * touch all 32 banks once.
 *
 * A sum over channels or over columns runs in ascending order within one thread. So the bits of a
 * row depend neither on how many rows a block has nor on where the row lies in it. */
#pragma once
#include "port.cuh"

/* Loops over registers must be unrolled whole, or the registers become memory. */
#ifdef __CUDACC__
#    define UNROLL     _Pragma("unroll")
#    define UNROLL_NOT _Pragma("unroll 1")
#else
#    define UNROLL
#    define UNROLL_NOT
#endif

namespace {

enum { TILE = 64, HALF = TILE / 2, WARP_ROWS = 16, LANES = 32, MAX_WARPS = 4 };
constexpr unsigned WHOLE_WARP = 0xffffffffu;

/* Where chunk c of row `row` lies. */
template <int CHUNKS> __device__ __forceinline__ int slot(int row, int c) {
    return (row * CHUNKS + c) ^ (row >> 2 & 7);
}

/* The same for row base + e, base a multiple of 4 and key = base / 4 % 8: e is known to the
 * compiler, so that the eight places a thread needs share one exclusive or. */
template <int CHUNKS> __device__ __forceinline__ int slot_near(int base, int key, int e, int c) {
    return base * CHUNKS + (e * CHUNKS & ~7) + (c & ~7) + ((e * CHUNKS & 7) ^ (c & 7) ^ key);
}

/* Four channels from p, of which `left` exist; the others are 0. */
__device__ __forceinline__ float4 chunk_read(const float *p, int left, bool vector) {
    if (left <= 0) return make_float4(0, 0, 0, 0);
    if (vector) return *(const float4 *)p;
    return make_float4(p[0], left > 1 ? p[1] : 0, left > 2 ? p[2] : 0, left > 3 ? p[3] : 0);
}

/* Adds to (or sets) four channels at p, of which `left` exist. */
__device__ __forceinline__ void chunk_write(float *p, float4 x, int left, bool vector, bool add) {
    if (left <= 0) return;
    if (add) {
        const float4 old = chunk_read(p, left, vector);
        x = make_float4(old.x + x.x, old.y + x.y, old.z + x.z, old.w + x.w);
    }
    if (vector) {
        *(float4 *)p = x;
        return;
    }
    p[0] = x.x;
    if (left > 1) p[1] = x.y;
    if (left > 2) p[2] = x.z;
    if (left > 3) p[3] = x.w;
}

/* `fill` rows of CHUNKS chunks from `from`, row i at from + i stride; rows from `rows` on and
 * channels from `channels` on become 0. Four reads are under way at once. All threads take part. */
template <int CHUNKS>
__device__ __forceinline__ void slab_load(float4 *to, const float *from, long stride, int rows,
                                          int fill, int channels, bool vector) {
    const int n = fill * CHUNKS, step = blockDim.x;
    for (int i = threadIdx.x; i < n; i += 4 * step) {
        float4 x[4];
        UNROLL for (int u = 0; u < 4; u++) {
            const int at = i + u * step, row = at / CHUNKS, c = at % CHUNKS;
            x[u] =
                chunk_read(from + row * stride + 4 * c, row < rows ? channels - 4 * c : 0, vector);
        }
        UNROLL for (int u = 0; u < 4; u++) {
            const int at = i + u * step;
            if (at < n) to[slot<CHUNKS>(at / CHUNKS, at % CHUNKS)] = x[u];
        }
    }
}

/* The half tiles of columns that something of a warp or a block sees: `count` from `first` on. */
struct halves {
    int first, count;
};

/* Columns lo to hi - 1 of a tile, cut to the tile. */
__device__ __forceinline__ halves halves_of(int lo, int hi) {
    lo = lo < 0 ? 0 : lo;
    hi = hi > TILE ? TILE : hi;
    if (lo >= hi) return {0, 0};
    return {lo / HALF, (hi + HALF - 1) / HALF - lo / HALF};
}

/* A thread's place: its rows are row to row + 3 of the tile. */
struct place {
    int row, key, lx;
};

__device__ __forceinline__ place place_of_thread() {
    const int lane = threadIdx.x % LANES, row = (int)threadIdx.x / LANES * WARP_ROWS + lane / 8 * 4;
    return {row, row >> 2 & 7, lane % 8};
}

/* Scores of 4 rows with the columns 32 (first + h) + 4 lx + e. */
typedef float scores[4][2][4];
enum { SCORES = 4 * 2 * 4 };

template <int CHUNKS, int COUNT>
__device__ __forceinline__ void product_halves(scores s, const float4 *a, const float4 *b,
                                               place me) {
    UNROLL_NOT for (int c = 0; c < CHUNKS; c++) {
        float4 x[4];
        UNROLL for (int m = 0; m < 4; m++) x[m] = a[slot_near<CHUNKS>(me.row, me.key, m, c)];
        UNROLL for (int i = 0; i < 4 * COUNT; i++) {
            const int h = i / 4, e = i % 4;
            const float4 y = b[h * HALF * CHUNKS + slot_near<CHUNKS>(4 * me.lx, me.lx, e, c)];
            UNROLL for (int m = 0; m < 4; m++) {
                s[m][h][e] += x[m].x * y.x;
                s[m][h][e] += x[m].y * y.y;
                s[m][h][e] += x[m].z * y.z;
                s[m][h][e] += x[m].w * y.w;
            }
        }
    }
}

/* s += rows of a times rows of b, over the channels of one slab. */
template <int CHUNKS>
__device__ __forceinline__ void product_rows(scores s, const float4 *a, const float4 *b, place me,
                                             halves seen) {
    b += seen.first * HALF * CHUNKS;
    if (seen.count == 2) product_halves<CHUNKS, 2>(s, a, b, me);
    if (seen.count == 1) product_halves<CHUNKS, 1>(s, a, b, me);
}

/* Weights of this thread to p [rows, TILE], and back. */
__device__ __forceinline__ float4 *weights_at(float4 *p, place me, int m, int half) {
    return p + slot_near<TILE / 4>(me.row, me.key, m, 8 * half + me.lx);
}

/* This thread's channels of a row of b, in a slab of N * 8: the chunks lx and lx + 8, or half of
 * chunk lx / 2. */
template <int N>
__device__ __forceinline__ void channels_read(float *y, const float4 *b, int j, int e, int lx) {
    const int key = j >> 2 & 7;
    if constexpr (N == 2) {
        const float *p = (const float *)(b + slot_near<4>(j, key, e, lx >> 1)) + 2 * (lx & 1);
        y[0] = p[0], y[1] = p[1];
    } else {
        UNROLL for (int h = 0; h < N / 4; h++) {
            const float4 v = b[slot_near<2 * N>(j, key, e, 8 * h + lx)];
            y[4 * h] = v.x, y[4 * h + 1] = v.y, y[4 * h + 2] = v.z, y[4 * h + 3] = v.w;
        }
    }
}

/* sum [4 rows, N channels] += weights [rows, columns] times b [columns, channels], over the seen
 * halves. */
template <int N>
__device__ __forceinline__ void product_columns(float (&sum)[4][N], const float4 *p,
                                                const float4 *b, place me, halves seen) {
    const int end = (seen.first + seen.count) * HALF;
    UNROLL_NOT for (int j = seen.first * HALF; j < end; j += 4) {
        float x[4][4];
        UNROLL for (int m = 0; m < 4; m++) {
            const float4 v = p[slot_near<TILE / 4>(me.row, me.key, m, j / 4)];
            x[m][0] = v.x, x[m][1] = v.y, x[m][2] = v.z, x[m][3] = v.w;
        }
        UNROLL for (int e = 0; e < 4; e++) {
            float y[N];
            channels_read<N>(y, b, j, e, me.lx);
            UNROLL for (int i = 0; i < 4 * N; i++) sum[i / N][i % N] += x[i / N][e] * y[i % N];
        }
    }
}

/* The rows of `sum` times factor[m] to y: row m at y + m stride, of which `rows` exist; `channels`
 * of the slab exist. */
template <int N>
__device__ __forceinline__ void rows_write(float *y, float (&sum)[4][N], const float *factor,
                                           long stride, int rows, int channels, int lx, bool vector,
                                           bool add) {
    UNROLL for (int m = 0; m < 4; m++) {
        if (m >= rows) continue;
        float *row = y + m * stride;
        if constexpr (N == 2) {
            UNROLL for (int i = 0; i < 2; i++) {
                const int c = 2 * lx + i;
                if (c < channels) row[c] = (add ? row[c] : 0) + sum[m][i] * factor[m];
            }
        } else {
            UNROLL for (int h = 0; h < N / 4; h++) {
                const float *x = sum[m] + 4 * h, f = factor[m];
                const int c = 32 * h + 4 * lx;
                chunk_write(row + c, make_float4(x[0] * f, x[1] * f, x[2] * f, x[3] * f),
                            channels - c, vector, add);
            }
        }
    }
}

} // namespace
