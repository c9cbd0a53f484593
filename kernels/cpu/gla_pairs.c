/* gla_pairs.c - linear attention within a chunk: what a token gives to later ones and itself.
 *
 * Weight of query i for key j <= i: sum over channels of q_i k_j e^(H_i - G_j), with G and H of
 * gla_chunk.h. Exponents are differences and never above 0: quotients of decays, each of which may
 * underflow, are not formed.
 *
 * Where all channels share a decay, the exponential is a factor of q_i.k_j, and sums of log decays
 * are kept in double, as a difference of large ones may be small.
 * Where each has its own, the chunk is cut into sub-chunks of SUB tokens. Between two of them the
 * exponential is the product of e^(H_i - G_b) and e^(G_b - G_j), where b is the start of the
 * later; the first factor goes into q, the second into k, and what remains is a product of
 * matrices. Within a sub-chunk there is nothing better than to multiply decays up, pair by pair:
 * (SUB - 1) / 2 pairs per token, so that SUB is small. */
#include "gla_chunk.h"

#include <string.h>

enum { SUB = 8 };
_Static_assert(SUB % STRIP == 0 && GLA_CHUNK % TILE_PAD == 0, "strips must not cross sub-chunks");

/* ---- decays ----------------------------------------------------------------------------- */

/* e^x, or 0 below 2^-64: no sum that has terms near 1 sees it, and products with it would soon be
 * subnormal numbers, with which processors are slow. */
static inline real fade_of(double x) { return x < -44.4 ? 0 : real_exp((real)x); }

static void fade_shared(gla_chunk *c, const real *g, long head) {
    const double step = c->s->decay == GLA_RETNET ? gla_retnet_log(head) : 0;
    double sum = 0;
    for (long t = 0; t < c->n; t++) {
        sum += c->s->decay == GLA_HEAD ? (double)g[t * c->s->heads] : step;
        c->sum[t] = sum;
    }
    SIMD for (long t = 0; t < c->n; t++) {
        c->fade_q[t] = fade_of(c->sum[t]);
        c->fade_k[t] = fade_of(sum - c->sum[t]);
    }
    const real whole = fade_of(sum);
    SIMD for (long i = 0; i < c->kp; i++) c->whole[i] = whole;
}

static void multiply(real *y, const real *a, const real *b, long n) {
    SIMD for (long i = 0; i < n; i++) y[i] = a[i] * b[i];
}

/* Products of decays, not exponentials of sums: exact to a few units where float sums are not, and
 * cheaper. */
static void fade_channels(gla_chunk *c, const real *g) {
    const long kp = c->kp, row = c->s->heads * c->s->key, bonus = c->u != NULL;
    const real *ones = c->a - kp;
    for (long i = 0; i < kp; i++) c->a[i - kp] = c->whole[i] = 1;
    for (long t = 0; t < c->n; t++) {
        real *a = c->a + t * kp;
        SIMD for (long i = 0; i < c->s->key; i++) a[i] = real_exp(g[t * row + i]);
        for (long i = c->s->key; i < kp; i++) a[i] = 1;
    }
    for (long i = c->n * kp; i < round_up(c->n, SUB) * kp; i++) c->a[i] = 1;
    for (long t = c->n - 1; t >= 0; t--) {
        memcpy(c->fade_k + t * kp, c->whole, (size_t)kp * sizeof(real));
        multiply(c->whole, c->whole, c->a + t * kp, kp);
    }
    for (long t = 0; t < c->n; t++) {
        const bool first = t % SUB == 0;
        const real *step = c->a + (t - bonus) * kp;
        real *far = c->fade_q + t * kp, *near = c->near_fade + t * kp;
        multiply(far, t ? far - kp : ones, step, kp);
        multiply(near, first ? ones : near - kp, first && bonus ? ones : step, kp);
        multiply(c->near + t * kp, c->q + t * kp, near, kp);
    }
}

void gla_fade(gla_chunk *c, const real *g, long head) {
    if (c->s->decay == GLA_CHANNEL)
        fade_channels(c, g);
    else
        fade_shared(c, g, head);
}

/* ---- one decay for all channels --------------------------------------------------------- */

void gla_products(real *out, const real *rows, const real *turned, long n, long dim, long padded) {
    for (long j = 0; j < n; j += STRIP) {
        const long lo = round_down(j, TILE_LANES), hi = round_up(n, TILE_PAD);
        strip_product(out + j * GLA_ROW + lo, GLA_ROW, rows + j * padded, padded, 1, turned + lo,
                      GLA_ROW, hi - lo, dim);
    }
}

/* Row j of score and, if not NULL, of dscore times e^(G_i - G_j); 0 before the diagonal. */
static void weigh(real *score, real *dscore, const double *sum, long j, long n, bool fades) {
    const long lo = round_down(j, TILE_LANES);
    real w[GLA_CHUNK];
    for (long i = lo; i < j; i++) w[i] = score[i] = 0;
    if (fades) {
        SIMD for (long i = j; i < n; i++) w[i] = real_exp((real)(sum[i] - sum[j]));
        SIMD for (long i = j; i < n; i++) score[i] *= w[i];
    }
    if (!dscore) return;
    for (long i = lo; i < j; i++) dscore[i] = 0;
    if (fades) SIMD for (long i = j; i < n; i++) dscore[i] *= w[i];
}

static void pairs_shared(gla_chunk *c, bool back) {
    const long kp = c->kp, n = c->n;
    tile_transpose(c->turned, GLA_ROW, c->q, kp, round_up(n, TILE_PAD), c->s->key);
    gla_products(c->score, c->k, c->turned, n, c->s->key, kp);
    for (long j = 0; j < n; j++)
        weigh(c->score + j * GLA_ROW, back ? c->dscore + j * GLA_ROW : NULL, c->sum, j, n,
              c->s->decay != GLA_NONE);
    if (!back) return;
    for (long i = 0; i < n; i += STRIP)
        strip_product_add(c->dq + i * kp, kp, c->dscore + i, 1, GLA_ROW, c->k, kp, kp,
                          i + STRIP < n ? i + STRIP : n);
    for (long j = 0; j < n; j += STRIP)
        strip_product_add(c->dk + j * kp, kp, c->dscore + j * GLA_ROW + j, GLA_ROW, 1,
                          c->q + j * kp, kp, kp, n - j);
}

/* ---- a decay per channel ---------------------------------------------------------------- */

/* The lanes' sum, halves onto halves. */
static inline real lanes_sum(const vec *of) {
    vec v = *of;
#pragma GCC unroll 4
    for (int half = TILE_LANES / 2; half; half /= 2) {
        lanes swap;
#pragma GCC unroll 16
        for (int i = 0; i < TILE_LANES; i++) swap[i] = i ^ half;
        vec other;
        SHUFFLE_BY(other, v, v, swap);
        v += other;
    }
    return v[0];
}

#define AT(x, i)   (*(vec *)((x) + (i)))
#define FROM(x, i) (*(const vec *)((x) + (i)))

/* Weight of the current token's value under a bonus. */
static real bonus_weight(const gla_chunk *c, long t) {
    const real *q = c->q + t * c->kp, *k = c->k + t * c->kp;
    real sum = 0;
    if (t >= c->n) return 0;
    SIMD_SUM(sum) for (long i = 0; i < c->s->key; i++) sum += q[i] * c->u[i] * k[i];
    return sum;
}

/* Weights of key b + r for the queries of its sub-chunk, which starts at b, and with `back` what
 * their gradients make of q and k. f is e^(H_i - G_j), one query after another. All but c and b is
 * known to the compiler, so that sums stay in registers; tokens past the last are zeros. */
ALWAYS_INLINE void near_key(gla_chunk *c, long b, int r, int bonus, bool back) {
    const long kp = c->kp, j = b + r;
    const real *q = c->q + b * kp, *k = c->k + j * kp, *a = c->a + b * kp;
    real *dq = c->dq + b * kp, *dk = c->dk + j * kp;
    real *score = c->score + j * GLA_ROW + b, *dscore = c->dscore + j * GLA_ROW + b;
    vec sum[SUB] = {0};
    for (long d = 0; d < kp; d += TILE_LANES) {
        const vec key = FROM(k, d);
        vec f = (vec){0} + 1, key_gradient = {0};
#pragma GCC unroll 8
        for (int i = r + bonus; i < SUB; i++) {
            const vec query = FROM(q, i * kp + d);
            vec faded = key, back_faded = query;
            if (i > r + bonus) { /* before, f is 1 */
                f *= FROM(a, (i - bonus) * kp + d);
                faded *= f;
                back_faded *= f;
            }
            sum[i] += query * faded;
            if (!back) continue;
            AT(dq, i * kp + d) += dscore[i] * faded;
            key_gradient += dscore[i] * back_faded;
        }
        if (back) AT(dk, d) += key_gradient;
    }
#pragma GCC unroll 8
    for (int i = 0; i < r; i++) score[i] = 0;
    if (bonus) score[r] = bonus_weight(c, j);
#pragma GCC unroll 8
    for (int i = r + bonus; i < SUB; i++) score[i] = lanes_sum(&sum[i]);
    for (int i = 0; back && i < r; i++) dscore[i] = 0;
}

#define NEAR(name, bonus, back)                                                                    \
    static void name(gla_chunk *c, long b) {                                                       \
        _Pragma("GCC unroll 8") for (int r = 0; r < SUB; r++) near_key(c, b, r, bonus, back);      \
    }
NEAR(near_plain, 0, false)
NEAR(near_bonus, 1, false)
NEAR(near_plain_back, 0, true)
NEAR(near_bonus_back, 1, true)

/* Pairs within the sub-chunk of tokens b to b + SUB - 1. */
static void pairs_near(gla_chunk *c, long b, bool back) {
    if (c->u)
        (back ? near_bonus_back : near_bonus)(c, b);
    else
        (back ? near_plain_back : near_plain)(c, b);
}

/* edge_fade and edge for the border before token b, once they are for that before token b - SUB. */
static void move_edge(gla_chunk *c, long b) {
    const long kp = c->kp;
    real *after = c->strip; /* product of the decays after token j */
    memcpy(after, c->a - kp, (size_t)kp * sizeof(real));
    for (long j = b - 1; j >= b - SUB; j--) {
        memcpy(c->edge_fade + j * kp, after, (size_t)kp * sizeof(real));
        multiply(after, after, c->a + j * kp, kp);
    }
    for (long j = 0; j < b - SUB; j++)
        multiply(c->edge_fade + j * kp, c->edge_fade + j * kp, after, kp);
    multiply(c->edge, c->edge_fade, c->k, b * kp);
}

/* x [rows, kp] += fade times weights rows, for one strip. */
static void add_faded(real *x, const real *fade, real *strip, long n) {
    SIMD for (long i = 0; i < n; i++) x[i] += fade[i] * strip[i];
}

/* Pairs of the queries b to end - 1 and the keys before b. */
static void pairs_far(gla_chunk *c, long b, long end, bool back) {
    const long kp = c->kp;
    move_edge(c, b);
    for (long j = 0; j < b; j += STRIP)
        strip_product(c->score + j * GLA_ROW + b, GLA_ROW, c->edge + j * kp, kp, 1, c->turned + b,
                      GLA_ROW, round_up(SUB, TILE_LANES), c->s->key);
    if (!back) return;
    for (long i = b; i < end; i += STRIP) {
        strip_product(c->strip, kp, c->dscore + i, 1, GLA_ROW, c->edge, kp, kp, b);
        add_faded(c->dq + i * kp, c->near_fade + i * kp, c->strip, STRIP * kp);
    }
    for (long j = 0; j < b; j += STRIP) {
        strip_product(c->strip, kp, c->dscore + j * GLA_ROW + b, GLA_ROW, 1, c->near + b * kp, kp,
                      kp, end - b);
        add_faded(c->dk + j * kp, c->edge_fade + j * kp, c->strip, STRIP * kp);
    }
}

static void pairs_channels(gla_chunk *c, bool back) {
    tile_transpose(c->turned, GLA_ROW, c->near, c->kp, c->n, c->s->key);
    for (long b = 0; b < c->n; b += SUB) {
        const long end = b + SUB < c->n ? b + SUB : c->n;
        if (b) pairs_far(c, b, end, back); /* in order: a product's rows end beyond the sub-chunk */
        pairs_near(c, b, back);
    }
}

void gla_pairs(gla_chunk *c, bool back) {
    if (c->s->decay == GLA_CHANNEL)
        pairs_channels(c, back);
    else
        pairs_shared(c, back);
}
