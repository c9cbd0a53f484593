/* scan.c - selective scan, token by token; see kernels.def.
 *
 * The state of a sequence, E x N, stays in the caches. Backward keeps the states at the start of
 * each chunk of tokens, goes through the chunks from the last to the first, and computes those
 * within a chunk again. With e = exp(dt a) and dh the gradient of h_t:
 *
 *   dh += dy c, dc += dy h_t, dD = dy x, dx = dy d + dt (dh . b), db += dt x dh,
 *   ddt = x (dh . b) + sum_n dh h_{t-1} e a, da += dh h_{t-1} e dt, dh_{t-1} = e dh */
#include "cpu.h"
#include "kernels/core/work.h"

#include <string.h>

typedef struct shape {
    long time, cols, state;
} shape;

/* One sequence; a, d are those of its run. */
typedef struct stream {
    const real *x, *dt, *a, *b, *c, *d, *dy;
    real *dx, *ddt, *da, *db, *dc, *dd; /* may be NULL */
} stream;

/* h [E,N] becomes the state after token t; y [E] unless NULL. */
static void step(real *h, real *y, const stream *s, const shape *z, long t) {
    const real *b = s->b + t * z->state, *c = s->c + t * z->state;
    for (long i = 0; i < z->cols; i++) {
        const real x = s->x[t * z->cols + i], dt = s->dt[t * z->cols + i], in = dt * x;
        const real *a = s->a + i * z->state;
        real *hi = h + i * z->state, sum = 0;
        SIMD_SUM(sum) for (long n = 0; n < z->state; n++) {
            hi[n] = real_exp(dt * a[n]) * hi[n] + in * b[n];
            sum += c[n] * hi[n];
        }
        if (y) y[i] = sum + s->d[i] * x;
    }
}

/* Back over token t: dh of h_t becomes that of h_{t-1}; before = h_{t-1}. */
static void step_back(real *dh, const real *before, const stream *s, const shape *z, long t) {
    const real *b = s->b + t * z->state, *c = s->c + t * z->state;
    real *db = s->db ? s->db + t * z->state : NULL, *dc = s->dc ? s->dc + t * z->state : NULL;
    for (long i = 0; i < z->cols; i++) {
        const long at = t * z->cols + i;
        const real x = s->x[at], dt = s->dt[at], dy = s->dy[at];
        const real *a = s->a + i * z->state, *was = before + i * z->state;
        real *g = dh + i * z->state, *da = s->da ? s->da + i * z->state : NULL;
        real through_b = 0, through_e = 0;
        SIMD_SUM(through_b, through_e) for (long n = 0; n < z->state; n++) {
            const real e = real_exp(dt * a[n]), kept = e * was[n];
            const real gn = g[n] + dy * c[n], through = gn * kept;
            if (dc) dc[n] += dy * (kept + dt * x * b[n]);
            if (db) db[n] += gn * (dt * x);
            if (da) da[n] += through * dt;
            through_b += gn * b[n];
            through_e += through * a[n];
            g[n] = e * gn;
        }
        if (s->dx) s->dx[at] += dy * s->d[i] + dt * through_b;
        if (s->ddt) s->ddt[at] += x * through_b + through_e;
        if (s->dd) s->dd[i] += dy * x;
    }
}

static void sequence_backward(const stream *s, real *work, const shape *z) {
    const long size = z->cols * z->state, chunks = (z->time + SCAN_CHUNK - 1) / SCAN_CHUNK;
    real *h = work, *start = h + size, *within = start + chunks * size;
    memset(h, 0, (size_t)size * sizeof *h);
    for (long t = 0; t < z->time; t++) {
        if (t % SCAN_CHUNK == 0) memcpy(start + t / SCAN_CHUNK * size, h, (size_t)size * sizeof *h);
        step(h, NULL, s, z, t);
    }
    real *dh = h;
    memset(dh, 0, (size_t)size * sizeof *dh);
    for (long k = chunks - 1; k >= 0; k--) {
        const long first = k * SCAN_CHUNK;
        const long end = first + SCAN_CHUNK < z->time ? first + SCAN_CHUNK : z->time;
        real *now = start + k * size;
        for (long t = first; t < end; t++) {
            memcpy(within + (t - first) * size, now, (size_t)size * sizeof *now);
            step(now, NULL, s, z, t);
        }
        for (long t = end - 1; t >= first; t--) step_back(dh, within + (t - first) * size, s, z, t);
    }
}

static stream stream_of(const stream *all, const shape *z, long run, long i) {
    const long x = i * z->time * z->cols, b = i * z->time * z->state, d = run * z->cols,
               a = d * z->state;
    return (stream){all->x + x,          all->dt + x,        all->a + a,         all->b + b,
                    all->c + b,          all->d + d,         OFFSET(all->dy, x), OFFSET(all->dx, x),
                    OFFSET(all->ddt, x), OFFSET(all->da, a), OFFSET(all->db, b), OFFSET(all->dc, b),
                    OFFSET(all->dd, d)};
}

void K(scan_fwd)(real *y, const real *x, const real *dt, const real *a, const real *b,
                 const real *c, const real *d, real *work, int runs, int batch, int time, int cols,
                 int state) {
    const shape z = {time, cols, state};
    const stream all = {x, dt, a, b, c, d, .dy = NULL};
    for (long i = 0; i < (long)runs * batch; i++) {
        const stream s = stream_of(&all, &z, i / batch, i);
        memset(work, 0, (size_t)(z.cols * z.state) * sizeof *work);
        for (long t = 0; t < time; t++) step(work, y + (i * time + t) * cols, &s, &z, t);
    }
}

void K(scan_bwd)(real *dx, real *ddt, real *da, real *db, real *dc, real *dd, const real *dy,
                 const real *x, const real *dt, const real *a, const real *b, const real *c,
                 const real *d, real *work, int runs, int batch, int time, int cols, int state) {
    const shape z = {time, cols, state};
    const stream all = {x, dt, a, b, c, d, dy, dx, ddt, da, db, dc, dd};
    for (long i = 0; i < (long)runs * batch; i++) {
        const stream s = stream_of(&all, &z, i / batch, i);
        sequence_backward(&s, work, &z);
    }
}
