/* blockattend.cu - attention over gated blocks; see kernels.def.
 *
 * A warp per query and head walks the blocks that are open to it, 32 keys at a time: a lane per key
 * for scores and weights (online softmax), a lane per channel for sums, with the weights passed
 * around in shared memory. Backward takes two launches: a warp per query for dq and dgate, a warp
 * per key for dk and dv, over the queries that see it; tiles of 32 that share nothing are skipped.
 * Each gradient has one owner and one order. Work is 2 x 2 products per open pair forward, 2 x 5
 * and two scores made again backward; keys of neighbouring queries come from the caches. */
#include "kernels/core/work.h"
#include "reduce.cuh"

namespace {
enum { WARPS = 4 };

struct Shape {
    int heads_all, tiles; /* heads of all sequences; groups of WARPS tokens in one */
    int time, heads, dim, block, blocks;
    float scale;
};

/* One token and head: offsets of its channels, of the head's first token, of its gates and lse. */
struct Place {
    long at, first, gate, lse;
    int t; /* time: nothing there */
};

/* Neighbouring warps have neighbouring tokens. Divisions of 32 bits: those of 64 are calls. */
__device__ Place place_of(const Shape &s) {
    const int head_all = (int)(blockIdx.x / (unsigned)s.tiles),
              tile = (int)blockIdx.x - head_all * s.tiles;
    const int sequence = head_all / s.heads, head = head_all - sequence * s.heads;
    const int t = tile * WARPS + (int)threadIdx.y;
    const long row = (long)s.heads * s.dim, first = (long)sequence * s.time * row + head * s.dim;
    return {first + t * row, first, (((long)sequence * s.time + t) * s.heads + head) * s.blocks,
            (long)head_all * s.time + t, t < s.time ? t : s.time};
}

/* u_j for the first (first) or another token of block b, seen from block `own` >= b. */
__device__ float key_weight(const float *gate, int b, int own, bool first) {
    if (b == own) return 1;
    if (!first || b == 0) return gate[b];
    return 1 - (1 - gate[b]) * (1 - gate[b - 1]);
}

/* Tokens of block b that query t has to look at: all, the first, none. */
__device__ int open_keys(const float *gate, const Shape &s, int b, int t) {
    if (b == t / s.block) return t - b * s.block + 1;
    if (gate[b] != 0) return s.block;
    return b > 0 && gate[b - 1] != 0 ? 1 : 0;
}

__device__ float dot_of(const float *a, const float *b, int n) {
    float dot = 0;
    for (int d = 0; d < n; d++) dot = fmaf(a[d], b[d], dot);
    return dot;
}

/* sum[d] = sum[d] shrink + sum over the n lanes of weight x[lane row + d]. The weights go round
 * in `pass` [WARP], shared like sum: shuffles in loops as these cost calls and spills. */
__device__ void add_rows(float *sum, float *pass, float shrink, float weight, const float *x,
                         long row, int n, int dim) {
    const int lane = (int)threadIdx.x;
    pass[lane] = weight;
    __syncwarp();
    for (int d = lane; d < dim; d += WARP) {
        float v = sum[d] * shrink;
        for (int j = 0; j < n; j++)
            if (pass[j] != 0) v = fmaf(pass[j], x[j * row + d], v);
        sum[d] = v;
    }
    __syncwarp();
}

/* Block (WARP, WARPS), a warp per query and head. shared: [WARPS, dim + WARP]. */
__global__ void __launch_bounds__(WARP *WARPS)
    attend_queries(float *o, float *lse, const float *q, const float *k, const float *v,
                   const float *gate, Shape s) {
    DYN_SHARED(float, shared);
    const Place p = place_of(s);
    const long row = (long)s.heads * s.dim;
    const int lane = (int)threadIdx.x;
    if (p.t == s.time) return;
    float *sum = shared + threadIdx.y * (s.dim + WARP), *pass = sum + s.dim;
    float top = -INFINITY, total = 0;
    for (int d = lane; d < s.dim; d += WARP) sum[d] = 0;
    q += p.at, k += p.first, v += p.first, gate += p.gate;
    const int own = p.t / s.block;
    for (int b = 0; b <= own; b++) {
        const int keys = open_keys(gate, s, b, p.t);
        for (int j0 = 0; j0 < keys; j0 += WARP) {
            const int j = j0 + lane, n = keys - j0 < WARP ? keys - j0 : (int)WARP;
            const long from = (b * (long)s.block + j0) * row;
            const float u = j < keys ? key_weight(gate, b, own, j == 0) : 0;
            const float score =
                u != 0 ? s.scale * dot_of(q, k + from + lane * row, s.dim) : -INFINITY;
            const float higher = fmaxf(top, warp_max(score));
            if (higher == -INFINITY) continue; /* a first token without weight; whole warp */
            const float shrink = expf(top - higher), w = u != 0 ? u * expf(score - higher) : 0;
            total = total * shrink + warp_sum(w);
            add_rows(sum, pass, shrink, w, v + from, row, n, s.dim);
            top = higher;
        }
    }
    for (int d = lane; d < s.dim; d += WARP) o[p.at + d] = sum[d] / total;
    if (lane == 0) lse[p.lse] = top + logf(total);
}

/* delta [R,B,heads,T] = dO.o, dq and dgate of a query. Block and shared memory as above. */
__global__ void __launch_bounds__(WARP *WARPS)
    attend_back(float *dq, float *dgate, float *delta, const float *dO, const float *o,
                const float *lse, const float *q, const float *k, const float *v, const float *gate,
                Shape s) {
    DYN_SHARED(float, shared);
    const Place p = place_of(s);
    const long row = (long)s.heads * s.dim;
    const int lane = (int)threadIdx.x;
    if (p.t == s.time) return;
    float *sum = shared + threadIdx.y * (s.dim + WARP), *pass = sum + s.dim;
    float dot = 0;
    for (int d = lane; d < s.dim; d += WARP) {
        sum[d] = 0;
        dot = fmaf(dO[p.at + d], o[p.at + d], dot);
    }
    dot = warp_sum(dot);
    if (lane == 0) delta[p.lse] = dot;
    if (!dq && !dgate) return;
    q += p.at, dO += p.at, k += p.first, v += p.first, gate += p.gate;
    const float log_total = lse[p.lse];
    const int own = p.t / s.block;
    for (int b = 0; b <= own; b++) {
        const int keys = open_keys(gate, s, b, p.t);
        float others = 0, first = 0; /* gradients of weights */
        for (int j0 = 0; j0 < keys; j0 += WARP) {
            const int j = j0 + lane, n = keys - j0 < WARP ? keys - j0 : (int)WARP;
            const long from = (b * (long)s.block + j0) * row, at = from + lane * row;
            const float u = j < keys ? key_weight(gate, b, own, j == 0) : 0;
            float a = 0;
            if (u != 0)
                a = expf(s.scale * dot_of(q, k + at, s.dim) - log_total) *
                    (dot_of(dO, v + at, s.dim) - dot);
            if (j == 0)
                first = a;
            else
                others += a;
            if (dq) add_rows(sum, pass, 1, s.scale * u * a, k + from, row, n, s.dim);
        }
        others = warp_sum(others);
        if (!dgate || lane || b == own || !keys) continue;
        dgate[p.gate + b] += others + first * (b ? 1 - gate[b - 1] : 1);
        if (b) dgate[p.gate + b - 1] += first * (1 - gate[b]);
    }
    if (!dq) return;
    for (int d = lane; d < s.dim; d += WARP) dq[p.at + d] += sum[d];
}

/* dk and dv of a key, a lane per query. shared: [WARPS, 2 dim + WARP]. */
__global__ void __launch_bounds__(WARP *WARPS)
    attend_keys(float *dk, float *dv, const float *delta, const float *dO, const float *lse,
                const float *q, const float *k, const float *v, const float *gate, Shape s) {
    DYN_SHARED(float, shared);
    const Place p = place_of(s);
    const long row = (long)s.heads * s.dim;
    const int lane = (int)threadIdx.x;
    if (p.t == s.time) return;
    float *sum_k = shared + threadIdx.y * (2 * s.dim + WARP), *sum_v = sum_k + s.dim,
          *pass = sum_v + s.dim;
    for (int d = lane; d < s.dim; d += WARP) sum_k[d] = sum_v[d] = 0;
    const int b = p.t / s.block;
    const bool first = p.t % s.block == 0;
    for (int t0 = p.t; t0 < s.time; t0 += WARP) {
        const int t = t0 + lane, n = s.time - t0 < WARP ? s.time - t0 : (int)WARP;
        const long ahead = t - p.t, from = p.at + (t0 - p.t) * row;
        float u = 0, a = 0, w = 0;
        if (t < s.time)
            u = key_weight(gate + p.gate + ahead * s.heads * s.blocks, b, t / s.block, first);
        if (warp_max(fabsf(u)) == 0) continue;
        if (u != 0) {
            const float e =
                expf(s.scale * dot_of(q + from + lane * row, k + p.at, s.dim) - lse[p.lse + ahead]);
            a = e * (dot_of(dO + from + lane * row, v + p.at, s.dim) - delta[p.lse + ahead]);
            w = u * e;
        }
        if (dk) add_rows(sum_k, pass, 1, s.scale * u * a, q + from, row, n, s.dim);
        if (dv) add_rows(sum_v, pass, 1, w, dO + from, row, n, s.dim);
    }
    for (int d = lane; d < s.dim; d += WARP) {
        if (dk) dk[p.at + d] += sum_k[d];
        if (dv) dv[p.at + d] += sum_v[d];
    }
}

Shape shape_make(int sequences, int time, int heads, int dim, int block, double scale) {
    return {sequences * heads,
            (int)blocks_of(time, WARPS),
            time,
            heads,
            dim,
            block,
            block_count(time, block),
            (float)(scale != 0 ? scale : 1 / sqrt(dim))};
}

dim3 grid_of(const Shape &s) { return dim3((unsigned)s.heads_all * s.tiles); }
} // namespace

void K(blockattend_fwd)(real *o, real *lse, const real *q, const real *k, const real *v,
                        const real *gate, real *, int sequences, int time, int heads, int dim,
                        int block, double scale) {
    const Shape s = shape_make(sequences, time, heads, dim, block, scale);
    LAUNCH(attend_queries, grid_of(s), dim3(WARP, WARPS),
           WARPS * ((size_t)dim + WARP) * sizeof(float), o, lse, q, k, v, gate, s);
}

void K(blockattend_bwd)(real *dq, real *dk, real *dv, real *dgate, const real *dO, const real *o,
                        const real *lse, const real *q, const real *k, const real *v,
                        const real *gate, real *, int sequences, int time, int heads, int dim,
                        int block, double scale) {
    const Shape s = shape_make(sequences, time, heads, dim, block, scale);
    if (!dq && !dk && !dv && !dgate) return;
    Scratch scratch;
    float *delta = scratch.take<float>((size_t)sequences * heads * time);
    LAUNCH(attend_back, grid_of(s), dim3(WARP, WARPS), WARPS * ((size_t)dim + WARP) * sizeof(float),
           dq, dgate, delta, dO, o, lse, q, k, v, gate, s);
    if (dk || dv)
        LAUNCH(attend_keys, grid_of(s), dim3(WARP, WARPS),
               WARPS * (2 * (size_t)dim + WARP) * sizeof(float), dk, dv, delta, dO, lse, q, k, v,
               gate, s);
}
