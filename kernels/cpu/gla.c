/* gla.c - linear attention with decay, head by head; see kernels.def.
 *
 * Values of more than GLA_NARROW channels go by chunks (gla_chunk.c), others token by token
 * (gla_narrow.c). Neither divides by products of decays, which underflow.
 *
 * The decays' gradient is the same for both: with G_t = g_1 + ... + g_t, o depends on G through
 * q_t e^(G_t) and k_j e^(-G_j) only, so that dG_t = q_t dq_t - k_t dk_t per channel, and dg_s is
 * the sum of dG_t over t >= s (Yang et al. 2024, appendix C). With a bonus, o_t reads S_{t-1}, so
 * that dq counts for G_{t-1}, and the term of the bonus is left out of it. Sums over time in
 * double. */
#include "gla_chunk.h"

/* With one decay per head, for all its channels. */
static void decay_of_head(gla_later *later, real *dg, const real *q, const real *k,
                          const real *inner, const real *dk, long n) {
    double sum = 0;
    SIMD_SUM(sum)
    for (long i = 0; i < n; i++)
        sum += (double)q[i] * (double)inner[i] - (double)k[i] * (double)dk[i];
    later->sum[0] += sum;
    *dg += (real)later->sum[0];
}

void gla_finish(const gla_stream *x, const gla_shape *s, gla_later *later, long t, const real *q,
                const real *k, const real *inner, const real *dk, real now) {
    const long n = s->key, row = t * s->heads * n;
    const real *u = x->u;
    real *dq_t = OFFSET(x->dq, row), *dk_t = OFFSET(x->dk, row), *du = x->du;
    if (dq_t && u) SIMD for (long i = 0; i < n; i++) dq_t[i] += inner[i] + now * u[i] * k[i];
    if (dq_t && !u) SIMD for (long i = 0; i < n; i++) dq_t[i] += inner[i];
    if (dk_t && u) SIMD for (long i = 0; i < n; i++) dk_t[i] += dk[i] + now * u[i] * q[i];
    if (dk_t && !u) SIMD for (long i = 0; i < n; i++) dk_t[i] += dk[i];
    if (du) SIMD for (long i = 0; i < n; i++) du[i] += now * q[i] * k[i];
    if (!x->dg) return;
    if (s->decay == GLA_HEAD) {
        decay_of_head(later, x->dg + t * s->heads, q, k, inner, dk, n);
        return;
    }
    real *dg = x->dg + row;
    SIMD for (long i = 0; i < n; i++) {
        const double own = (double)q[i] * (double)inner[i];
        later->sum[i] += (u ? later->ahead[i] : own) - (double)k[i] * (double)dk[i];
        later->ahead[i] = own;
        dg[i] += (real)later->sum[i];
    }
}

/* Where head h of sequence i (of all runs) starts. */
static gla_stream stream_of(const gla_stream *all, const gla_shape *s, long run, long i, long h) {
    const long key = i * s->time * s->heads * s->key + h * s->key;
    const long value = i * s->time * s->heads * s->value + h * s->value;
    const long g = s->decay == GLA_CHANNEL ? key : i * s->time * s->heads + h;
    const long u = (run * s->heads + h) * s->key;
    return (gla_stream){.q = all->q + key,
                        .k = all->k + key,
                        .v = all->v + value,
                        .g = OFFSET(all->g, g),
                        .u = OFFSET(all->u, u),
                        .dO = OFFSET(all->dO, value),
                        .dq = OFFSET(all->dq, key),
                        .dk = OFFSET(all->dk, key),
                        .dv = OFFSET(all->dv, value),
                        .dg = OFFSET(all->dg, g),
                        .du = OFFSET(all->du, u),
                        .head = h};
}

void K(gla_fwd)(real *o, const real *q, const real *k, const real *v, const real *g, const real *u,
                real *work, int runs, int batch, int time, int heads, int key, int value,
                int decay) {
    const gla_shape s = {time, heads, key, value, decay};
    const gla_stream all = {.q = q, .k = k, .v = v, .g = g, .u = u};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const gla_stream x = stream_of(&all, &s, i / batch, i, h);
            real *to = o + (i * time * heads + h) * value;
            if (value <= GLA_NARROW)
                gla_narrow_forward(to, &x, &s, work);
            else
                gla_chunk_forward(to, &x, &s, work);
        }
}

void K(gla_bwd)(real *dq, real *dk, real *dv, real *dg, real *du, const real *dO, const real *q,
                const real *k, const real *v, const real *g, const real *u, real *work, int runs,
                int batch, int time, int heads, int key, int value, int decay) {
    const gla_shape s = {time, heads, key, value, decay};
    const gla_stream all = {q, k, v, g, u, dO, dq, dk, dv, dg, du, 0};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const gla_stream x = stream_of(&all, &s, i / batch, i, h);
            if (value <= GLA_NARROW)
                gla_narrow_backward(&x, &s, work);
            else
                gla_chunk_backward(&x, &s, work);
        }
}
