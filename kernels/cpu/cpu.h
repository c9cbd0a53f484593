/* cpu.h - what the CPU kernels share: the scalar exponential, and loop hints.
 *
 * The same source is compiled per instruction set and once in double. In double, libm is called:
 * that build exists for checks. In float the polynomial below vectorises under `omp simd`. */
#pragma once
#include "kernels/core/kernels.h"

#include <math.h>

/* Sums vectorise only where reordering is allowed in words: SIMD_SUM(s) before a loop that adds to
 * s. The order is fixed by the build, so results repeat. */
#define PRAGMA(text)    _Pragma(#text)
#define SIMD            PRAGMA(omp simd)
#define SIMD_SUM(names) PRAGMA(omp simd reduction(+ : names))
#define SIMD_MAX(names) PRAGMA(omp simd reduction(max : names))

#ifdef REAL_IS_DOUBLE
static inline real real_exp(real x) { return exp(x); }
static inline real real_sqrt(real x) { return sqrt(x); }
static inline real real_log(real x) { return log(x); }
#else
/* e^x in float: 2^n e^r with n = rint(x / ln 2), |r| <= ln 2 / 2, e^r by a degree 6 Taylor-Horner
 * form in two parts. Relative error below 2 ulp on [-87.3, 88.7]; 0 below, NaN stays NaN, and above
 * 88.7 it saturates at about 3.3e38 (overflow shows in the sums that use it). */
static inline float real_exp(float x) {
    const float low = -87.33654f, high = 88.72f;
    float c = x < low ? low : x > high ? high : x;
    float n = rintf(c * 1.44269504f);
    float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* 2^n as a product of two powers, so that n = 128 does not overflow the exponent field */
    int whole = (int)n, half = whole >> 1;
    union {
        int i;
        float f;
    } a = {(half + 127) << 23}, b = {(whole - half + 127) << 23};
    float y = p * a.f * b.f;
    return x < low ? 0.0f : y;
}
static inline real real_sqrt(real x) { return sqrtf(x); }
static inline real real_log(real x) { return logf(x); }
#endif

static inline real real_sigmoid(real x) { return 1 / (1 + real_exp(-x)); }
