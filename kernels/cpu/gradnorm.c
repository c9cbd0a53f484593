/* gradnorm.c - Euclidean norm of all gradients of a run; see kernels.def. Summed in double, segment
 * by segment, so that neither the pack nor the size of the numbers reaches the result. */
#include "cpu.h"

void K(gradnorm_fwd)(real *norm, const real *g, const int *seg, int runs, int params, int n_seg) {
    (void)params; /* the segments say it */
    for (long r = 0; r < runs; r++) {
        double total = 0;
        for (long s = 0; s < n_seg; s++) {
            const long n = seg[3 * s + 1];
            const real *gs = g + (long)runs * seg[3 * s] + r * n; /* [n] */
            double sum = 0;
            SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += (double)gs[i] * (double)gs[i];
            total += sum;
        }
        norm[r] = (real)sqrt(total);
    }
}
