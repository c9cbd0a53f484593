/* gemm.h - the matrix product of the CPU builds: c (+)= a b with any strides.
 *
 * One routine for NN, NT and TN: element (i,k) of a is a[i a_row + k a_col], likewise b (k,j); rows
 * of c are contiguous. An element's sum runs over k in an order that depends on `inner` only: not
 * on its row or column, the other sizes, the strides or the alignment. a, b and c must not overlap.
 * No heap, no threads. */
#pragma once
#include "cpu.h"

/* accumulate 0: c is overwritten and may hold anything before, 1: the product is added to c.
 * inner 0: the product is 0. */
#define gemm K(gemm)
void gemm(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
          long b_row, long b_col, real *c, long c_row, int accumulate);

/* c = a b with from[j] added to every element of column j; from [cols] may be NULL. */
#define gemm_bias K(gemm_bias)
void gemm_bias(int rows, int cols, int inner, const real *a, long a_row, long a_col, const real *b,
               long b_row, long b_col, real *c, long c_row, const real *from);
