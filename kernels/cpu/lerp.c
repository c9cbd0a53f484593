/* lerp.c - a blend of two streams; see kernels.def. */
#include "cpu.h"

void K(lerp_fwd)(real *y, const real *a, const real *b, const real *m, int runs, int rows, int cols,
                 int rows_of_m) {
    for (long r = 0; r < runs; r++)
        for (long i = 0; i < rows; i++) {
            const long at = (r * rows + i) * cols;
            const real *mi = m + (rows_of_m > 1 ? at : r * rows_of_m * cols);
            SIMD for (long c = 0; c < cols; c++) y[at + c] =
                a[at + c] + mi[c] * (b[at + c] - a[at + c]);
        }
}

void K(lerp_bwd)(real *da, real *db, real *dm, const real *dy, const real *a, const real *b,
                 const real *m, int runs, int rows, int cols, int rows_of_m) {
    for (long r = 0; r < runs; r++)
        for (long i = 0; i < rows; i++) {
            const long at = (r * rows + i) * cols, at_m = rows_of_m > 1 ? at : r * rows_of_m * cols;
            const real *mi = m + at_m, *dyi = dy + at;
            if (da) SIMD for (long c = 0; c < cols; c++) da[at + c] += dyi[c] * (1 - mi[c]);
            if (db) SIMD for (long c = 0; c < cols; c++) db[at + c] += dyi[c] * mi[c];
            if (dm)
                SIMD for (long c = 0; c < cols; c++) dm[at_m + c] +=
                    dyi[c] * (b[at + c] - a[at + c]);
        }
}
