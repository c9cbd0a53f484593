/* blockattend.c - attention over gated blocks; see kernels.def.
 *
 * One query at a time: weights of all keys from its gates, scores of the keys that have one, then
 * sums. With e = e^(s - lse), the share of a key with weight 1, backward is
 *   a_j = e_j (dO . v_j - dO . o), dv_j += u_j e_j dO, ds_j = u_j a_j, du_j = a_j. */
#include "blocks.h"
#include "dot.h"

/* u[j], j <= t. */
static void key_weights(real *u, const real *gate, const block_shape *s, long t) {
    const long own = t / s->block;
    for (long b = 0; b < own; b++) {
        real *at = u + b * s->block;
        for (long j = 0; j < s->block; j++) at[j] = gate[b];
        if (b > 0) at[0] = 1 - (1 - gate[b]) * (1 - gate[b - 1]);
    }
    for (long j = own * s->block; j <= t; j++) u[j] = 1;
}

static void query_forward(real *o, real *lse, const real *q, const real *k, const real *v,
                          const real *u, real *score, const block_shape *s, long t) {
    real top = -INFINITY, total = 0;
    for (long j = 0; j <= t; j++) {
        if (u[j] == 0) continue;
        score[j] = s->scale * real_dot(q, k + j * s->row, s->dim);
        top = score[j] > top ? score[j] : top;
    }
    for (long d = 0; d < s->dim; d++) o[d] = 0;
    for (long j = 0; j <= t; j++) {
        if (u[j] == 0) continue;
        const real *vj = v + j * s->row, p = u[j] * real_exp(score[j] - top);
        total += p;
        SIMD for (long d = 0; d < s->dim; d++) o[d] += p * vj[d];
    }
    const real share = 1 / total;
    SIMD for (long d = 0; d < s->dim; d++) o[d] *= share;
    *lse = top + real_log(total);
}

void K(blockattend_fwd)(real *o, real *lse, const real *q, const real *k, const real *v,
                        const real *gate, real *work, int sequences, int time, int heads, int dim,
                        int block, double scale) {
    const block_shape s = block_shape_make(time, heads, dim, block, scale);
    for (long b = 0; b < sequences; b++)
        for (long h = 0; h < heads; h++)
            for (long t = 0; t < time; t++) {
                const long first = b * time * s.row + h * dim, at = first + t * s.row;
                key_weights(work, gate + ((b * time + t) * heads + h) * s.blocks, &s, t);
                query_forward(o + at, lse + (b * heads + h) * time + t, q + at, k + first,
                              v + first, work, work + time, &s, t);
            }
}

typedef struct gradients {
    real *dq, *dk, *dv; /* dq: of the query; dk, dv: of the head's first key; may be NULL */
} gradients;

/* u becomes a: gradients of the weights, where there was one. */
static void query_backward(gradients to, const real *dO, const real *o, real lse, const real *q,
                           const real *k, const real *v, real *u, const block_shape *s, long t) {
    const real delta = real_dot(dO, o, s->dim);
    for (long j = 0; j <= t; j++) {
        if (u[j] == 0) continue;
        const real *kj = k + j * s->row;
        const real e = real_exp(s->scale * real_dot(q, kj, s->dim) - lse), p = u[j] * e;
        const real a = e * (real_dot(dO, v + j * s->row, s->dim) - delta), ds = s->scale * u[j] * a;
        real *dk = OFFSET(to.dk, j * s->row), *dv = OFFSET(to.dv, j * s->row);
        if (to.dq) SIMD for (long d = 0; d < s->dim; d++) to.dq[d] += ds * kj[d];
        if (dk) SIMD for (long d = 0; d < s->dim; d++) dk[d] += ds * q[d];
        if (dv) SIMD for (long d = 0; d < s->dim; d++) dv[d] += p * dO[d];
        u[j] = a;
    }
}

/* a: gradients of the weights, 0 where a key has none. */
static void gate_backward(real *dgate, const real *gate, const real *a, const block_shape *s,
                          long t) {
    for (long b = 0; b < t / s->block; b++) {
        const real *at = a + b * s->block;
        if (b > 0) {
            dgate[b] += at[0] * (1 - gate[b - 1]);
            dgate[b - 1] += at[0] * (1 - gate[b]);
        } else {
            dgate[b] += at[0];
        }
        for (long j = 1; j < s->block; j++) dgate[b] += at[j];
    }
}

void K(blockattend_bwd)(real *dq, real *dk, real *dv, real *dgate, const real *dO, const real *o,
                        const real *lse, const real *q, const real *k, const real *v,
                        const real *gate, real *work, int sequences, int time, int heads, int dim,
                        int block, double scale) {
    const block_shape s = block_shape_make(time, heads, dim, block, scale);
    for (long b = 0; b < sequences; b++)
        for (long h = 0; h < heads; h++)
            for (long t = 0; t < time; t++) {
                const long first = b * time * s.row + h * dim, at = first + t * s.row;
                const long row = ((b * time + t) * heads + h) * s.blocks;
                key_weights(work, gate + row, &s, t);
                query_backward((gradients){OFFSET(dq, at), OFFSET(dk, first), OFFSET(dv, first)},
                               dO + at, o + at, lse[(b * heads + h) * time + t], q + at, k + first,
                               v + first, work, &s, t);
                if (dgate) gate_backward(dgate + row, gate + row, work, &s, t);
            }
}
