/* gla_narrow.c - linear attention token by token, for values of at most GLA_NARROW channels, such
 * as the ones whose sums are the denominators of linear attention.
 *
 * A chunk form has K C flops per token for the weights of pairs, whatever V is, and works on values
 * padded to whole vectors; here it is 5 K V, on a state [V,K] with vectors along K.
 *
 * Backward goes forwards over time with the state for dq, and backwards with its gradient for dk
 * and dv. */
#include "dot.h"
#include "gla_chunk.h"

#include <string.h>

typedef struct narrow {
    real *state; /* [V,K] */
    real *a, *k; /* [K] decays of a token; dk of one */
    real *inner; /* [T,K] */
} narrow;

static narrow narrow_in(real *work, const gla_shape *s) {
    real *a = work + s->value * s->key;
    narrow w = {work, a, a + s->key, a + 2 * s->key};
    memset(w.state, 0, (size_t)(s->value * s->key) * sizeof(real));
    return w;
}

/* Decays of token t into a; those that never change only at t = first. */
static void read_decays(real *a, const gla_shape *s, const gla_stream *x, long t, long first) {
    real all = 1;
    if (s->decay == GLA_CHANNEL) {
        const real *g = x->g + t * s->heads * s->key;
        SIMD for (long i = 0; i < s->key; i++) a[i] = real_exp(g[i]);
        return;
    }
    if (s->decay != GLA_HEAD && t != first) return;
    if (s->decay == GLA_HEAD) all = real_exp(x->g[t * s->heads]);
    if (s->decay == GLA_RETNET) all = (real)exp(gla_retnet_log(x->head));
    SIMD for (long i = 0; i < s->key; i++) a[i] = all;
}

/* sum_i q_i u_i k_i: the weight of the current token's value. */
static real bonus_weight(const real *q, const real *u, const real *k, long n) {
    real sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += q[i] * u[i] * k[i];
    return sum;
}

/* s = a s + v k, and the sum of q s after it, or before it for a bonus. */
ALWAYS_INLINE real advance(real *s, const real *a, const real *k, const real *q, real v, long n,
                           bool before) {
    real sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) {
        const real next = a[i] * s[i] + v * k[i];
        sum += q[i] * (before ? s[i] : next);
        s[i] = next;
    }
    return sum;
}

/* The same where the sum over value channels is wanted, with the weight dO of this one. */
ALWAYS_INLINE void advance_inner(real *inner, real *s, const real *a, const real *k, real v,
                                 real dO, long n, bool before) {
    SIMD for (long i = 0; i < n; i++) {
        const real next = a[i] * s[i] + v * k[i];
        inner[i] += dO * (before ? s[i] : next);
        s[i] = next;
    }
}

/* Backwards: adds to dk what a value channel gives to it, and returns the same for dv; s is the
 * gradient of the state. */
ALWAYS_INLINE real retreat(real *dk, real *s, const real *a, const real *k, const real *q, real v,
                           real dO, long n, bool before) {
    real sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) {
        const real with = s[i] + dO * q[i], seen = before ? s[i] : with;
        dk[i] += v * seen;
        sum += k[i] * seen;
        s[i] = before ? a[i] * s[i] + dO * q[i] : a[i] * with;
    }
    return sum;
}

void gla_narrow_forward(real *o, const gla_stream *x, const gla_shape *s, real *work) {
    const narrow w = narrow_in(work, s);
    const long n = s->key, row = s->heads * n, out = s->heads * s->value;
    for (long t = 0; t < s->time; t++) {
        const real *q = x->q + t * row, *k = x->k + t * row, *v = x->v + t * out;
        real *ot = o + t * out, *state = w.state;
        read_decays(w.a, s, x, t, 0);
        const real now = x->u ? bonus_weight(q, x->u, k, n) : 0;
        for (long d = 0; d < s->value; d++, state += n)
            ot[d] = x->u ? advance(state, w.a, k, q, v[d], n, true) + now * v[d]
                         : advance(state, w.a, k, q, v[d], n, false);
    }
}

/* inner_t = S dO_t with the state that o_t read. */
static void query_pass(const gla_stream *x, const gla_shape *s, const narrow *w) {
    const long n = s->key, row = s->heads * n, out = s->heads * s->value;
    memset(w->inner, 0, (size_t)(s->time * n) * sizeof(real));
    for (long t = 0; t < s->time; t++) {
        const real *k = x->k + t * row, *v = x->v + t * out, *dO = x->dO + t * out;
        real *inner = w->inner + t * n, *state = w->state;
        read_decays(w->a, s, x, t, 0);
        for (long d = 0; d < s->value; d++, state += n)
            if (x->u)
                advance_inner(inner, state, w->a, k, v[d], dO[d], n, true);
            else
                advance_inner(inner, state, w->a, k, v[d], dO[d], n, false);
    }
}

void gla_narrow_backward(const gla_stream *x, const gla_shape *s, real *work) {
    const narrow w = narrow_in(work, s);
    gla_later later = {0};
    const long n = s->key, row = s->heads * n, out = s->heads * s->value;
    if (x->dq || x->dg) query_pass(x, s, &w);
    memset(w.state, 0, (size_t)(s->value * n) * sizeof(real));
    for (long t = s->time - 1; t >= 0; t--) {
        const real *q = x->q + t * row, *k = x->k + t * row;
        const real *v = x->v + t * out, *dO = x->dO + t * out;
        const real weight = x->u ? bonus_weight(q, x->u, k, n) : 0;
        real *state = w.state;
        read_decays(w.a, s, x, t, s->time - 1);
        memset(w.k, 0, (size_t)n * sizeof(real));
        for (long d = 0; d < s->value; d++, state += n) {
            const real dv =
                x->u ? retreat(w.k, state, w.a, k, q, v[d], dO[d], n, true) + weight * dO[d]
                     : retreat(w.k, state, w.a, k, q, v[d], dO[d], n, false);
            if (x->dv) x->dv[t * out + d] += dv;
        }
        gla_finish(x, s, &later, t, q, k, w.inner + t * n, w.k,
                   x->u ? real_dot(v, dO, s->value) : 0);
    }
}
