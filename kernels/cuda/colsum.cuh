/* colsum.cuh - sums over rows, for every run and column; see colsum.cu. */
#pragma once
#include "port.cuh"

/* out[r,c] += sum_i x[r,i,c].  out [R, cols], x [R, rows, cols], not overlapping. */
void colsum_launch(float *out, const float *x, int runs, long rows, int cols);

/* The second stage of a sum whose first left partials: out[r out_run + i] = sum_p part[r,p,i], or
 * += where accumulate.  part [R, parts, n]; parts is a function of the shape of one run. */
void partials_launch(float *out, long out_run, const float *part, int runs, int parts, long n,
                     bool accumulate);
