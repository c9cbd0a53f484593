/* dot.h - inner products of short rows. */
#pragma once
#include "cpu.h"

/* sum_i a[i] b[i], i < n. */
static inline real real_dot(const real *a, const real *b, long n) {
    real sum = 0;
    SIMD_SUM(sum) for (long i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
