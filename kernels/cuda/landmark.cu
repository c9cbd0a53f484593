/* landmark.cu - softmax over the landmarks of earlier blocks; see kernels.def.
 *
 * Forward: a warp per query and head, a lane per landmark; scores wait in p for their sum.
 * Backward: a warp per query and head leaves the gradients of its scores in scratch and adds to dq;
 * a warp per landmark and head then adds up its queries in order, a lane per channel. Landmarks are
 * few and come from the caches; p is moved twice forward, p, dp and scratch once or twice backward.
 */
#include "kernels/core/work.h"
#include "reduce.cuh"

namespace {
enum { WARPS = 4 };

/* rows: queries of all sequences and heads. */
struct Marks {
    long rows;
    int time, heads, dim, block, blocks;
    float scale;
};

/* One query and head, or with `rows` as landmarks one landmark and head. */
struct Query {
    long at, keys, gate; /* offsets into q, of the head's first key, into p */
    int seen;
};

__device__ long warp_index() { return (long)blockIdx.x * WARPS + threadIdx.y; }

__device__ Query query_at(const Marks &m, long i) {
    const long token = i / m.heads, row = (long)m.heads * m.dim;
    const long head = i % m.heads * m.dim;
    return {token * row + head, token / m.time * m.time * row + head, i * m.blocks,
            (int)(token % m.time) / m.block};
}

__device__ const float *landmark_of(const float *c, const Marks &m, const Query &q, int b) {
    return c + q.keys + ((long)b * m.block + m.block - 1) * m.heads * m.dim;
}

__global__ void __launch_bounds__(WARP *WARPS)
    landmark_scores(float *p, const float *q, const float *c, Marks m) {
    const long i = warp_index();
    const int lane = (int)threadIdx.x;
    if (i >= m.rows) return;
    const Query query = query_at(m, i);
    p += query.gate, q += query.at;
    float top = -INFINITY, total = 0;
    for (int b = lane; b < query.seen; b += WARP) {
        const float *at = landmark_of(c, m, query, b);
        float dot = 0;
        for (int d = 0; d < m.dim; d++) dot = fmaf(q[d], at[d], dot);
        p[b] = m.scale * dot;
        top = fmaxf(top, p[b]);
    }
    top = warp_max(top);
    for (int b = lane; b < query.seen; b += WARP) {
        p[b] = expf(p[b] - top);
        total += p[b];
    }
    total = warp_sum(total);
    for (int b = lane; b < m.blocks; b += WARP) p[b] = b < query.seen ? p[b] / total : 0;
}

/* ds [R,B,T,heads,blocks] and dq; dq may be NULL. */
__global__ void __launch_bounds__(WARP *WARPS)
    landmark_back(float *dq, float *ds, const float *dp, const float *p, const float *c, Marks m) {
    const long i = warp_index();
    const int lane = (int)threadIdx.x;
    if (i >= m.rows) return;
    const Query query = query_at(m, i);
    ds += query.gate, dp += query.gate, p += query.gate;
    float total = 0;
    for (int b = lane; b < query.seen; b += WARP) total = fmaf(p[b], dp[b], total);
    total = warp_sum(total);
    for (int b = lane; b < query.seen; b += WARP) ds[b] = m.scale * p[b] * (dp[b] - total);
    __syncwarp();
    if (!dq) return;
    for (int d = lane; d < m.dim; d += WARP) {
        float sum = 0;
        for (int b = 0; b < query.seen; b++) sum = fmaf(ds[b], landmark_of(c, m, query, b)[d], sum);
        dq[query.at + d] += sum;
    }
}

/* Block (WARP, WARPS); a warp per sequence, complete block and head. */
__global__ void __launch_bounds__(WARP *WARPS)
    landmark_gather(float *dc, const float *ds, const float *q, Marks m, long landmarks) {
    const long i = warp_index(), row = (long)m.heads * m.dim;
    if (i >= landmarks) return;
    const int whole = m.time / m.block, head = (int)(i % m.heads);
    const int b = (int)(i / m.heads % whole);
    const long token = i / m.heads / whole * m.time; /* the first of the sequence */
    for (int d = (int)threadIdx.x; d < m.dim; d += WARP) {
        float sum = 0;
        for (long t = token + (b + 1L) * m.block; t < token + m.time; t++)
            sum = fmaf(ds[(t * m.heads + head) * m.blocks + b], q[t * row + head * m.dim + d], sum);
        dc[(token + (b + 1L) * m.block - 1) * row + head * m.dim + d] += sum;
    }
}

Marks marks_make(int sequences, int time, int heads, int dim, int block, double scale) {
    return {(long)sequences * time * heads,
            time,
            heads,
            dim,
            block,
            block_count(time, block),
            (float)(scale != 0 ? scale : 1 / sqrt(dim))};
}
} // namespace

void K(landmark_fwd)(real *p, const real *q, const real *c, int sequences, int time, int heads,
                     int dim, int block, double scale) {
    const Marks m = marks_make(sequences, time, heads, dim, block, scale);
    LAUNCH(landmark_scores, dim3(blocks_of(m.rows, WARPS)), dim3(WARP, WARPS), 0, p, q, c, m);
}

void K(landmark_bwd)(real *dq, real *dc, const real *dp, const real *p, const real *q,
                     const real *c, real *, int sequences, int time, int heads, int dim, int block,
                     double scale) {
    if (!dq && !dc) return;
    const Marks m = marks_make(sequences, time, heads, dim, block, scale);
    const long landmarks = (long)sequences * (time / block) * heads;
    Scratch scratch;
    float *ds = scratch.take<float>((size_t)(m.rows * m.blocks));
    LAUNCH(landmark_back, dim3(blocks_of(m.rows, WARPS)), dim3(WARP, WARPS), 0, dq, ds, dp, p, c,
           m);
    if (dc)
        LAUNCH(landmark_gather, dim3(blocks_of(landmarks, WARPS)), dim3(WARP, WARPS), 0, dc, ds, q,
               m, landmarks);
}
