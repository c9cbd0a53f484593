/* gla.c - linear attention with decay, token by token; see kernels.def.
 *
 * The state of a head, K x V, stays in the L1 cache; four of its rows are worked on at once, so
 * that a row of o is read and written once for four of them. Chunked forms need fewer passes over
 * the state but divide by products of decays, which underflow; here nothing can.
 *
 * Backward goes twice over time: forwards with the states themselves for dq_t = S_t dO_t, and
 * backwards with the gradient of the state for dk and dv. The decays need neither: with
 * G_t = g_1 + ... + g_t, o depends on G through q_t e^(G_t) and k_j e^(-G_j) only, so that
 * dG_t = q_t dq_t - k_t dk_t per channel, and dg_s is the sum of dG_t over t >= s (Yang et al.
 * 2024, appendix C). With a bonus, o_t reads S_{t-1}, so that dq counts for G_{t-1}, and the term
 * of the bonus is left out of it. Sums over time in double. */
#include "dot.h"
#include "kernels/core/work.h"

#include <string.h>

typedef struct shape {
    long time, heads, key, value;
    int decay;
} shape;

/* One head of one sequence. Row t of q, k is at t * heads * key, of v at t * heads * value. */
typedef struct stream {
    const real *q, *k, *v, *g, *u, *dO; /* g, u may be NULL */
    real *dq, *dk, *dv, *dg, *du;       /* may be NULL */
} stream;

/* Work of one head. */
typedef struct scratch {
    real *state; /* [K,V] */
    real *a;     /* [K] decays of one token */
    real *row;   /* [V] */
    real *inner; /* [T,K] what of dq_t came through the state */
} scratch;

static scratch scratch_in(real *work, const shape *s) {
    real *a = work + s->key * s->value, *row = a + s->key;
    return (scratch){work, a, row, row + s->value};
}

static void clear(real *x, long n) { memset(x, 0, (size_t)n * sizeof *x); }

/* Decays of token t into a; those that never change only at t = first. */
static void read_decays(real *a, const shape *s, const real *g, long head, long t, long first) {
    real all = 1;
    switch (s->decay) {
    case GLA_CHANNEL: {
        const real *gt = g + t * s->heads * s->key;
        SIMD for (long i = 0; i < s->key; i++) a[i] = real_exp(gt[i]);
        return;
    }
    case GLA_HEAD: all = real_exp(g[t * s->heads]); break;
    case GLA_RETNET: all = 1 - (real)exp2(-5 - (double)head); /* fall through */
    default:
        if (t != first) return;
    }
    SIMD for (long i = 0; i < s->key; i++) a[i] = all;
}

/* S_i = a_i S_i + k_i v, and o += q_i S_i: after the update, or before it for a bonus. */
static void advance(real *state, real *o, const real *a, const real *k, const real *v,
                    const real *q, const shape *s, int before) {
    const long n = s->value;
    long i = 0;
    for (; i + 4 <= s->key; i += 4) {
        real *s0 = state + i * n, *s1 = s0 + n, *s2 = s1 + n, *s3 = s2 + n;
        const real a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        const real k0 = k[i], k1 = k[i + 1], k2 = k[i + 2], k3 = k[i + 3];
        const real q0 = q[i], q1 = q[i + 1], q2 = q[i + 2], q3 = q[i + 3];
        SIMD for (long d = 0; d < n; d++) {
            const real t0 = a0 * s0[d] + k0 * v[d], t1 = a1 * s1[d] + k1 * v[d];
            const real t2 = a2 * s2[d] + k2 * v[d], t3 = a3 * s3[d] + k3 * v[d];
            o[d] += before ? (q0 * s0[d] + q1 * s1[d]) + (q2 * s2[d] + q3 * s3[d])
                           : (q0 * t0 + q1 * t1) + (q2 * t2 + q3 * t3);
            s0[d] = t0, s1[d] = t1, s2[d] = t2, s3[d] = t3;
        }
    }
    for (; i < s->key; i++) {
        real *si = state + i * n;
        SIMD for (long d = 0; d < n; d++) {
            const real t = a[i] * si[d] + k[i] * v[d];
            o[d] += q[i] * (before ? si[d] : t);
            si[d] = t;
        }
    }
}

/* sum_i q_i u_i k_i: the weight of the current token's value. */
static real bonus_weight(const real *q, const real *u, const real *k, long n) {
    real sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += q[i] * u[i] * k[i];
    return sum;
}

static void head_forward(real *o, const stream *x, const scratch *w, const shape *s, long head) {
    const long row = s->heads * s->key, out = s->heads * s->value;
    clear(w->state, s->key * s->value);
    for (long t = 0; t < s->time; t++) {
        const real *q = x->q + t * row, *k = x->k + t * row, *v = x->v + t * out;
        real *ot = o + t * out;
        read_decays(w->a, s, x->g, head, t, 0);
        const real now = x->u ? bonus_weight(q, x->u, k, s->key) : 0;
        SIMD for (long d = 0; d < s->value; d++) ot[d] = x->u ? now * v[d] : 0;
        advance(w->state, ot, w->a, k, v, q, s, x->u != NULL);
    }
}

/* Forwards over time: inner_t = S dO_t with the state that o_t read; dq, du. */
static void query_pass(const stream *x, const scratch *w, const shape *s, long head) {
    const long row = s->heads * s->key, out = s->heads * s->value;
    clear(w->state, s->key * s->value);
    for (long t = 0; t < s->time; t++) {
        const real *q = x->q + t * row, *k = x->k + t * row, *v = x->v + t * out;
        const real *dO = x->dO + t * out;
        real *inner = w->inner + t * s->key;
        read_decays(w->a, s, x->g, head, t, 0);
        for (long i = 0; i < s->key; i++) {
            real *si = w->state + i * s->value, sum = 0;
            const real a = w->a[i], ki = k[i];
            if (x->u) {
                SIMD_SUM(sum) for (long d = 0; d < s->value; d++) {
                    sum += si[d] * dO[d];
                    si[d] = a * si[d] + ki * v[d];
                }
            } else {
                SIMD_SUM(sum) for (long d = 0; d < s->value; d++) {
                    si[d] = a * si[d] + ki * v[d];
                    sum += si[d] * dO[d];
                }
            }
            inner[i] = sum;
        }
        const real now = x->u ? real_dot(v, dO, s->value) : 0;
        if (x->dq) {
            real *dq = x->dq + t * row;
            for (long i = 0; i < s->key; i++) dq[i] += inner[i] + (x->u ? now * x->u[i] * k[i] : 0);
        }
        if (x->du) SIMD for (long i = 0; i < s->key; i++) x->du[i] += now * q[i] * k[i];
    }
}

/* Backwards over time with dS in `state`: dk, dv, dg. */
static void state_pass(const stream *x, const scratch *w, const shape *s, long head) {
    const long row = s->heads * s->key, out = s->heads * s->value;
    double sum[GLA_MAX_KEY] = {0}; /* of dG over later tokens */
    clear(w->state, s->key * s->value);
    for (long t = s->time - 1; t >= 0; t--) {
        const real *q = x->q + t * row, *k = x->k + t * row, *v = x->v + t * out;
        const real *dO = x->dO + t * out;
        const real now = x->u ? real_dot(v, dO, s->value) : 0;
        const real weight = x->u ? bonus_weight(q, x->u, k, s->key) : 0;
        double all = 0;
        read_decays(w->a, s, x->g, head, t, s->time - 1);
        SIMD for (long d = 0; d < s->value; d++) w->row[d] = weight * dO[d]; /* dv of this token */
        for (long i = 0; i < s->key; i++) {
            real *si = w->state + i * s->value, dk = 0;
            const real qi = q[i], ki = k[i], a = w->a[i];
            if (x->u) { /* o_t read the state before this token */
                SIMD_SUM(dk) for (long d = 0; d < s->value; d++) {
                    dk += si[d] * v[d];
                    w->row[d] += ki * si[d];
                    si[d] = a * si[d] + qi * dO[d];
                }
            } else {
                SIMD_SUM(dk) for (long d = 0; d < s->value; d++) {
                    const real all_later = si[d] + qi * dO[d];
                    dk += all_later * v[d];
                    w->row[d] += ki * all_later;
                    si[d] = a * all_later;
                }
            }
            if (x->dk) x->dk[t * row + i] += dk + (x->u ? now * x->u[i] * qi : 0);
            const long reader = x->u ? t + 1 : t; /* whose query counts for G_t */
            if (reader < s->time)
                sum[i] += (double)x->q[reader * row + i] * (double)w->inner[reader * s->key + i];
            sum[i] -= (double)ki * (double)dk;
            all += sum[i];
            if (x->dg && s->decay == GLA_CHANNEL) x->dg[t * row + i] += (real)sum[i];
        }
        if (x->dg && s->decay == GLA_HEAD) x->dg[t * s->heads] += (real)all;
        if (x->dv) {
            real *dv = x->dv + t * out;
            SIMD for (long d = 0; d < s->value; d++) dv[d] += w->row[d];
        }
    }
}

/* Where head h of sequence i (of all runs) starts. */
static stream stream_of(const stream *all, const shape *s, long run, long i, long h) {
    const long key = i * s->time * s->heads * s->key + h * s->key;
    const long value = i * s->time * s->heads * s->value + h * s->value;
    const long g = s->decay == GLA_CHANNEL ? key : i * s->time * s->heads + h;
    const long u = (run * s->heads + h) * s->key;
    return (stream){all->q + key,         all->k + key,         all->v + value,
                    OFFSET(all->g, g),    OFFSET(all->u, u),    OFFSET(all->dO, value),
                    OFFSET(all->dq, key), OFFSET(all->dk, key), OFFSET(all->dv, value),
                    OFFSET(all->dg, g),   OFFSET(all->du, u)};
}

void K(gla_fwd)(real *o, const real *q, const real *k, const real *v, const real *g, const real *u,
                real *work, int runs, int batch, int time, int heads, int key, int value,
                int decay) {
    const shape s = {time, heads, key, value, decay};
    const scratch w = scratch_in(work, &s);
    const stream all = {.q = q, .k = k, .v = v, .g = g, .u = u};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i / batch, i, h);
            head_forward(o + (i * time * heads + h) * value, &x, &w, &s, h);
        }
}

void K(gla_bwd)(real *dq, real *dk, real *dv, real *dg, real *du, const real *dO, const real *q,
                const real *k, const real *v, const real *g, const real *u, real *work, int runs,
                int batch, int time, int heads, int key, int value, int decay) {
    const shape s = {time, heads, key, value, decay};
    const scratch w = scratch_in(work, &s);
    const stream all = {q, k, v, g, u, dO, dq, dk, dv, dg, du};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i / batch, i, h);
            if (dq || du || dg) query_pass(&x, &w, &s, h);
            if (dk || dv || dg) state_pass(&x, &w, &s, h);
        }
}
