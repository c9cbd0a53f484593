/* adamw.c - one AdamW step over the flat parameter buffer of all runs; see kernels.def.
 *
 * Constants of the step are worked out in double once per run. The bias corrections go into the
 * step size and into the root: lr mhat / (sqrt(vhat) + eps) =
 * (lr / (1 - beta1^step)) m / (sqrt(v) / sqrt(1 - beta2^step) + eps). */
#include "cpu.h"

void K(adamw_fwd)(real *p, real *m, real *v, const real *g, const real *norm, const real *hyper,
                  const int *seg, int runs, int params, int n_seg) {
    (void)params; /* the segments say it */
    for (long r = 0; r < runs; r++) {
        const real *h = hyper + 8 * r;
        if (h[7] == 0) continue; /* frozen: no bit may change, whatever the gradient holds */
        const double lr = (double)h[0], wd = (double)h[1], step = (double)h[6];
        const double beta1 = (double)h[2], beta2 = (double)h[3], clip = (double)h[5];
        const double norm_r = (double)norm[r];
        const real shrink = clip > 0 && norm_r > clip ? (real)(clip / norm_r) : 1;
        const real b1 = h[2], b2 = h[3], c1 = (real)(1 - beta1), c2 = (real)(1 - beta2);
        const real size = (real)(lr / (1 - pow(beta1, step)));
        const real root = (real)(1 / sqrt(1 - pow(beta2, step))), eps = h[4];
        for (long s = 0; s < n_seg; s++) {
            const long n = seg[3 * s + 1], at = (long)runs * seg[3 * s] + r * n;
            const real *gs = g + at; /* [n], as the three below */
            real *ps = p + at, *ms = m + at, *vs = v + at;
            const real decay = seg[3 * s + 2] ? (real)(lr * wd) : 0;
            SIMD for (long i = 0; i < n; i++) {
                real gi = gs[i] * shrink;
                real mi = b1 * ms[i] + c1 * gi, vi = b2 * vs[i] + c2 * (gi * gi);
                ms[i] = mi;
                vs[i] = vi;
                ps[i] -= size * mi / (real_sqrt(vi) * root + eps) + decay * ps[i];
            }
        }
    }
}
