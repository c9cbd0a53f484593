/* shift.c - sequences moved along time; see kernels.def. */
#include "cpu.h"

#include <string.h>

void K(shift_fwd)(real *y, const real *x, int sequences, int time, int cols, int steps) {
    const long lead = (long)(steps < time ? steps : time) * cols, all = (long)time * cols;
    for (long s = 0; s < sequences; s++) {
        memset(y + s * all, 0, (size_t)lead * sizeof *y);
        memcpy(y + s * all + lead, x + s * all, (size_t)(all - lead) * sizeof *y);
    }
}

void K(shift_bwd)(real *dx, const real *dy, int sequences, int time, int cols, int steps) {
    const long lead = (long)(steps < time ? steps : time) * cols, all = (long)time * cols;
    if (!dx) return;
    for (long s = 0; s < sequences; s++) {
        real *to = dx + s * all;
        const real *from = dy + s * all + lead;
        SIMD for (long i = 0; i < all - lead; i++) to[i] += from[i];
    }
}
