/* landmark.c - softmax over the landmarks of earlier blocks; see kernels.def. */
#include "blocks.h"

/* Where landmark b of the sequence and head starts in c, counted from the head's first channel. */
static long landmark_at(const block_shape *m, long b) {
    return (b * m->block + m->block - 1) * m->row;
}

static void landmark_row(real *p, const real *q, const real *c, const block_shape *m, long seen) {
    real top = -INFINITY, total = 0;
    for (long b = 0; b < seen; b++) {
        const real *at = c + landmark_at(m, b);
        real dot = 0;
        SIMD_SUM(dot) for (long d = 0; d < m->dim; d++) dot += q[d] * at[d];
        p[b] = m->scale * dot;
        top = p[b] > top ? p[b] : top;
    }
    for (long b = 0; b < seen; b++) {
        p[b] = real_exp(p[b] - top);
        total += p[b];
    }
    for (long b = 0; b < seen; b++) p[b] /= total;
    for (long b = seen; b < m->blocks; b++) p[b] = 0;
}

void K(landmark_fwd)(real *p, const real *q, const real *c, int sequences, int time, int heads,
                     int dim, int block, double scale) {
    const block_shape m = block_shape_make(time, heads, dim, block, scale);
    for (long i = 0; i < (long)sequences * time; i++)
        for (long h = 0; h < heads; h++)
            landmark_row(p + (i * heads + h) * m.blocks, q + i * m.row + h * dim,
                         c + i / time * time * m.row + h * dim, &m, i % time / block);
}

/* ds: gradients of the scores, scale folded in. */
static void landmark_row_back(real *dq, real *dc, real *ds, const real *dp, const real *p,
                              const real *q, const real *c, const block_shape *m, long seen) {
    real total = 0;
    for (long b = 0; b < seen; b++) total += p[b] * dp[b];
    for (long b = 0; b < seen; b++) ds[b] = m->scale * p[b] * (dp[b] - total);
    for (long b = 0; b < seen; b++) {
        const long at = landmark_at(m, b);
        if (dq) SIMD for (long d = 0; d < m->dim; d++) dq[d] += ds[b] * c[at + d];
        if (dc) SIMD for (long d = 0; d < m->dim; d++) dc[at + d] += ds[b] * q[d];
    }
}

void K(landmark_bwd)(real *dq, real *dc, const real *dp, const real *p, const real *q,
                     const real *c, real *work, int sequences, int time, int heads, int dim,
                     int block, double scale) {
    const block_shape m = block_shape_make(time, heads, dim, block, scale);
    for (long i = 0; i < (long)sequences * time; i++)
        for (long h = 0; h < heads; h++) {
            const long at = i * m.row + h * dim, from = i / time * time * m.row + h * dim;
            const long gate = (i * heads + h) * m.blocks;
            landmark_row_back(OFFSET(dq, at), OFFSET(dc, from), work, dp + gate, p + gate, q + at,
                              c + from, &m, i % time / block);
        }
}
