/* delta.c - the gated delta rule in chunks of tokens (Yang et al. 2024, 2025); see kernels.def.
 *
 * With S the state before a chunk, a_t = e^g_t, D_tj = a_{j+1} ... a_t for j <= t, and f_t =
 * a_1 ... a_t, the errors err_t = v_t - P_t^T k_t of a chunk solve a unit lower triangular system,
 * and the rest are products of matrices (u_t = beta_t err_t):
 *
 *   err_t = v_t - f_t S^T k_t - sum_{j<t} N_tj u_j,   N_tj = D_tj k_t.k_j
 *   o_t = f_t S^T q_t + sum_{j<=t} M_tj u_j,          M_tj = D_tj q_t.k_j
 *   S' = f_n S + sum_j D_nj k_j u_j^T
 *
 * Decays are only ever multiplied, never divided: nothing can overflow, and what underflows is 0.
 *
 * Backward keeps the states between chunks and all errors, and goes through the chunks from the
 * last to the first; du_t, the gradient of u_t, solves the transposed system (w_t = beta_t du_t):
 *
 *   du_j = D_nj dS'^T k_j + sum_{t>=j} M_tj dO_t - sum_{t>j} N_tj w_t,   dv = w, dbeta = du . err
 *   dN = -w u^T, dM = dO u^T, both times D below
 *   dq_t = f_t S dO_t + sum_{j<=t} dM_tj k_j
 *   dk_t = D_nt dS' u_t - f_t S w_t + sum_{s>=t} dM_st q_s + sum_j (dN_tj + dN_jt) k_j
 *   dS = f_n dS' + sum_t f_t (q_t dO_t^T - k_t w_t^T)
 *
 * dg needs no derivative of D or f: a later g_s scales all that q_t reads and unscales what v_t
 * writes, so that dg_s = <S', dS'> + sum_{t>=s} (q_t . dq_t - v_t . w_t), summed in double.
 *
 * Flops per token, with C tokens in a chunk: forward 6 K V + C (4 K + 3 V), backward 16 K V +
 * C (14 K + 8 V). Bits depend on C. */
#include "dot.h"
#include "gemm.h"
#include "kernels/core/work.h"
#include "tile.h"

#include <string.h>

enum { C = DELTA_CHUNK };
_Static_assert(C % TILE_PAD == 0, "rows of a chunk are gathered as tiles");

typedef struct shape {
    long time, heads, key, value;
    long keys, values; /* strides of rows in work: key and value in whole vectors */
} shape;

/* One head of one sequence. Row t of q, k is at t * heads * key, of v at t * heads * value, of beta
 * and g at t * heads. */
typedef struct stream {
    const real *q, *k, *v, *beta, *g, *dO;
    real *dq, *dk, *dv, *dbeta, *dg;
} stream;

/* The n <= C tokens from `first`. In work, a chunk always has C tokens: those past the end of the
 * sequence are 0 and without decay. */
typedef struct chunk {
    long first, n;
} chunk;

/* Work of one head. Columns of rows past key or value hold anything. */
typedef struct scratch {
    real *state;  /* [chunks,K,V] forward: one; backward: that after each chunk, and dS */
    real *err;    /* [chunks C,V] */
    real *kq;     /* [2C,K] keys, then queries */
    real *dkq;    /* [2C,K] */
    real *pair;   /* [2C,V] what kq reads of the state; backward: w, then dO */
    real *u, *du; /* [C,V] */
    real *score;  /* [2C,C] N, then M */
    real *dscore; /* [2C,C] */
    real *fade;   /* [C,C] D, 0 above the diagonal; its last row fades to the end of the chunk */
    real *since;  /* [C] f */
    real *beta;   /* [C] */
} scratch;

static scratch scratch_in(real *work, const shape *s) {
    const long chunks = block_count((int)s->time, C);
    scratch w = {.state = work};
    w.err = w.state + chunks * s->key * s->value;
    w.kq = w.err + chunks * C * s->values;
    w.dkq = w.kq + 2 * C * s->keys;
    w.pair = w.dkq + 2 * C * s->keys;
    w.u = w.pair + 2 * C * s->values;
    w.du = w.u + C * s->values;
    w.score = w.du + C * s->values;
    w.dscore = w.score + 2 * C * C;
    w.fade = w.dscore + 2 * C * C;
    w.since = w.fade + C * C;
    w.beta = w.since + C;
    return w;
}

static chunk chunk_at(const shape *s, long first) {
    return (chunk){first, s->time - first < C ? s->time - first : C};
}

/* a b, below 1e-30 as 0: what is nearly 0 would become subnormal, and slow. */
static inline real fade_more(real a, real b) { return a * b < (real)1e-30 ? 0 : a * b; }

/* D, f and beta of a chunk. */
static void read_fades(const scratch *w, const stream *x, const shape *s, chunk at) {
    real a[C];
    for (int t = 0; t < C; t++) {
        const long one = (at.first + t) * s->heads;
        w->beta[t] = t < at.n ? x->beta[one] : 0;
        a[t] = x->g && t < at.n ? x->g[one] : 0;
    }
    SIMD for (int t = 0; t < C; t++) a[t] = real_exp(a[t]);
    real row[C] = {0}, f = 1;
    for (int t = 0; t < C; t++) {
        SIMD for (int j = 0; j < C; j++) row[j] = fade_more(row[j], a[t]);
        row[t] = 1;
        w->since[t] = f = fade_more(f, a[t]);
        memcpy(w->fade + t * C, row, sizeof row);
    }
}

/* Scores [2C,C] times fades: of keys below the diagonal, of queries up to it, 0 elsewhere. */
static void score_fade(real *score, const real *fade, real sign) {
    for (int t = 0; t < C; t++) {
        real *of_k = score + t * C, *of_q = of_k + C * C;
        const real *row = fade + t * C;
        SIMD for (int j = 0; j < C; j++) {
            of_k[j] = j < t ? sign * of_k[j] * row[j] : 0;
            of_q[j] = j <= t ? of_q[j] * row[j] : 0;
        }
    }
}

/* Row t of x [C,cols] times sign by[t]. */
static void scale_rows(real *restrict x, long step, const real *by, real sign, long cols) {
    for (long t = 0; t < C; t++) {
        const real factor = sign * by[t];
        SIMD for (long c = 0; c < cols; c++) x[t * step + c] *= factor;
    }
}

static inline vec *vec_at(real *x, long t, long step, long c) { return (vec *)(x + t * step + c); }

/* x_t -= sum over j < t of N_tj y_j with y = beta x, from the first row to the last. */
static void solve(real *x, real *y, const real *N, const real *beta, long step) {
    for (long c = 0; c < step; c += TILE_LANES)
        for (long t = 0; t < C; t++) {
            vec sum = *vec_at(x, t, step, c);
            for (long j = 0; j < t; j++) sum -= N[t * C + j] * *vec_at(y, j, step, c);
            *vec_at(x, t, step, c) = sum;
            *vec_at(y, t, step, c) = beta[t] * sum;
        }
}

/* The same with N^T, from the last row to the first. */
static void solve_back(real *x, real *y, const real *N, const real *beta, long step) {
    for (long c = 0; c < step; c += TILE_LANES)
        for (long t = C - 1; t >= 0; t--) {
            vec sum = *vec_at(x, t, step, c);
            for (long j = C - 1; j > t; j--) sum -= N[j * C + t] * *vec_at(y, j, step, c);
            *vec_at(x, t, step, c) = sum;
            *vec_at(y, t, step, c) = beta[t] * sum;
        }
}

/* to = keep from + a^T b: the state or its gradient, with `rows` rows of a [.,K] and b [.,V]; to
 * may be from, and from NULL: 0. */
static void state_next(real *to, const real *from, real keep, const real *a, const real *b,
                       int rows, const shape *s) {
    if (from) SIMD for (long i = 0; i < s->key * s->value; i++) to[i] = keep * from[i];
    gemm((int)s->key, (int)s->value, rows, a, 1, s->keys, b, s->values, 1, to, s->value,
         from != NULL);
}

/* Keys, queries, fades and scores of a chunk. */
static void chunk_scores(const scratch *w, const stream *x, const shape *s, chunk at) {
    const long row = s->heads * s->key, from = at.first * row;
    tile_gather(w->kq, s->keys, x->k + from, row, at.n, s->key, 1);
    tile_gather(w->kq + C * s->keys, s->keys, x->q + from, row, at.n, s->key, 1);
    gemm(2 * C, C, (int)s->key, w->kq, s->keys, 1, w->kq, 1, s->keys, w->score, C, 0);
    read_fades(w, x, s, at);
    score_fade(w->score, w->fade, 1);
}

/* err [C,V] and u of a chunk whose scores are known, and in `pair` what `rows` rows of kq read of
 * the state; state NULL: 0. */
static void chunk_errors(real *err, const scratch *w, const real *state, const stream *x,
                         const shape *s, chunk at, int rows) {
    const long out = s->heads * s->value;
    tile_gather(err, s->values, x->v + at.first * out, out, at.n, s->value, 1);
    if (state) {
        gemm(rows, (int)s->value, (int)s->key, w->kq, s->keys, 1, state, s->value, 1, w->pair,
             s->values, 0);
        for (long t = 0; t < C; t++) {
            const real f = w->since[t], *known = w->pair + t * s->values;
            real *e = err + t * s->values;
            SIMD for (long c = 0; c < s->value; c++) e[c] -= f * known[c];
        }
    }
    solve(err, w->u, w->score, w->beta, s->values);
}

/* Fades u to the end of its chunk and makes the state there; before NULL: 0. */
static void chunk_close(real *after, const real *before, const scratch *w, const shape *s) {
    scale_rows(w->u, s->values, w->fade + (C - 1) * C, 1, s->value);
    state_next(after, before, w->since[C - 1], w->kq, w->u, C, s);
}

static void head_forward(real *o, const stream *x, const scratch *w, const shape *s) {
    const long out = s->heads * s->value;
    for (long first = 0; first < s->time; first += C) {
        const chunk at = chunk_at(s, first);
        const real *before = first ? w->state : NULL, *M = w->score + C * C;
        real *to = o + first * out;
        chunk_scores(w, x, s, at);
        chunk_errors(w->err, w, before, x, s, at, 2 * C);
        for (long t = 0; before && t < at.n; t++) {
            const real f = w->since[t], *read = w->pair + (C + t) * s->values;
            SIMD for (long c = 0; c < s->value; c++) to[t * out + c] = f * read[c];
        }
        gemm((int)at.n, (int)s->value, C, M, C, 1, w->u, s->values, 1, to, out, before != NULL);
        if (first + C < s->time) chunk_close(w->state, before, w, s);
    }
}

/* All errors, and the states after all chunks but the last. */
static void head_again(const stream *x, const scratch *w, const shape *s) {
    const real *before = NULL;
    real *after = w->state;
    for (long first = 0; first < s->time; first += C) {
        const chunk at = chunk_at(s, first);
        chunk_scores(w, x, s, at);
        chunk_errors(w->err + first * s->values, w, before, x, s, at, C);
        if (first + C >= s->time) return;
        chunk_close(after, before, w, s);
        before = after;
        after += s->key * s->value;
    }
}

/* du, w (both in work), dv and dbeta of a chunk; dS NULL: 0. */
static void chunk_solve_back(const scratch *w, const real *err, const real *dS, const stream *x,
                             const shape *s, chunk at) {
    const long m = s->values, out = s->heads * s->value;
    const real *M = w->score + C * C, *dO = w->pair + C * m;
    if (dS) {
        gemm(C, (int)s->value, (int)s->key, w->kq, s->keys, 1, dS, s->value, 1, w->du, m, 0);
        scale_rows(w->du, m, w->fade + (C - 1) * C, 1, s->value);
    }
    gemm(C, (int)s->value, C, M, 1, C, dO, m, 1, w->du, m, dS != NULL);
    solve_back(w->du, w->pair, w->score, w->beta, m);
    if (x->dv) tile_scatter_add(x->dv + at.first * out, out, w->pair, m, at.n, s->value);
    if (!x->dbeta) return;
    for (long t = 0; t < at.n; t++) {
        const real sum = real_dot(w->du + t * m, err + t * m, s->value);
        x->dbeta[(at.first + t) * s->heads] += sum;
    }
}

/* dN and dM into dscore: row and column t of dN both belong to k_t, so its upper half is a copy. */
static void chunk_scores_back(const scratch *w, const shape *s) {
    real *dN = w->dscore;
    gemm(2 * C, C, (int)s->value, w->pair, s->values, 1, w->u, 1, s->values, dN, C, 0);
    score_fade(dN, w->fade, -1);
    for (int t = 0; t < C; t++)
        for (int j = 0; j < t; j++) dN[j * C + t] = dN[t * C + j];
}

/* <a, b> in double. */
static double wide_dot(const real *a, const real *b, long n) {
    double sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* dg of a chunk from dq and w; through: <S', dS'>. */
static void chunk_decay_back(const scratch *w, const stream *x, const shape *s, double through,
                             chunk at) {
    for (long t = at.n - 1; t >= 0; t--) {
        const long row = (at.first + t) * s->heads;
        through += wide_dot(x->q + row * s->key, w->dkq + (C + t) * s->keys, s->key) -
                   wide_dot(x->v + row * s->value, w->pair + t * s->values, s->value);
        x->dg[row] += (real)through;
    }
}

/* Back over one chunk: dS of the state after it becomes that of the state before it. err, before
 * and after: of this chunk; before NULL: it is the first, after NULL: it is the last. */
static void chunk_backward(real *dS, const real *err, const real *before, const real *after,
                           const scratch *w, const stream *x, const shape *s, chunk at) {
    const long row = s->heads * s->key, out = s->heads * s->value, from = at.first * row;
    const int key = (int)s->key, value = (int)s->value;
    real *dk = w->dkq, *dq = dk + C * s->keys, *q = w->kq + C * s->keys;
    const real *dM = w->dscore + C * C;
    chunk_scores(w, x, s, at);
    tile_gather(w->pair + C * s->values, s->values, x->dO + at.first * out, out, at.n, value, 1);
    memcpy(w->u, err, (size_t)(C * s->values) * sizeof *err);
    scale_rows(w->u, s->values, w->beta, 1, value);
    chunk_solve_back(w, err, after ? dS : NULL, x, s, at);
    chunk_scores_back(w, s);

    if (before) {
        gemm(2 * C, key, value, w->pair, s->values, 1, before, 1, value, dk, s->keys, 0);
        scale_rows(dk, s->keys, w->since, -1, key);
        scale_rows(dq, s->keys, w->since, 1, key);
    }
    gemm(C, key, 2 * C, w->dscore, 1, C, w->kq, s->keys, 1, dk, s->keys, before != NULL);
    gemm(C, key, C, dM, C, 1, w->kq, s->keys, 1, dq, s->keys, before != NULL);
    if (after) {
        scale_rows(w->u, s->values, w->fade + (C - 1) * C, 1, value);
        gemm(C, key, value, w->u, s->values, 1, dS, 1, value, dk, s->keys, 1);
    }
    if (x->dk) tile_scatter_add(x->dk + from, row, dk, s->keys, at.n, key);
    if (x->dq) tile_scatter_add(x->dq + from, row, dq, s->keys, at.n, key);
    if (x->dg) chunk_decay_back(w, x, s, after ? wide_dot(dS, after, s->key * s->value) : 0, at);

    if (!before) return;
    scale_rows(w->kq, s->keys, w->since, -1, key);
    scale_rows(q, s->keys, w->since, 1, key);
    state_next(dS, after ? dS : NULL, w->since[C - 1], w->kq, w->pair, 2 * C, s);
}

static void head_backward(const stream *x, const scratch *w, const shape *s) {
    const long size = s->key * s->value, last = block_count((int)s->time, C) - 1;
    real *dS = w->state + last * size;
    head_again(x, w, s);
    for (long c = last; c >= 0; c--)
        chunk_backward(dS, w->err + c * C * s->values, c ? w->state + (c - 1) * size : NULL,
                       c < last ? w->state + c * size : NULL, w, x, s, chunk_at(s, c * C));
}

static shape shape_make(int time, int heads, int key, int value) {
    return (shape){time, heads, key, value, round_up(key, TILE_PAD), round_up(value, TILE_PAD)};
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
    const shape s = shape_make(time, heads, key, value);
    const scratch w = scratch_in(work, &s);
    const stream all = {.q = q, .k = k, .v = v, .beta = beta, .g = g};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i, h);
            head_forward(o + (i * time * heads + h) * value, &x, &w, &s);
        }
}

void K(delta_bwd)(real *dq, real *dk, real *dv, real *dbeta, real *dg, const real *dO,
                  const real *q, const real *k, const real *v, const real *beta, const real *g,
                  real *work, int runs, int batch, int time, int heads, int key, int value) {
    const shape s = shape_make(time, heads, key, value);
    const scratch w = scratch_in(work, &s);
    const stream all = {q, k, v, beta, g, dO, dq, dk, dv, dbeta, dg};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i, h);
            head_backward(&x, &w, &s);
        }
}
