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
 * Cost per token, with C tokens in a chunk: 6 K V + 4 C (K + V) flops forward, 16 K V + 10 C (K +
 * V) backward. Bits depend on C. */
#include "dot.h"
#include "gemm.h"
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

/* Work of one head. n is the number of tokens of the chunk at hand. */
typedef struct scratch {
    real *state;  /* [chunks,K,V] forward: the first; backward: that after each chunk, then dS */
    real *err;    /* [T,V] */
    real *kq;     /* [2n,K] keys, then queries */
    real *dkq;    /* [2n,K] */
    real *pair;   /* [2n,V] what kq reads of the state; backward: w, then dO */
    real *u;      /* [n,V] */
    real *du;     /* [n,V] */
    real *score;  /* [2n,n] N, then M */
    real *dscore; /* [2n,n] */
    real *fade;   /* [n,n] D, 0 above the diagonal */
    real *since;  /* [n] f */
} scratch;

static scratch scratch_in(real *work, const shape *s) {
    const long n = delta_chunk(s->time), chunks = block_count((int)s->time, DELTA_CHUNK);
    scratch w = {.state = work};
    w.err = w.state + chunks * s->key * s->value;
    w.kq = w.err + s->time * s->value;
    w.dkq = w.kq + 2 * n * s->key;
    w.pair = w.dkq + 2 * n * s->key;
    w.u = w.pair + 2 * n * s->value;
    w.du = w.u + n * s->value;
    w.score = w.du + n * s->value;
    w.dscore = w.score + 2 * n * n;
    w.fade = w.dscore + 2 * n * n;
    w.since = w.fade + n * n;
    return w;
}

/* a b, below 1e-30 as 0: numbers that are nearly 0 would become subnormal, and slow. */
static inline real fade_more(real a, real b) { return a * b < (real)1e-30 ? 0 : a * b; }

static void read_fades(const scratch *w, const real *g, long step, long n) {
    for (long t = 0; t < n; t++) {
        const real a = g ? real_exp(g[t * step]) : 1;
        real *row = w->fade + t * n;
        SIMD for (long j = 0; j < t; j++) row[j] = fade_more(row[j - n], a);
        row[t] = 1;
        for (long j = t + 1; j < n; j++) row[j] = 0;
        w->since[t] = fade_more(t ? w->since[t - 1] : 1, a);
    }
}

static void gather(real *to, const real *from, long step, long n, long cols) {
    for (long t = 0; t < n; t++) memcpy(to + t * cols, from + t * step, (size_t)cols * sizeof *to);
}

static void scatter_add(real *to, long step, const real *from, long n, long cols) {
    if (!to) return;
    for (long t = 0; t < n; t++)
        SIMD for (long c = 0; c < cols; c++) to[t * step + c] += from[t * cols + c];
}

static void scale_rows(real *x, const real *by, real sign, long n, long cols) {
    for (long t = 0; t < n; t++)
        SIMD for (long c = 0; c < cols; c++) x[t * cols + c] *= sign * by[t];
}

/* Scores [2n,n] times fades: of keys below the diagonal, of queries up to it, 0 elsewhere. */
static void score_fade(real *score, const real *fade, real sign, long n) {
    for (long t = 0; t < n; t++) {
        real *of_k = score + t * n, *of_q = of_k + n * n;
        const real *row = fade + t * n;
        SIMD for (long j = 0; j < n; j++) {
            of_k[j] = j < t ? sign * of_k[j] * row[j] : 0;
            of_q[j] = j <= t ? of_q[j] * row[j] : 0;
        }
    }
}

/* y [cols] -= sum over i < n of weight[i step] x_i; x [n,cols]. */
static void subtract_rows(real *restrict y, const real *weight, long step, const real *x, long n,
                          long cols) {
    long i = 0;
    for (; i + 4 <= n; i += 4) {
        const real *x0 = x + i * cols, *x1 = x0 + cols, *x2 = x1 + cols, *x3 = x2 + cols;
        const real *at = weight + i * step;
        const real w0 = at[0], w1 = at[step], w2 = at[2 * step], w3 = at[3 * step];
        SIMD for (long c = 0; c < cols; c++) y[c] -=
            (w0 * x0[c] + w1 * x1[c]) + (w2 * x2[c] + w3 * x3[c]);
    }
    for (; i < n; i++) {
        const real w0 = weight[i * step];
        SIMD for (long c = 0; c < cols; c++) y[c] -= w0 * x[i * cols + c];
    }
}

/* to = keep from + a^T b, the state or its gradient after rows a [n,K], b [n,V]; to may be from,
 * and from NULL: 0. */
static void state_next(real *to, const real *from, real keep, const real *a, const real *b, long n,
                       const shape *s) {
    if (from) SIMD for (long i = 0; i < s->key * s->value; i++) to[i] = keep * from[i];
    gemm((int)s->key, (int)s->value, (int)n, a, 1, s->key, b, s->value, 1, to, s->value,
         from != NULL);
}

/* Keys, queries, fades and scores of the n tokens from `first`. */
static void chunk_scores(const scratch *w, const stream *x, const shape *s, long first, long n) {
    const long row = s->heads * s->key, key = s->key;
    gather(w->kq, x->k + first * row, row, n, key);
    gather(w->kq + n * key, x->q + first * row, row, n, key);
    gemm((int)(2 * n), (int)n, (int)key, w->kq, key, 1, w->kq, 1, key, w->score, n, 0);
    read_fades(w, OFFSET(x->g, first * s->heads), s->heads, n);
    score_fade(w->score, w->fade, 1, n);
}

/* err [n,V] and u of a chunk whose scores are known; pair: what `rows` rows of kq read of the
 * state; state NULL: 0. */
static void chunk_errors(real *err, const scratch *w, const real *state, const stream *x,
                         const shape *s, long first, long n, long rows) {
    const long m = s->value;
    if (state)
        gemm((int)rows, (int)m, (int)s->key, w->kq, s->key, 1, state, m, 1, w->pair, m, 0);
    else
        memset(w->pair, 0, (size_t)(rows * m) * sizeof *w->pair);
    for (long t = 0; t < n; t++) {
        const real *v = x->v + (first + t) * s->heads * m, *known = w->pair + t * m;
        const real f = w->since[t], beta = x->beta[(first + t) * s->heads];
        real *e = err + t * m, *u = w->u + t * m;
        SIMD for (long c = 0; c < m; c++) e[c] = v[c] - f * known[c];
        subtract_rows(e, w->score + t * n, 1, w->u, t, m);
        SIMD for (long c = 0; c < m; c++) u[c] = beta * e[c];
    }
}

static long chunk_size(const shape *s, long first) {
    return s->time - first < DELTA_CHUNK ? s->time - first : DELTA_CHUNK;
}

static void head_forward(real *o, const stream *x, const scratch *w, const shape *s) {
    const long out = s->heads * s->value, m = s->value;
    for (long first = 0; first < s->time; first += DELTA_CHUNK) {
        const long n = chunk_size(s, first);
        const real *before = first ? w->state : NULL;
        real *to = o + first * out;
        chunk_scores(w, x, s, first, n);
        chunk_errors(w->err, w, before, x, s, first, n, 2 * n);
        for (long t = 0; t < n; t++)
            SIMD for (long c = 0; c < m; c++) to[t * out + c] =
                w->since[t] * w->pair[(n + t) * m + c];
        gemm((int)n, (int)m, (int)n, w->score + n * n, n, 1, w->u, m, 1, to, out, 1);
        if (first + n == s->time) return;
        scale_rows(w->u, w->fade + (n - 1) * n, 1, n, m);
        state_next(w->state, before, w->since[n - 1], w->kq, w->u, n, s);
    }
}

/* All errors, and the states after all chunks but the last. */
static void head_again(const stream *x, const scratch *w, const shape *s) {
    const long size = s->key * s->value;
    const real *before = NULL;
    real *after = w->state;
    for (long first = 0; first < s->time; first += DELTA_CHUNK, after += size) {
        const long n = chunk_size(s, first);
        chunk_scores(w, x, s, first, n);
        chunk_errors(w->err + first * s->value, w, before, x, s, first, n, n);
        if (first + n == s->time) return;
        scale_rows(w->u, w->fade + (n - 1) * n, 1, n, s->value);
        state_next(after, before, w->since[n - 1], w->kq, w->u, n, s);
        before = after;
    }
}

/* du, w and what follows from them by token: dv and dbeta. dS NULL: 0. */
static void chunk_solve_back(const scratch *w, const real *err, const real *dS, const stream *x,
                             const shape *s, long first, long n) {
    const long m = s->value, out = s->heads * m;
    const real *fade = w->fade + (n - 1) * n;
    if (dS) {
        gemm((int)n, (int)m, (int)s->key, w->kq, s->key, 1, dS, m, 1, w->du, m, 0);
        scale_rows(w->du, fade, 1, n, m);
    }
    gemm((int)n, (int)m, (int)n, w->score + n * n, 1, n, x->dO + first * out, out, 1, w->du, m,
         dS != NULL);
    for (long t = n - 1; t >= 0; t--) {
        const long one = (first + t) * s->heads;
        const real beta = x->beta[one];
        real *du = w->du + t * m, *wt = w->pair + t * m;
        subtract_rows(du, w->score + (t + 1) * n + t, n, wt + m, n - 1 - t, m);
        SIMD for (long c = 0; c < m; c++) wt[c] = beta * du[c];
        if (x->dbeta) x->dbeta[one] += real_dot(du, err + t * m, m);
    }
    scatter_add(OFFSET(x->dv, first * out), out, w->pair, n, m);
}

/* <a, b> in double. */
static double wide_dot(const real *a, const real *b, long n) {
    double sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* dg of a chunk from dq and w; through: <S', dS'>. */
static void chunk_decay_back(const scratch *w, const stream *x, const shape *s, double through,
                             long first, long n) {
    for (long t = n - 1; t >= 0; t--) {
        const long row = (first + t) * s->heads;
        through += wide_dot(x->q + row * s->key, w->dkq + (n + t) * s->key, s->key) -
                   wide_dot(x->v + row * s->value, w->pair + t * s->value, s->value);
        x->dg[row] += (real)through;
    }
}

/* Back over one chunk: dS of the state after it becomes that of the state before it. before, after
 * NULL: the chunk is the first, the last. */
static void chunk_backward(real *dS, const real *before, const real *after, const real *err,
                           const scratch *w, const stream *x, const shape *s, long first, long n) {
    const long m = s->value, key = s->key, row = s->heads * key;
    const real *last = w->fade + (n - 1) * n;
    real *dk = w->dkq, *dq = dk + n * key, *dM = w->dscore + n * n;
    chunk_scores(w, x, s, first, n);
    for (long t = 0; t < n; t++) {
        const real beta = x->beta[(first + t) * s->heads];
        SIMD for (long c = 0; c < m; c++) w->u[t * m + c] = beta * err[t * m + c];
    }
    chunk_solve_back(w, err, after ? dS : NULL, x, s, first, n);
    gather(w->pair + n * m, x->dO + first * s->heads * m, s->heads * m, n, m);

    gemm((int)(2 * n), (int)n, (int)m, w->pair, m, 1, w->u, 1, m, w->dscore, n, 0);
    score_fade(w->dscore, w->fade, -1, n);
    for (long t = 0; t < n; t++) /* dk_t takes row and column t of dN */
        for (long j = 0; j < t; j++) w->dscore[j * n + t] = w->dscore[t * n + j];
    if (before) {
        gemm((int)(2 * n), (int)key, (int)m, w->pair, m, 1, before, 1, m, dk, key, 0);
        scale_rows(dk, w->since, -1, n, key);
        scale_rows(dq, w->since, 1, n, key);
    }
    gemm((int)n, (int)key, (int)(2 * n), w->dscore, 1, n, w->kq, key, 1, dk, key, before != NULL);
    gemm((int)n, (int)key, (int)n, dM, n, 1, w->kq, key, 1, dq, key, before != NULL);
    if (after) {
        scale_rows(w->u, last, 1, n, m);
        gemm((int)n, (int)key, (int)m, w->u, m, 1, dS, 1, m, dk, key, 1);
    }
    scatter_add(OFFSET(x->dk, first * row), row, dk, n, key);
    scatter_add(OFFSET(x->dq, first * row), row, dq, n, key);
    if (x->dg) chunk_decay_back(w, x, s, after ? wide_dot(dS, after, key * m) : 0, first, n);
    if (!before) return;
    scale_rows(w->kq, w->since, -1, n, key);
    scale_rows(w->kq + n * key, w->since, 1, n, key);
    state_next(dS, after ? dS : NULL, w->since[n - 1], w->kq, w->pair, 2 * n, s);
}

static void head_backward(const stream *x, const scratch *w, const shape *s) {
    const long size = s->key * s->value, chunks = block_count((int)s->time, DELTA_CHUNK);
    real *dS = w->state + (chunks - 1) * size;
    head_again(x, w, s);
    for (long c = chunks - 1; c >= 0; c--) {
        const long first = c * DELTA_CHUNK;
        const real *before = c ? w->state + (c - 1) * size : NULL;
        const real *after = c < chunks - 1 ? w->state + c * size : NULL;
        chunk_backward(dS, before, after, w->err + first * s->value, w, x, s, first,
                       chunk_size(s, first));
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
    const shape s = {time, heads, key, value};
    const scratch w = scratch_in(work, &s);
    const stream all = {q, k, v, beta, g, dO, dq, dk, dv, dbeta, dg};
    for (long i = 0; i < (long)runs * batch; i++)
        for (long h = 0; h < heads; h++) {
            const stream x = stream_of(&all, &s, i, h);
            head_backward(&x, &w, &s);
        }
}
