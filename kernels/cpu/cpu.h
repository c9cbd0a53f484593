/* cpu.h - what the CPU kernels share: the scalar exponential, and loop hints.
 *
 * The same source is compiled per instruction set and once in double. In double, libm is called:
 * that build exists for checks. In float the polynomial below vectorises under `omp simd`. */
#pragma once
#include "kernels/core/kernels.h"

#include <math.h>

/* Sums vectorise only where reordering is allowed in words: SIMD_SUM(s) before a loop that adds to
 * s. The order is fixed by the build, so results repeat. */
#define PRAGMA(...)   _Pragma(#__VA_ARGS__)
#define SIMD          PRAGMA(omp simd)
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define SIMD_MAX(...) PRAGMA(omp simd reduction(max : __VA_ARGS__))

/* A pointer moved on, or NULL: a gradient that is not wanted. */
#define OFFSET(p, n) ((p) ? (p) + (n) : NULL)

/* v = the lanes of a and b (numbered on) that the vector `which` names. */
#ifdef __clang__
#    define SHUFFLE_BY(v, a, b, which)                                                             \
        for (int lane = 0, n_lanes = sizeof(v) / sizeof((v)[0]); lane < n_lanes; lane++)           \
        (v)[lane] = (which)[lane] < n_lanes ? (a)[(which)[lane]] : (b)[(which)[lane] - n_lanes]
#else
#    define SHUFFLE_BY(v, a, b, which) (v) = __builtin_shuffle(a, b, which)
#endif

#ifdef REAL_IS_DOUBLE
static inline real real_exp(real x) { return exp(x); }
static inline real real_sqrt(real x) { return sqrt(x); }
static inline real real_log(real x) { return log(x); }
#else
/* e^x in float: 2^n e^r with n = rint(x / ln 2), |r| <= ln 2 / 2, e^r = 1 + r + r^2 P(r) with the
 * degree 5 minimax P of Cephes expf (Moshier). n is rounded by adding 1.5 2^23, whose low bits are
 * then n itself, so that no conversion to int can overflow. Measured over
 * all floats: relative error at most 8.6e-8, 1.03 ulp (expf of libm: 0.5 ulp).
 * 0 below -87.33 (where the result would be subnormal), infinity above 88.72, NaN stays NaN. */
static inline float real_exp(float x) {
    const float low = -87.33f, high = 88.72f, round = 0x1.8p23f;
    float c = x < low ? low : x > high ? high : x;
    union {
        float f;
        uint32_t u;
    } shifted = {c * 1.44269504f + round}, y;
    float n = shifted.f - round;
    float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    y.f = p * r * r + r + 1.0f;
    y.u += shifted.u << 23;
    y.f = x < low ? 0.0f : y.f;
    return x <= high ? y.f : x * 0x1p127f; /* infinity, or the NaN itself */
}
static inline real real_sqrt(real x) { return sqrtf(x); }
static inline real real_log(real x) { return logf(x); }
#endif

static inline real real_sigmoid(real x) { return 1 / (1 + real_exp(-x)); }
