/* scan.c - selective scan, a vector of channels at a time; see kernels.def.
 *
 * TILE_LANES channels of a sequence, a strip, go through all tokens before the next ones do: lanes
 * are channels, so that sums over the state are plain additions, and the strip's state [N,lanes]
 * stays in the first cache. With e = exp(dt a), was = e h_{t-1}, and dh the gradient of h_t:
 *
 *   dh += dy c, dc += dy h_t, dD = dy x, dx = dy d + dt (dh . b), db += dt x dh,
 *   ddt = x (dh . b) + sum_n dh was a, da += dh was dt, dh_{t-1} = e dh
 *
 * Only dc and db are sums over lanes: N vectors of products at once become vectors of sums.
 * Backward keeps e and `was` of a chunk of tokens, and the state at the start of each chunk, from
 * which all chunks but the last are computed a second time: one exponential per element up to
 * SCAN_CHUNK tokens, two above. No bit depends on the chunk. */
#include "kernels/core/work.h"
#include "tile.h"

#include <string.h>

/* Vectors are returned to functions of this file only. */
#pragma GCC diagnostic ignored "-Wpsabi"

enum { LANES = TILE_LANES };
_Static_assert(LANES <= (int)SCAN_LANES, "work is too small");

#define AT(x, i) (*(vec *)((x) + (i)*LANES))

typedef struct shape {
    long time, cols, state;
} shape;

/* One sequence; a, d are those of its run. */
typedef struct stream {
    const real *x, *dt, *a, *b, *c, *d, *dy;
    real *y;
    real *dx, *ddt, *da, *db, *dc, *dd; /* may be NULL */
} stream;

/* Work of one strip; a row is [N,LANES]. */
typedef struct scratch {
    long row;
    real *a, *h, *da;   /* rows: turned, the state or its gradient, the strip's da */
    real *start, *kept; /* rows: state before each chunk; e and `was` of its tokens by turns */
    real *to_b, *to_c;  /* rows up to whole vectors of N: what to sum over lanes */
} scratch;

static scratch scratch_in(real *work, const shape *z, bool back) {
    scratch w = {.row = z->state * LANES};
    w.a = work + (SCAN_LANES - (uintptr_t)work / sizeof *work % SCAN_LANES) % SCAN_LANES;
    w.h = w.a + w.row;
    w.kept = w.h + w.row;
    if (!back) return w;
    w.da = w.kept + 2 * scan_kept((int)z->time) * w.row;
    w.start = w.da + w.row;
    w.to_b = w.start + block_count((int)z->time, SCAN_CHUNK) * w.row;
    w.to_c = w.to_b + attention_padded((int)z->state) * LANES;
    memset(w.to_b, 0, 2 * (size_t)(w.to_c - w.to_b) * sizeof *w.to_b);
    return w;
}

/* ---- vectors ---------------------------------------------------------------------------- */

/* n <= LANES numbers, then zeros. */
static inline vec lanes_get(const real *x, long n) {
    vec v = {0};
    if (n == LANES) return *(const vec *)x;
    for (long i = 0; i < n; i++) v[i] = x[i];
    return v;
}

static inline void lanes_put(real *x, const vec *v, long n) {
    if (n == LANES)
        *(vec *)x = *v;
    else
        for (long i = 0; i < n; i++) x[i] = (*v)[i];
}

static inline void lanes_add(real *x, const vec *v, long n) {
    if (!x) return;
    const vec sum = lanes_get(x, n) + *v;
    lanes_put(x, &sum, n);
}

/* What is below 2^-95 as 0: states and gradients that only fade would become subnormal numbers,
 * with which processors are slow. */
static inline vec faded(const vec *v) {
#ifdef REAL_IS_DOUBLE
    return *v;
#else
    const lanes bits = (lanes)*v;
    return (vec)(bits & ((bits & 0x70000000) != 0));
#endif
}

/* e [N,LANES] = exp(dt a). */
static inline void decays(real *restrict e, const real *restrict a, const vec *dt, long state) {
    real step[LANES];
    memcpy(step, dt, sizeof step);
    for (long n = 0; n < state; n++)
        SIMD for (int l = 0; l < LANES; l++) e[n * LANES + l] =
            real_exp(step[l] * a[n * LANES + l]);
}

/* Lane l of *v becomes the sum of vector l of x[LANES]: each round adds halves of two vectors,
 * whose number is then in one bit of the lane. */
static inline void lanes_sums(vec *v, const real *x) {
    vec s[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) s[i] = AT((real *)x, i);
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2) {
        lanes own, other;
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) {
            own[l] = l & half ? LANES + l : l;
            other[l] = own[l] ^ half;
        }
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) {
            vec first, second;
            SHUFFLE_BY(first, s[i], s[i + half], own);
            SHUFFLE_BY(second, s[i], s[i + half], other);
            s[i] = first + second;
        }
    }
    *v = s[0];
}

/* to [N] += the sums of the vectors of x. */
static void add_sums(real *to, const real *x, long state) {
    vec sums;
    if (!to) return;
    for (long n = 0; n < state; n += LANES) {
        lanes_sums(&sums, x + n * LANES);
        lanes_add(to + n, &sums, state - n < LANES ? state - n : LANES);
    }
}

/* ---- one strip -------------------------------------------------------------------------- */

/* Channels `col` to col + n - 1 of a sequence, n <= LANES; the other lanes are 0. */
typedef struct strip {
    const stream *s;
    const shape *z;
    const scratch *w;
    long col, n;
} strip;

static void turn_rates(const strip *p) {
    memset(p->w->a, 0, (size_t)p->w->row * sizeof(real));
    for (long l = 0; l < p->n; l++)
        for (long n = 0; n < p->z->state; n++)
            p->w->a[n * LANES + l] = p->s->a[(p->col + l) * p->z->state + n];
}

/* h becomes the state after token t; e and `was` of the token. Returns c . h. */
ALWAYS_INLINE vec step(const strip *p, real *restrict h, real *restrict e, long t, bool back) {
    const long at = t * p->z->cols + p->col, state = p->z->state;
    const real *b = p->s->b + t * state, *c = p->s->c + t * state;
    const vec dt = lanes_get(p->s->dt + at, p->n), in = dt * lanes_get(p->s->x + at, p->n);
    real *restrict was = e + p->w->row;
    vec sum = {0};
    decays(e, p->w->a, &dt, state);
    for (long n = 0; n < state; n++) {
        const vec product = AT(e, n) * AT(h, n), kept = faded(&product), now = kept + in * b[n];
        if (back)
            AT(was, n) = kept;
        else
            sum += c[n] * now;
        AT(h, n) = now;
    }
    return sum;
}

static void strip_forward(const strip *p) {
    const scratch *w = p->w;
    const vec d = lanes_get(p->s->d + p->col, p->n);
    turn_rates(p);
    memset(w->h, 0, (size_t)w->row * sizeof(real));
    for (long t = 0; t < p->z->time; t++) {
        const long at = t * p->z->cols + p->col;
        const vec y = step(p, w->h, w->kept, t, false) + d * lanes_get(p->s->x + at, p->n);
        lanes_put(p->s->y + at, &y, p->n);
    }
}

/* Back over token t with its e: dh of h_t becomes that of h_{t-1}. */
static void step_back(const strip *p, real *restrict dh, const real *restrict e, long t) {
    const stream *s = p->s;
    const scratch *w = p->w;
    const long at = t * p->z->cols + p->col, state = p->z->state;
    const real *b = s->b + t * state, *c = s->c + t * state, *was = e + w->row, *a = w->a;
    const vec x = lanes_get(s->x + at, p->n), dt = lanes_get(s->dt + at, p->n);
    const vec dy = lanes_get(s->dy + at, p->n), d = lanes_get(s->d + p->col, p->n), in = dt * x;
    real *restrict da = w->da, *restrict to_b = w->to_b, *restrict to_c = w->to_c;
    vec through_b = {0}, through_e = {0};
    for (long n = 0; n < state; n++) {
        const vec kept = *(const vec *)(was + n * LANES), rate = *(const vec *)(a + n * LANES);
        const vec g = AT(dh, n) + dy * c[n], through = g * kept;
        const vec before = *(const vec *)(e + n * LANES) * g;
        AT(to_c, n) = dy * (kept + in * b[n]);
        AT(to_b, n) = in * g;
        AT(da, n) += through * dt;
        through_b += g * b[n];
        through_e += through * rate;
        AT(dh, n) = faded(&before);
    }
    add_sums(OFFSET(s->db, t * state), to_b, state);
    add_sums(OFFSET(s->dc, t * state), to_c, state);
    const vec dx = dy * d + dt * through_b, ddt = x * through_b + through_e, dd = dy * x;
    lanes_add(OFFSET(s->dx, at), &dx, p->n);
    lanes_add(OFFSET(s->ddt, at), &ddt, p->n);
    lanes_add(OFFSET(s->dd, p->col), &dd, p->n);
}

/* Tokens first to end - 1 from the state h on. */
static void keep_chunk(const strip *p, real *h, long first, long end) {
    for (long t = first; t < end; t++)
        step(p, h, p->w->kept + (t - first) * 2 * p->w->row, t, true);
}

static void strip_backward(const strip *p) {
    const scratch *w = p->w;
    const long time = p->z->time, chunks = block_count((int)time, SCAN_CHUNK);
    const size_t bytes = (size_t)w->row * sizeof(real);
    turn_rates(p);
    memset(w->h, 0, bytes);
    memset(w->da, 0, bytes);
    for (long k = 0; k < chunks; k++) {
        const long first = k * SCAN_CHUNK, end = first + SCAN_CHUNK;
        memcpy(w->start + k * w->row, w->h, bytes);
        keep_chunk(p, w->h, first, end < time ? end : time);
    }
    memset(w->h, 0, bytes);
    for (long k = chunks - 1; k >= 0; k--) {
        const long first = k * SCAN_CHUNK,
                   end = first + SCAN_CHUNK < time ? first + SCAN_CHUNK : time;
        if (k < chunks - 1) keep_chunk(p, w->start + k * w->row, first, end);
        for (long t = end - 1; t >= first; t--)
            step_back(p, w->h, w->kept + (t - first) * 2 * w->row, t);
    }
    if (p->s->da)
        for (long l = 0; l < p->n; l++)
            for (long n = 0; n < p->z->state; n++)
                p->s->da[(p->col + l) * p->z->state + n] += w->da[n * LANES + l];
}

/* ---- all of them ------------------------------------------------------------------------ */

static stream stream_of(const stream *all, const shape *z, long run, long i) {
    const long x = i * z->time * z->cols, b = i * z->time * z->state, d = run * z->cols,
               a = d * z->state;
    return (stream){all->x + x,         all->dt + x,         all->a + a,         all->b + b,
                    all->c + b,         all->d + d,          OFFSET(all->dy, x), OFFSET(all->y, x),
                    OFFSET(all->dx, x), OFFSET(all->ddt, x), OFFSET(all->da, a), OFFSET(all->db, b),
                    OFFSET(all->dc, b), OFFSET(all->dd, d)};
}

static void each_strip(const stream *all, const shape *z, real *work, long runs, long batch,
                       void (*f)(const strip *), bool back) {
    const scratch w = scratch_in(work, z, back);
    for (long i = 0; i < runs * batch; i++) {
        const stream s = stream_of(all, z, i / batch, i);
        for (long col = 0; col < z->cols; col += LANES)
            f(&(strip){&s, z, &w, col, z->cols - col < LANES ? z->cols - col : LANES});
    }
}

void K(scan_fwd)(real *y, const real *x, const real *dt, const real *a, const real *b,
                 const real *c, const real *d, real *work, int runs, int batch, int time, int cols,
                 int state) {
    const shape z = {time, cols, state};
    each_strip(&(stream){x, dt, a, b, c, d, .y = y}, &z, work, runs, batch, strip_forward, false);
}

void K(scan_bwd)(real *dx, real *ddt, real *da, real *db, real *dc, real *dd, const real *dy,
                 const real *x, const real *dt, const real *a, const real *b, const real *c,
                 const real *d, real *work, int runs, int batch, int time, int cols, int state) {
    const shape z = {time, cols, state};
    each_strip(&(stream){x, dt, a, b, c, d, dy, NULL, dx, ddt, da, db, dc, dd}, &z, work, runs,
               batch, strip_backward, true);
}
