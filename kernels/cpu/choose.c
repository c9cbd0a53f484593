/* choose.c - the largest of a group; see kernels.def. One pass over the group per choice. */
#include "cpu.h"

/* The largest of those that are > 0 and not marked; -1: there is none. */
static int next_choice(const real *p, const real *mark, int dim) {
    int best = -1;
    for (int i = 0; i < dim; i++)
        if (mark[i] == 0 && p[i] > (best < 0 ? 0 : p[best])) best = i;
    return best;
}

void K(choose_fwd)(real *y, const real *p, const real *value, long groups, int dim, int count) {
    for (long g = 0; g < groups; g++) {
        const real *at = p + g * dim;
        real *to = y + g * dim;
        for (int i = 0; i < dim; i++) to[i] = 0;
        for (int n = 0; n < count; n++) {
            const int best = next_choice(at, to, dim);
            if (best < 0) break;
            to[best] = 1;
        }
        if (!value) continue;
        for (int i = 0; i < dim; i++)
            if (to[i] > 0) to[i] += value[g * dim + i] - at[i];
    }
}

void K(choose_bwd)(real *dvalue, const real *dy, const real *y, long groups, int dim) {
    if (!dvalue) return;
    SIMD for (long i = 0; i < groups * dim; i++) dvalue[i] += y[i] != 0 ? dy[i] : 0;
}
