/* attention.c - causal softmax attention by tiles; see kernels.def.
 *
 * Scores are held transposed, keys by queries: a vector then holds 16 queries, so that maximum, sum
 * and exponential of the softmax need no step across lanes, and only the query side is ever
 * transposed, once per tile of queries. Queries are the outer loop, keys run from the oldest tile
 * to the diagonal with a running maximum (Milakov and Gimelshein 2018; Dao et al. 2022):
 *   m' = max(m, max_j s_j), l' = l e^(m - m') + sum_j e^(s_j - m'), likewise o; lse = m + log l.
 * Backward computes p = e^(s - lse) again; with delta = sum_c dO o it is
 *   dv_j += p dO, ds = p (dO.v_j - delta), dq += ds k_j, dk_j += ds q, scale folded into q and dq.
 * Key tiles start at multiples of the tile size, so what comes out at t depends neither on T nor on
 * anything after t. Nothing of size T x T is stored. Products run over strips of STRIP rows and
 * only over the columns or terms that some row of the strip can see: 4 T^2 C / 2 + O(T C) flops
 * forward, 10 T^2 C / 2 backward, each per sequence. */
#include "kernels/core/work.h"
#include "tile.h"

enum { TILE = ATTENTION_TILE };

/* Below any score, and exp(MASKED - START) is 0 where a query has seen no key yet. */
static const real START = (real)-1e30, MASKED = (real)-2e30;

/* One head of one sequence. Row t of q, k, v, o starts at t * row. */
typedef struct head {
    long time, row, dim, padded, window; /* window: T when unlimited */
    real scale, slope;                   /* slope 0: no ALiBi */
} head;

/* A tile of queries against a tile of keys; query i is at shift + i when key j is at j. */
typedef struct meet {
    long shift, window, queries, keys;
    real slope;
} meet;

typedef struct range {
    long lo, hi;
} range;

static range range_within(long lo, long hi, long n) {
    lo = lo < 0 ? 0 : lo;
    hi = hi > n ? n : hi;
    return (range){lo, hi > lo ? hi : lo};
}

/* Queries that see one of the keys j to j + n - 1; keys seen by one of the queries i to i + n - 1.
 */
static range queries_of(const meet *m, long j, long n) {
    return range_within(j - m->shift, j + n - 1 - m->shift + m->window, m->queries);
}
static range keys_of(const meet *m, long i, long n) {
    return range_within(i + m->shift - m->window + 1, i + n + m->shift, m->keys);
}
/* The columns of the strip at key j that hold scores: whole vectors. */
static range columns_of(const meet *m, long j) {
    range r = queries_of(m, round_down(j, STRIP), STRIP);
    return (range){round_down(r.lo, TILE_LANES), round_up(r.hi, TILE_LANES)};
}

/* Scratch: tiles of TILE rows. The suffix _t marks transposed ones. */
typedef struct scratch {
    real *score, *dscore;                     /* [TILE keys, TILE queries] */
    real *q, *dO, *k, *v, *sum, *strip;       /* [TILE, padded] */
    real *q_t, *dO_t;                         /* [padded, TILE] */
    real *top, *total, *shrink, *lse, *delta; /* [TILE queries] */
} scratch;

static scratch scratch_split(real *work, long padded) {
    const long rows = TILE * padded;
    real *tile = work + 2 * TILE * TILE, *each = tile + 8 * rows;
    return (scratch){
        .score = work,
        .dscore = work + TILE * TILE,
        .q = tile,
        .dO = tile + rows,
        .k = tile + 2 * rows,
        .v = tile + 3 * rows,
        .sum = tile + 4 * rows,
        .strip = tile + 5 * rows,
        .q_t = tile + 6 * rows,
        .dO_t = tile + 7 * rows,
        .top = each,
        .total = each + TILE,
        .shrink = each + 2 * TILE,
        .lse = each,
        .delta = each + TILE,
    };
}

/* out [keys, queries] = rows [keys, dim] times turned [dim, queries], where anything is seen. */
static void score_product(real *out, const real *rows, const real *turned, const meet *m,
                          const head *h) {
    for (long j = 0; j < m->keys; j += STRIP) {
        const range at = columns_of(m, j);
        strip_product(out + j * TILE + at.lo, TILE, rows + j * h->padded, h->padded, 1,
                      turned + at.lo, TILE, at.hi - at.lo, h->dim);
    }
}

/* ALiBi on the scores of key j, and MASKED where it is not seen. */
static void score_mask(real *restrict s, const meet *m, long j, range at) {
    const int first = (int)(j - m->shift), end = (int)(first + m->window), lo = (int)at.lo,
              hi = (int)at.hi;
    if (m->slope != 0) SIMD for (int i = lo; i < hi; i++) s[i] -= m->slope * (real)(i - first);
    if (first > lo || end < hi)
        SIMD for (int i = lo; i < hi; i++) s[i] = i >= first && i < end ? s[i] : MASKED;
}

static void softmax_top(real *restrict top, const real *restrict s, range at) {
    SIMD for (long i = at.lo; i < at.hi; i++) top[i] = s[i] > top[i] ? s[i] : top[i];
}

static void softmax_exp(real *restrict s, real *restrict total, const real *restrict top,
                        range at) {
    SIMD for (long i = at.lo; i < at.hi; i++) {
        s[i] = real_exp(s[i] - top[i]);
        total[i] += s[i];
    }
}

/* Scores to weights e^(s - top); top and total move on, shrink is the factor of what came before.
 */
static void softmax_step(scratch *w, const meet *m) {
    for (long i = 0; i < TILE; i++) w->shrink[i] = w->top[i];
    for (long j = 0; j < m->keys; j++) {
        const range at = columns_of(m, j);
        score_mask(w->score + j * TILE, m, j, at);
        softmax_top(w->top, w->score + j * TILE, at);
    }
    real *restrict shrink = w->shrink, *restrict total = w->total;
    const real *restrict top = w->top;
    SIMD for (long i = 0; i < TILE; i++) {
        shrink[i] = real_exp(shrink[i] - top[i]);
        total[i] *= shrink[i];
    }
    for (long j = 0; j < m->keys; j++)
        softmax_exp(w->score + j * TILE, w->total, w->top, columns_of(m, j));
}

static void rows_scale(real *restrict x, const real *restrict factor, long rows, long cols) {
    for (long i = 0; i < rows; i++)
        SIMD for (long c = 0; c < cols; c++) x[i * cols + c] *= factor[i];
}

/* sum [queries, padded] += weights^T rows, over the keys that are seen. */
static void sum_keys(real *sum, const real *weight, const real *rows, const meet *m, long padded) {
    for (long i = 0; i < m->queries; i += STRIP) {
        const range at = keys_of(m, i, STRIP);
        strip_product_add(sum + i * padded, padded, weight + at.lo * TILE + i, 1, TILE,
                          rows + at.lo * padded, padded, padded, at.hi - at.lo);
    }
}

/* x [keys, dim] += weights rows, over the queries that see a key. */
static void sum_queries(real *x, real *strip, const real *weight, const real *rows, const meet *m,
                        const head *h) {
    for (long j = 0; j < m->keys; j += STRIP) {
        const range at = queries_of(m, j, STRIP);
        const long n = m->keys - j < STRIP ? m->keys - j : STRIP;
        strip_product(strip, h->padded, weight + j * TILE + at.lo, TILE, 1,
                      rows + at.lo * h->padded, h->padded, h->padded, at.hi - at.lo);
        tile_scatter_add(x + j * h->row, h->row, strip, h->padded, n, h->dim);
    }
}

static long first_key_tile(const head *h, long q0) {
    const long first = q0 - h->window + 1;
    return first > 0 ? round_down(first, TILE) : 0;
}

static meet meet_at(const head *h, long q0, long k0) {
    const long left = h->time - q0, keys = h->time - k0;
    return (meet){q0 - k0, h->window, left < TILE ? left : TILE, keys < TILE ? keys : TILE,
                  h->slope};
}

/* Output and lse of the queries from q0. */
static void forward_tile(real *o, real *lse, const real *q, const real *k, const real *v,
                         scratch *w, const head *h, long q0) {
    const long n = h->time - q0 < TILE ? h->time - q0 : TILE;
    tile_gather(w->q, h->padded, q + q0 * h->row, h->row, n, h->dim, h->scale);
    tile_transpose(w->q_t, TILE, w->q, h->padded, n, h->dim);
    for (long i = 0; i < TILE * h->padded; i++) w->sum[i] = 0;
    for (long i = 0; i < TILE; i++) w->top[i] = START, w->total[i] = 0;
    for (long k0 = first_key_tile(h, q0); k0 <= q0; k0 += TILE) {
        const meet m = meet_at(h, q0, k0);
        const long at = k0 * h->row;
        const real *keys = tile_of(w->k, h->padded, k + at, h->row, m.keys, h->dim);
        const real *values = tile_of(w->v, h->padded, v + at, h->row, m.keys, h->dim);
        score_product(w->score, keys, w->q_t, &m, h);
        softmax_step(w, &m);
        rows_scale(w->sum, w->shrink, n, h->padded);
        sum_keys(w->sum, w->score, values, &m, h->padded);
    }
    for (long i = 0; i < n; i++) {
        const real share = 1 / w->total[i];
        SIMD for (long c = 0; c < h->dim; c++) o[(q0 + i) * h->row + c] =
            w->sum[i * h->padded + c] * share;
        lse[q0 + i] = w->top[i] + real_log(w->total[i]);
    }
}

/* Scores and their cotangents to p and ds, for one key. */
static void softmax_back(real *restrict s, real *restrict ds, const real *restrict lse,
                         const real *restrict delta, range at) {
    SIMD for (long i = at.lo; i < at.hi; i++) {
        s[i] = real_exp(s[i] - lse[i]);
        ds[i] = s[i] * (ds[i] - delta[i]);
    }
}

/* What the queries from q0 add to dq, dk and dv. */
static void backward_tile(real *dq, real *dk, real *dv, const real *dO, const real *o,
                          const real *lse, const real *q, const real *k, const real *v, scratch *w,
                          const head *h, long q0) {
    const long n = h->time - q0 < TILE ? h->time - q0 : TILE;
    tile_gather(w->q, h->padded, q + q0 * h->row, h->row, n, h->dim, h->scale);
    tile_transpose(w->q_t, TILE, w->q, h->padded, n, h->dim);
    const real *dout = tile_of(w->dO, h->padded, dO + q0 * h->row, h->row, n, h->dim);
    tile_transpose(w->dO_t, TILE, dout, h->padded, n, h->dim);
    for (long i = 0; i < TILE * h->padded; i++) w->sum[i] = 0;
    for (long i = 0; i < TILE; i++) {
        const real *dO_row = dout + i * h->padded, *o_row = o + (q0 + i) * h->row;
        real dot = 0;
        if (i < n) SIMD_SUM(dot) for (long c = 0; c < h->dim; c++) dot += dO_row[c] * o_row[c];
        w->delta[i] = dot;
        w->lse[i] = i < n ? lse[q0 + i] : 0;
    }
    for (long k0 = first_key_tile(h, q0); k0 <= q0; k0 += TILE) {
        const meet m = meet_at(h, q0, k0);
        const long at = k0 * h->row;
        const real *keys = tile_of(w->k, h->padded, k + at, h->row, m.keys, h->dim);
        const real *values = tile_of(w->v, h->padded, v + at, h->row, m.keys, h->dim);
        score_product(w->score, keys, w->q_t, &m, h);
        score_product(w->dscore, values, w->dO_t, &m, h);
        for (long j = 0; j < m.keys; j++) {
            const range seen = columns_of(&m, j);
            score_mask(w->score + j * TILE, &m, j, seen);
            softmax_back(w->score + j * TILE, w->dscore + j * TILE, w->lse, w->delta, seen);
        }
        if (dv) sum_queries(dv + at, w->strip, w->score, dout, &m, h);
        if (dk) sum_queries(dk + at, w->strip, w->dscore, w->q, &m, h);
        if (dq) sum_keys(w->sum, w->dscore, keys, &m, h->padded);
    }
    if (!dq) return;
    for (long i = 0; i < n; i++)
        SIMD for (long c = 0; c < h->dim; c++) dq[(q0 + i) * h->row + c] +=
            w->sum[i * h->padded + c] * h->scale;
}

static head head_make(int time, int heads, int dim, int window, double scale) {
    return (head){.time = time,
                  .row = (long)heads * dim,
                  .dim = dim,
                  .padded = attention_padded(dim),
                  .window = window > 0 && window < time ? window : time,
                  .scale = (real)(scale != 0 ? scale : 1 / sqrt(dim))};
}

static real alibi_slope(int alibi, long h, int heads) {
    return alibi ? (real)exp2(-8.0 * (double)(h + 1) / heads) : 0;
}

void K(attention_fwd)(real *o, real *lse, const real *q, const real *k, const real *v, real *work,
                      int runs, int batch, int time, int heads, int dim, int window, int alibi,
                      double scale) {
    head one = head_make(time, heads, dim, window, scale);
    scratch w = scratch_split(work, one.padded);
    for (long b = 0; b < (long)runs * batch; b++)
        for (long h = 0; h < heads; h++) {
            const long at = b * time * one.row + h * dim;
            one.slope = alibi_slope(alibi, h, heads);
            for (long q0 = 0; q0 < time; q0 += TILE)
                forward_tile(o + at, lse + (b * heads + h) * time, q + at, k + at, v + at, &w, &one,
                             q0);
        }
}

static real *plus(real *x, long at) { return x ? x + at : NULL; }

void K(attention_bwd)(real *dq, real *dk, real *dv, const real *dO, const real *o, const real *lse,
                      const real *q, const real *k, const real *v, real *work, int runs, int batch,
                      int time, int heads, int dim, int window, int alibi, double scale) {
    head one = head_make(time, heads, dim, window, scale);
    scratch w = scratch_split(work, one.padded);
    for (long b = 0; b < (long)runs * batch; b++)
        for (long h = 0; h < heads; h++) {
            const long at = b * time * one.row + h * dim;
            one.slope = alibi_slope(alibi, h, heads);
            for (long q0 = 0; q0 < time; q0 += TILE)
                backward_tile(plus(dq, at), plus(dk, at), plus(dv, at), dO + at, o + at,
                              lse + (b * heads + h) * time, q + at, k + at, v + at, &w, &one, q0);
        }
}
