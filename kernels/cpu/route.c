/* route.c - the k largest of each row, with softmax weights; see kernels.def. */
#include "cpu.h"

#include <stdbool.h>

/* The largest of z that comes after `last` in the order of choice: by value, then by index. Where
 * nothing does, as NaN compares with nothing: k, which is some legal index. */
static int next_choice(const real *z, int experts, int k, int last) {
    int best = -1;
    for (int e = 0; e < experts; e++) {
        const bool later = !k || z[e] < z[last] || (z[e] == z[last] && e > last);
        if (later && (best < 0 || z[e] > z[best])) best = e;
    }
    return best < 0 ? k : best;
}

void K(route_fwd)(real *weight, int *choice, const real *z, long rows, int experts, int top) {
    for (long i = 0; i < rows; i++) {
        const real *row = z + i * experts;
        real *w = weight + i * top, sum = 0;
        int *c = choice + i * top;
        for (int k = 0; k < top; k++) {
            c[k] = next_choice(row, experts, k, k ? c[k - 1] : 0);
            sum += w[k] = real_exp(row[c[k]] - row[c[0]]);
        }
        for (int k = 0; k < top; k++) w[k] /= sum;
    }
}

void K(route_bwd)(real *dz, const real *dweight, const real *weight, const int *choice, long rows,
                  int experts, int top) {
    for (long i = 0; dz && i < rows; i++) {
        const real *w = weight + i * top, *dw = dweight + i * top;
        real mean = 0;
        for (int k = 0; k < top; k++) mean += w[k] * dw[k];
        for (int k = 0; k < top; k++)
            dz[i * experts + choice[i * top + k]] += w[k] * (dw[k] - mean);
    }
}
