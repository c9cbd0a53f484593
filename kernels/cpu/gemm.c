/* gemm.c - see gemm.h. */
#include "gemm.h"

void gemm(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
          long b_row, long b_col, real *c, long c_row, int accumulate) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            real sum = accumulate ? c[i * c_row + j] : 0;
            for (int k = 0; k < inner; k++)
                sum += a[i * a_row + k * a_col] * b[k * b_row + j * b_col];
            c[i * c_row + j] = sum;
        }
}
