/* tally.c - loss and hits of the scored positions of each run; see kernels.def. */
#include "cpu.h"

void K(tally_fwd)(real *sum, const real *nll, const int *pred, const int *label, int runs,
                  int rows) {
    for (long r = 0; r < runs; r++) {
        const long at = r * rows;
        double total = 0;
        long scored = 0, right = 0;
        for (long i = at; i < at + rows; i++) {
            total += label[i] >= 0 ? (double)nll[i] : 0;
            scored += label[i] >= 0;
            right += label[i] >= 0 && pred[i] == label[i];
        }
        sum[3 * r] = (real)total;
        sum[3 * r + 1] = (real)scored;
        sum[3 * r + 2] = (real)right;
    }
}
