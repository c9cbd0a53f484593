/* gla_chunk.c - linear attention by chunks of GLA_CHUNK tokens.
 *
 * With G, H of gla_chunk.h, S the state before the chunk and A the weights of gla_pairs.c,
 *   o = (e^H q) S + A v,   S' = e^G_n S + (e^(G_n - G) k)^T v,
 * and with D the gradient of S', D that of S,
 *   dq = e^H (dO S^T) + pairs,   dk = e^(G_n - G) (v D'^T) + pairs,
 *   dv = (e^(G_n - G) k) D' + A^T dO,   D = e^G_n D' + (e^H q)^T dO.
 * Backward goes over the chunks twice: forwards for the states and dO S^T, which it keeps per token
 * and key channel, then backwards; states and weights are computed again, not stored. The first
 * forward state and the last gradient are 0 and no products are made with them.
 * Chunks start at multiples of their size: what comes out at t depends neither on T nor on later
 * tokens. Per token: 4 K V + C (K + V) flops forward, 12 K V + 3 C (K + V) backward. */
#include "gla_chunk.h"

#include <string.h>

enum { C = GLA_CHUNK };

static real *take(real **work, long n) {
    real *at = *work;
    *work += n;
    return at;
}

static gla_chunk chunk_in(real *work, const gla_shape *s, const real *u) {
    const long kp = gla_padded(s->key), vp = gla_padded(s->value), most = kp > vp ? kp : vp;
    gla_chunk c = {.s = s, .u = u, .kp = kp, .vp = vp};
    real **const keys[] = {&c.fade_q, &c.fade_k, &c.near_fade, &c.near,   &c.edge_fade, &c.edge,
                           &c.dk,     &c.in,     &c.out,       &c.room_q, &c.room_k};
    real **const values[] = {&c.o, &c.room_v, &c.room_dO};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) *keys[i] = take(&work, C * kp);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) *values[i] = take(&work, C * vp);
    c.a = take(&work, (C + 1) * kp) + kp; /* after a row of ones */
    c.score = take(&work, C * GLA_ROW);
    c.dscore = take(&work, C * GLA_ROW);
    c.turned = take(&work, most * GLA_ROW);
    c.strip = take(&work, STRIP * kp);
    c.whole = take(&work, kp);
    c.state = take(&work, kp * vp);
    c.state_t = take(&work, kp * vp);
    c.inner = take(&work, round_up(s->time, C) * kp);
    return c;
}

/* The chunk's tokens from t on, and their decays. */
static void chunk_read(gla_chunk *c, const gla_stream *x, long t) {
    const gla_shape *s = c->s;
    const long row = s->heads * s->key, wide = s->heads * s->value;
    c->n = s->time - t < C ? s->time - t : C;
    c->q = tile_of(c->room_q, c->kp, x->q + t * row, row, c->n, s->key);
    c->k = tile_of(c->room_k, c->kp, x->k + t * row, row, c->n, s->key);
    c->v = tile_of(c->room_v, c->vp, x->v + t * wide, wide, c->n, s->value);
    if (x->dO) c->dO = tile_of(c->room_dO, c->vp, x->dO + t * wide, wide, c->n, s->value);
    gla_fade(c, x->g ? x->g + t * (s->decay == GLA_CHANNEL ? row : s->heads) : NULL, x->head);
}

/* y [n,kp] = x times fade_q or fade_k. */
static void fade_rows(real *y, const real *x, const real *fade, const gla_chunk *c) {
    const long kp = c->kp;
    if (c->s->decay == GLA_CHANNEL)
        SIMD for (long i = 0; i < c->n * kp; i++) y[i] = x[i] * fade[i];
    else
        for (long t = 0; t < c->n; t++)
            SIMD for (long i = 0; i < kp; i++) y[t * kp + i] = x[t * kp + i] * fade[t];
}

/* c [rows,cols] = a b, strip by strip; two vectors of columns of b stay in the L1 cache for all
 * strips, which matters where b is a state. */
static void product(real *c, long c_row, const real *a, long a_row, const real *b, long b_row,
                    long rows, long cols, long inner) {
    for (long j = 0; j < cols; j += 2 * TILE_LANES) {
        const long wide = cols - j < 2 * TILE_LANES ? cols - j : 2 * TILE_LANES;
        for (long i = 0; i < rows; i += STRIP)
            strip_product(c + i * c_row + j, c_row, a + i * a_row, a_row, 1, b + j, b_row, wide,
                          inner);
    }
}

/* state [kp,vp] = whole state + keys^T values. */
static void state_step(gla_chunk *c, const real *keys, const real *values) {
    const long kp = c->kp, vp = c->vp;
    for (long i = 0; i < c->s->key; i += STRIP) {
        for (long r = i; r < i + STRIP && c->s->decay != GLA_NONE; r++) {
            real *row = c->state + r * vp;
            const real a = c->whole[r];
            SIMD for (long d = 0; d < vp; d++) row[d] *= a;
        }
        strip_product_add(c->state + i * vp, vp, keys + i, 1, kp, values, vp, vp, c->n);
    }
}

/* The same for the state of forward, transposed [vp,kp]. */
static void state_step_t(gla_chunk *c, const real *keys, const real *values) {
    const long kp = c->kp, vp = c->vp;
    const real *whole = c->whole;
    for (long d = 0; d < c->s->value; d += STRIP) {
        for (long r = d; r < d + STRIP && c->s->decay != GLA_NONE; r++) {
            real *row = c->state_t + r * kp;
            SIMD for (long i = 0; i < kp; i++) row[i] *= whole[i];
        }
        strip_product_add(c->state_t + d * kp, kp, values + d, 1, vp, keys, kp, kp, c->n);
    }
}

static void clear(real *x, long n) { memset(x, 0, (size_t)n * sizeof *x); }

static void put_row(real *to, const real *from, long n) {
    SIMD for (long i = 0; i < n; i++) to[i] = from[i];
}

void gla_chunk_forward(real *o, const gla_stream *x, const gla_shape *s, real *work) {
    gla_chunk chunk = chunk_in(work, s, x->u), *c = &chunk;
    const long kp = c->kp, vp = c->vp;
    if (s->time > C) clear(c->state, kp * vp);
    for (long t = 0; t < s->time; t += C) {
        chunk_read(c, x, t);
        gla_pairs(c, false);
        if (t) {
            fade_rows(c->in, c->q, c->fade_q, c);
            product(c->o, vp, c->in, kp, c->state, vp, c->n, vp, s->key);
        } else {
            clear(c->o, round_up(c->n, STRIP) * vp);
        }
        for (long i = 0; i < c->n; i += STRIP) {
            const long keys = i + STRIP < c->n ? i + STRIP : c->n;
            strip_product_add(c->o + i * vp, vp, c->score + i, 1, GLA_ROW, c->v, vp, vp, keys);
        }
        for (long i = 0; i < c->n; i++)
            put_row(o + (t + i) * s->heads * s->value, c->o + i * vp, s->value);
        if (t + C >= s->time) break;
        fade_rows(c->out, c->k, c->fade_k, c);
        state_step(c, c->out, c->v);
    }
}

/* Forwards over time: inner = e^H (dO S^T). */
static void query_pass(gla_chunk *c, const gla_stream *x) {
    const long kp = c->kp, vp = c->vp, time = c->s->time;
    if (time > C) clear(c->state_t, kp * vp);
    clear(c->inner, round_up(time < C ? time : C, STRIP) * kp);
    for (long t = 0; t < time; t += C) {
        real *inner = c->inner + t * kp;
        chunk_read(c, x, t);
        if (t) {
            product(inner, kp, c->dO, vp, c->state_t, kp, c->n, kp, c->s->value);
            fade_rows(inner, inner, c->fade_q, c);
        }
        if (t + C >= time) break;
        fade_rows(c->out, c->k, c->fade_k, c);
        state_step_t(c, c->out, c->v);
    }
}

/* dv and dk of a chunk by way of the state after it; 0 where there is none. */
static void key_products(gla_chunk *c, bool more) {
    const long kp = c->kp, vp = c->vp;
    if (!more) {
        clear(c->o, round_up(c->n, STRIP) * vp);
        clear(c->dk, round_up(c->n, STRIP) * kp);
        return;
    }
    fade_rows(c->out, c->k, c->fade_k, c);
    tile_transpose(c->state_t, kp, c->state, vp, kp, vp);
    product(c->o, vp, c->out, kp, c->state, vp, c->n, vp, c->s->key);
    product(c->dk, kp, c->v, vp, c->state_t, kp, c->n, kp, c->s->value);
    fade_rows(c->dk, c->dk, c->fade_k, c);
}

void gla_chunk_backward(const gla_stream *x, const gla_shape *s, real *work) {
    gla_chunk chunk = chunk_in(work, s, x->u), *c = &chunk;
    gla_later later = {0};
    const long kp = c->kp, vp = c->vp;
    if (x->dq || x->dg) query_pass(c, x);
    if (s->time > C) clear(c->state, kp * vp);
    for (long t = (s->time - 1) / C * C; t >= 0; t -= C) {
        real now[C]; /* v_i.dO_i */
        chunk_read(c, x, t);
        key_products(c, t + C < s->time);
        c->dq = c->inner + t * kp;
        tile_transpose(c->turned, GLA_ROW, c->dO, vp, round_up(c->n, TILE_PAD), s->value);
        gla_products(c->dscore, c->v, c->turned, c->n, s->value, vp);
        for (long i = 0; i < c->n; i++) now[i] = c->dscore[i * GLA_ROW + i];
        gla_pairs(c, true);
        for (long j = 0; j < c->n; j += STRIP)
            strip_product_add(c->o + j * vp, vp, c->score + j * GLA_ROW + j, GLA_ROW, 1,
                              c->dO + j * vp, vp, vp, c->n - j);
        if (x->dv)
            tile_scatter_add(x->dv + t * s->heads * s->value, s->heads * s->value, c->o, vp, c->n,
                             s->value);
        for (long i = c->n - 1; i >= 0; i--)
            gla_finish(x, s, &later, t + i, c->q + i * kp, c->k + i * kp, c->dq + i * kp,
                       c->dk + i * kp, now[i]);
        if (!t) break;
        fade_rows(c->in, c->q, c->fade_q, c);
        state_step(c, c->in, c->dO);
    }
}
