/* delta.c - the gated delta rule, token by token; see kernels.def.
 *
 * The state of a head stays in the L1 or L2 cache. States cannot be undone, so backward keeps the
 * one at the start of each chunk of tokens, goes through the chunks from the last to the first, and
 * computes the decayed states P_t of a chunk again before it walks back through it:
 *
 *   dS_t += q_t dO_t^T, dq_t = S_t dO_t, du = dS_t^T k_t, dv = beta du, dbeta = du . (v - P^T k),
 *   dk = dS_t u - P_t (beta du), dP = dS_t - k (beta du)^T, dg = <dP, P_t>, dS_{t-1} = e^g dP */
#include "dot.h"
#include "kernels/core/work.h"

#include <string.h>

typedef struct shape {
    long time, heads, key, value;
} shape;

/* One head of one sequence. Row t of q, k is at t * heads * key, of v at t * heads * value, of beta
 * and g at t * heads. */
typedef struct stream {
    const real *q, *k, *v, *beta, *g, *dO;
    real *dq, *dk, *dv, *dbeta, *dg;
} stream;

/* P = e^g S, in place; u = beta (v - P^T k). `known` [V]: scratch. */
static void decay_and_miss(real *state, real *u, real *known, const stream *x, const shape *s,
                           long t) {
    const real a = x->g ? real_exp(x->g[t * s->heads]) : 1, beta = x->beta[t * s->heads];
    const real *k = x->k + t * s->heads * s->key, *v = x->v + t * s->heads * s->value;
    const long n = s->value;
    memset(known, 0, (size_t)n * sizeof *known);
    for (long i = 0; i < s->key; i++) {
        real *si = state + i * n;
        SIMD for (long d = 0; d < n; d++) {
            const real p = a * si[d];
            known[d] += k[i] * p;
            si[d] = p;
        }
    }
    SIMD for (long d = 0; d < n; d++) u[d] = beta * (v[d] - known[d]);
}

/* S += k u^T; o = S^T q unless o is NULL. */
static void learn(real *state, real *o, const real *u, const stream *x, const shape *s, long t) {
    const real *k = x->k + t * s->heads * s->key, *q = x->q + t * s->heads * s->key;
    const long n = s->value;
    if (o) memset(o, 0, (size_t)n * sizeof *o);
    for (long i = 0; i < s->key; i++) {
        real *si = state + i * n;
        if (o) SIMD for (long d = 0; d < n; d++) {
                si[d] += k[i] * u[d];
                o[d] += q[i] * si[d];
            }
        else
            SIMD for (long d = 0; d < n; d++) si[d] += k[i] * u[d];
    }
}

static void head_forward(real *o, const stream *x, real *work, const shape *s) {
    real *state = work, *u = state + s->key * s->value, *known = u + s->value;
    memset(state, 0, (size_t)(s->key * s->value) * sizeof *state);
    for (long t = 0; t < s->time; t++) {
        decay_and_miss(state, u, known, x, s, t);
        learn(state, o + t * s->heads * s->value, u, x, s, t);
    }
}

/* Back over one token: dS of S_t becomes that of S_{t-1}. P [K,V], u [V] as in forward; du, known
 * [V]: scratch. */
static void token_backward(real *dS, const real *P, const real *u, real *du, real *known,
                           const stream *x, const shape *s, long t) {
    const long n = s->value, row = t * s->heads * s->key, out = t * s->heads * n;
    const real a = x->g ? real_exp(x->g[t * s->heads]) : 1, beta = x->beta[t * s->heads];
    const real *q = x->q + row, *k = x->k + row, *v = x->v + out, *dO = x->dO + out;
    const real seen = real_dot(u, dO, n);
    memset(du, 0, (size_t)n * sizeof *du);
    memset(known, 0, (size_t)n * sizeof *known);
    for (long i = 0; i < s->key; i++) {
        real *di = dS + i * n;
        const real *pi = P + i * n;
        if (x->dq) x->dq[row + i] += real_dot(pi, dO, n) + k[i] * seen;
        SIMD for (long d = 0; d < n; d++) {
            di[d] += q[i] * dO[d];
            du[d] += k[i] * di[d];
            known[d] += k[i] * pi[d];
        }
    }
    real dbeta = 0, dg = 0;
    SIMD_SUM(dbeta) for (long d = 0; d < n; d++) dbeta += du[d] * (v[d] - known[d]);
    if (x->dbeta) x->dbeta[t * s->heads] += dbeta;
    SIMD for (long d = 0; d < n; d++) du[d] *= beta; /* from here on: dv, and the error's */
    if (x->dv) SIMD for (long d = 0; d < n; d++) x->dv[out + d] += du[d];
    for (long i = 0; i < s->key; i++) {
        real *di = dS + i * n;
        const real *pi = P + i * n;
        if (x->dk) x->dk[row + i] += real_dot(di, u, n) - real_dot(pi, du, n);
        SIMD_SUM(dg) for (long d = 0; d < n; d++) {
            const real dP = di[d] - k[i] * du[d];
            dg += dP * pi[d];
            di[d] = a * dP;
        }
    }
    if (x->dg) x->dg[t * s->heads] += dg;
}

static void head_backward(const stream *x, real *work, const shape *s) {
    const long size = s->key * s->value, chunks = (s->time + DELTA_CHUNK - 1) / DELTA_CHUNK;
    real *state = work, *start = state + size; /* [chunks,K,V] */
    real *P = start + chunks * size;           /* [CHUNK,K,V] */
    real *u = P + DELTA_CHUNK * size;          /* [CHUNK,V] */
    real *du = u + DELTA_CHUNK * s->value, *known = du + s->value;
    memset(state, 0, (size_t)size * sizeof *state);
    for (long t = 0; t < s->time; t++) {
        if (t % DELTA_CHUNK == 0)
            memcpy(start + t / DELTA_CHUNK * size, state, (size_t)size * sizeof *state);
        decay_and_miss(state, u, known, x, s, t);
        learn(state, NULL, u, x, s, t);
    }
    real *dS = state;
    memset(dS, 0, (size_t)size * sizeof *dS);
    for (long c = chunks - 1; c >= 0; c--) {
        const long first = c * DELTA_CHUNK;
        const long end = first + DELTA_CHUNK < s->time ? first + DELTA_CHUNK : s->time;
        real *now = start + c * size; /* becomes the state after this chunk */
        for (long t = first; t < end; t++) {
            const long i = t - first;
            decay_and_miss(now, u + i * s->value, known, x, s, t);
            memcpy(P + i * size, now, (size_t)size * sizeof *now);
            learn(now, NULL, u + i * s->value, x, s, t);
        }
        for (long t = end - 1; t >= first; t--)
            token_backward(dS, P + (t - first) * size, u + (t - first) * s->value, du, known, x, s,
                           t);
    }
}

static stream stream_of(const stream *all, const shape *s, long i, long h) {
    const long key = (i * s->time * s->heads + h) * s->key,
               value = (i * s->time * s->heads + h) * s->value, one = i * s->time * s->heads + h;
    return (stream){all->q + key,           all->k + key,
                    all->v + value,         all->beta + one,
                    OFFSET(all->g, one),    OFFSET(all->dO, value),
                    OFFSET(all->dq, key),   OFFSET(all->dk, key),
                    OFFSET(all->dv, value), OFFSET(all->dbeta, one),
                    OFFSET(all->dg, one)};
}

void K(delta_fwd)(real *o, const real *q, const real *k, const real *v, const real *beta,
                  const real *g, real *work, int runs, int batch, int time, int heads, int key,
                  int value) {
    const shape s = {time, heads, key, value};
    const stream all = {.q = q, .k = k, .v = v, .beta = beta, .g = g};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i, h);
            head_forward(o + (i * time * heads + h) * value, &x, work, &s);
        }
}

void K(delta_bwd)(real *dq, real *dk, real *dv, real *dbeta, real *dg, const real *dO,
                  const real *q, const real *k, const real *v, const real *beta, const real *g,
                  real *work, int runs, int batch, int time, int heads, int key, int value) {
    const shape s = {time, heads, key, value};
    const stream all = {q, k, v, beta, g, dO, dq, dk, dv, dbeta, dg};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i, h);
            head_backward(&x, work, &s);
        }
}
