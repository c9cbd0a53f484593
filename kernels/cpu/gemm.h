/* gemm.h - the matrix product of the CPU builds: c (+)= a b with any strides.
 *
 * One routine for NN, NT and TN: element (i,k) of a is a[i a_row + k a_col], likewise b (k,j); rows
 * of c are contiguous. Sums run over k in a fixed order that depends on the sizes only. accumulate
 * 0: c is overwritten, 1: added to. a, b and c must not overlap. No heap, no threads. */
#pragma once
#include "cpu.h"

#define gemm K(gemm)
void gemm(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
          long b_row, long b_col, real *c, long c_row, int accumulate);
