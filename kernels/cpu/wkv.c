/* wkv.c - weighted averages with fading exponential weights, token by token; see kernels.def.
 *
 * Sums are kept as (value, exponent) with one exponent per channel, the largest so far, so that no
 * term overflows and the largest never vanishes. With D_t the denominator and alpha_t = dy_t / D_t:
 *
 *   dv_t = e^k_t (sum_{s>t} e^(-(s-1-t) w) alpha_s + e^u alpha_t), dk_t the same with
 *   alpha_s (v_t - y_s), du = sum_t e^(u + k_t) alpha_t (v_t - y_t)
 *
 * dw needs sum_{i<t} (t-1-i) e^(...) v_i: a second pair of sums, carried forwards. */
#include "cpu.h"

#include <string.h>

static real larger(real a, real b) { return a > b ? a : b; }

/* Sums over the tokens so far, times e^-top; per channel [C]. */
typedef struct sums {
    real *num, *den, *num_dw, *den_dw; /* the latter: each term times its age */
    real *top;
    real *now; /* scratch: exponent of one token */
} sums;

static sums sums_in(real *work, long cols) {
    return (sums){work,           work + cols, work + 2 * cols, work + 3 * cols, work + 4 * cols,
                  work + 5 * cols};
}

static void sums_clear(const sums *s, long cols) {
    memset(s->num, 0, 4 * (size_t)cols * sizeof *s->num);
    for (long c = 0; c < cols; c++) s->top[c] = -INFINITY;
}

/* e^x, 0 for x = -infinity - anything. */
static inline real fade(real x) { return x > -87 ? real_exp(x) : 0; }

void K(wkv_fwd)(real *y, real *norm, const real *w, const real *u, const real *k, const real *v,
                real *work, int runs, int batch, int time, int cols) {
    const sums s = sums_in(work, cols);
    for (long i = 0; i < (long)runs * batch; i++) {
        const real *wr = w + i / batch * cols, *ur = u + i / batch * cols;
        sums_clear(&s, cols);
        for (long t = 0; t < time; t++) {
            const long at = (i * time + t) * cols;
            SIMD for (long c = 0; c < cols; c++) {
                const real now = ur[c] + k[at + c], top = larger(s.top[c], now);
                const real old = fade(s.top[c] - top), own = fade(now - top);
                const real den = old * s.den[c] + own;
                y[at + c] = (old * s.num[c] + own * v[at + c]) / den;
                norm[at + c] = den;
                const real faded = s.top[c] - wr[c], next = larger(faded, k[at + c]);
                const real keep = fade(faded - next), add = fade(k[at + c] - next);
                s.num[c] = keep * s.num[c] + add * v[at + c];
                s.den[c] = keep * s.den[c] + add;
                s.now[c] = top;
                s.top[c] = next;
            }
            for (long c = 0; c < cols; c++) norm[at + c] = s.now[c] + real_log(norm[at + c]);
        }
    }
}

/* Forwards: dw and du. */
static void pass_forward(real *dw, real *du, const real *dy, const real *y, const real *norm,
                         const real *w, const real *u, const real *k, const real *v, const sums *s,
                         long time, long cols) {
    sums_clear(s, cols);
    for (long t = 0; t < time; t++) {
        const long at = t * cols;
        SIMD for (long c = 0; c < cols; c++) {
            const real kt = k[at + c], vt = v[at + c], yt = y[at + c], gt = dy[at + c];
            const real share = fade(s->top[c] - norm[at + c]); /* e^top / D_t */
            const real own = fade(u[c] + kt - norm[at + c]);
            if (dw) dw[c] -= gt * share * (s->num_dw[c] - yt * s->den_dw[c]);
            if (du) du[c] += gt * own * (vt - yt);
            const real faded = s->top[c] - w[c], next = larger(faded, kt);
            const real keep = fade(faded - next), add = fade(kt - next);
            s->num_dw[c] = keep * (s->num_dw[c] + s->num[c]);
            s->den_dw[c] = keep * (s->den_dw[c] + s->den[c]);
            s->num[c] = keep * s->num[c] + add * vt;
            s->den[c] = keep * s->den[c] + add;
            s->top[c] = next;
        }
    }
}

/* Backwards: dk and dv. num and den hold sum_{s>t} e^(-(s-1-t) w) alpha_s (y_s and 1). */
static void pass_backward(real *dk, real *dv, const real *dy, const real *y, const real *norm,
                          const real *w, const real *u, const real *k, const real *v, const sums *s,
                          long time, long cols) {
    sums_clear(s, cols);
    for (long t = time - 1; t >= 0; t--) {
        const long at = t * cols;
        SIMD for (long c = 0; c < cols; c++) {
            const real kt = k[at + c], vt = v[at + c], yt = y[at + c], gt = dy[at + c];
            const real later = fade(kt + s->top[c]), own = fade(u[c] + kt - norm[at + c]);
            if (dv) dv[at + c] += later * s->den[c] + own * gt;
            if (dk) dk[at + c] += later * (vt * s->den[c] - s->num[c]) + own * gt * (vt - yt);
            const real faded = s->top[c] - w[c], mine = -norm[at + c], next = larger(faded, mine);
            const real keep = fade(faded - next), add = fade(mine - next);
            s->num[c] = keep * s->num[c] + add * gt * yt;
            s->den[c] = keep * s->den[c] + add * gt;
            s->top[c] = next;
        }
    }
}

void K(wkv_bwd)(real *dw, real *du, real *dk, real *dv, const real *dy, const real *y,
                const real *norm, const real *w, const real *u, const real *k, const real *v,
                real *work, int runs, int batch, int time, int cols) {
    const sums s = sums_in(work, cols);
    for (long i = 0; i < (long)runs * batch; i++) {
        const long at = i * time * cols, own = i / batch * cols;
        if (dw || du)
            pass_forward(dw ? dw + own : NULL, du ? du + own : NULL, dy + at, y + at, norm + at,
                         w + own, u + own, k + at, v + at, &s, time, cols);
        if (dk || dv)
            pass_backward(dk ? dk + at : NULL, dv ? dv + at : NULL, dy + at, y + at, norm + at,
                          w + own, u + own, k + at, v + at, &s, time, cols);
    }
}
