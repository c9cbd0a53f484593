/* balance.c - load balance and size of router logits; see kernels.def. Sums over a sequence run in
 * double, in order of time. */
#include "cpu.h"

#include "kernels/core/work.h"

static const double SIZE_SHARE = 0.1; /* of the squared logsumexp in the loss */

/* p = softmax(z); the result is logsumexp(z). */
static real softmax_row(real *p, const real *z, int experts) {
    real most = z[0], sum = 0;
    for (int e = 1; e < experts; e++) most = z[e] > most ? z[e] : most;
    for (int e = 0; e < experts; e++) sum += p[e] = real_exp(z[e] - most);
    for (int e = 0; e < experts; e++) p[e] /= sum;
    return most + real_log(sum);
}

/* share[e]: of the choices of a sequence. */
static void count_shares(double *share, const int *choice, long n, int experts) {
    for (int e = 0; e < experts; e++) share[e] = 0;
    for (long i = 0; i < n; i++) share[choice[i]]++;
    for (int e = 0; e < experts; e++) share[e] /= (double)n;
}

void K(balance_fwd)(real *loss, const real *z, const int *choice, int sequences, int time,
                    int experts, int top) {
    real p[MOST_EXPERTS];
    double share[MOST_EXPERTS];
    for (long s = 0; s < sequences; s++) {
        double even = 0, size = 0;
        count_shares(share, choice + s * time * top, (long)time * top, experts);
        for (long t = 0; t < time; t++) {
            const double lse = (double)softmax_row(p, z + (s * time + t) * experts, experts);
            for (int e = 0; e < experts; e++) even += share[e] * (double)p[e];
            size += lse * lse;
        }
        loss[s] = (real)((experts * even + SIZE_SHARE * size) / time);
    }
}

void K(balance_bwd)(real *dz, const real *dloss, const real *z, const int *choice, int sequences,
                    int time, int experts, int top) {
    real p[MOST_EXPERTS];
    double share[MOST_EXPERTS];
    for (long s = 0; dz && s < sequences; s++) {
        count_shares(share, choice + s * time * top, (long)time * top, experts);
        const double scale = (double)dloss[s] / time;
        for (long t = 0; t < time; t++) {
            const long at = (s * time + t) * experts;
            const double lse = (double)softmax_row(p, z + at, experts);
            double mean = 0;
            for (int e = 0; e < experts; e++) mean += share[e] * (double)p[e];
            for (int e = 0; e < experts; e++)
                dz[at + e] += (real)(scale * (double)p[e] *
                                     (experts * (share[e] - mean) + 2 * SIZE_SHARE * lse));
        }
    }
}
