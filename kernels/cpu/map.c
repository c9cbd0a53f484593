/* map.c - functions of one variable; see kernels.def.
 *
 * In float everything is polynomial, most of it by the exponential of cpu.h. A function
 * is one line of the table below: its value and its derivative, given x. */
#include "cpu.h"
#include "kernels/core/functions.h"

static inline real real_tanh(real x) { return 2 * real_sigmoid(2 * x) - 1; }

#ifdef REAL_IS_DOUBLE
static inline real real_log1p(real u) { return log1p(u); }
#else
/* log(1 + u) for 0 <= u <= 1 in float: 2 atanh(s) with s = u / (2 + u) <= 1/3, whose series ends
 * after s^15, below 2e-9 of the sum; 2 s = u - s u keeps the rounding of s out of the leading term.
 * Measured at every third float from 2^-60: error at most 1.06 ulp. */
static inline float real_log1p(float u) {
    const float s = u / (2 + u), s2 = s * s;
    float p = 2.0f / 15;
    p = p * s2 + 2.0f / 13;
    p = p * s2 + 2.0f / 11;
    p = p * s2 + 2.0f / 9;
    p = p * s2 + 2.0f / 7;
    p = p * s2 + 2.0f / 5;
    p = p * s2 + 2.0f / 3;
    return u - s * (u - p * s2);
}
#endif

/* max(x, 0) + log(1 + e^-|x|): neither overflows nor cancels. */
static inline real real_softplus(real x) {
    return (x > 0 ? x : 0) + real_log1p(real_exp(x < 0 ? x : -x));
}

#ifdef REAL_IS_DOUBLE
static inline real real_sin(real x) { return sin(x); }
static inline real real_cos(real x) { return cos(x); }
#else
/* Sine in float: r = x - n pi with n = rint(x / pi), |r| <= pi / 2, in double with pi in two parts;
 * then (-1)^n times the Taylor series of sin r up to r^13, whose next term is below 7e-10. n is
 * rounded by adding 1.5 2^52, which leaves its parity in the lowest bit. Measured up to 2^30: error
 * at most 0.511 ulp. 0 beyond 2^40, NaN for infinities. */
static inline double sine_of(double x, double turn) {
    const double round = 0x1.8p52, pi = 3.14159265358979323846, rest = 1.2246467991473532e-16;
    union {
        double f;
        uint64_t u;
    } shifted = {x / pi + turn + round}, y;
    const double m = shifted.f - round - turn, r = (x - m * pi) - m * rest, r2 = r * r;
    double p = 1. / 6227020800;
    p = p * r2 - 1. / 39916800;
    p = p * r2 + 1. / 362880;
    p = p * r2 - 1. / 5040;
    p = p * r2 + 1. / 120;
    p = p * r2 - 1. / 6;
    y.f = r + r * r2 * p;
    y.u ^= shifted.u << 63;
    return fabs(x) <= 0x1p40 ? y.f : (x - x);
}
static inline real real_sin(real x) { return (real)sine_of((double)x, 0); }
/* cos x = sin(x + pi / 2) */
static inline real real_cos(real x) { return (real)sine_of((double)x, .5); }
#endif

/* MAP(kind, value, derivative) */
#define MAPS                                                                                       \
    MAP(MAP_SIGMOID, real_sigmoid(x), real_sigmoid(x) * (1 - real_sigmoid(x)))                     \
    MAP(MAP_TANH, real_tanh(x), 1 - real_tanh(x) * real_tanh(x))                                   \
    MAP(MAP_SOFTPLUS, real_softplus(x), real_sigmoid(x))                                           \
    MAP(MAP_EXP, real_exp(x), real_exp(x))                                                         \
    MAP(MAP_NEG_EXP, -real_exp(x), -real_exp(x))                                                   \
    MAP(MAP_SIN, real_sin(x), real_cos(x))                                                         \
    MAP(MAP_RELU, x > 0 ? x : 0, x > 0 ? 1 : 0)                                                    \
    MAP(MAP_RELU2, x > 0 ? x * x : 0, x > 0 ? 2 * x : 0)                                           \
    MAP(MAP_ELU1, x > 0 ? x + 1 : real_exp(x), x > 0 ? 1 : real_exp(x))                            \
    MAP(MAP_RECIPROCAL, 1 / x, -1 / (x * x))                                                       \
    MAP(MAP_SQUARE, x *x, 2 * x)                                                                   \
    MAP(MAP_TIMES, x *factor, factor)

void K(map_fwd)(real *y, const real *in, int kind, double a, long n) {
    const real factor = (real)a, offset = kind == MAP_TIMES ? 0 : factor;
    switch (kind) {
#define MAP(name, value, derivative)                                                               \
    case name:                                                                                     \
        SIMD for (long i = 0; i < n; i++) {                                                        \
            const real x = in[i] + offset;                                                         \
            y[i] = value;                                                                          \
        }                                                                                          \
        break;
        MAPS
#undef MAP
    }
}

void K(map_bwd)(real *dx, const real *dy, const real *in, int kind, double a, long n) {
    const real factor = (real)a, offset = kind == MAP_TIMES ? 0 : factor;
    if (!dx) return;
    switch (kind) {
#define MAP(name, value, derivative)                                                               \
    case name:                                                                                     \
        SIMD for (long i = 0; i < n; i++) {                                                        \
            const real x = in[i] + offset;                                                         \
            (void)x; /* of a linear function */                                                    \
            dx[i] += dy[i] * (derivative);                                                         \
        }                                                                                          \
        break;
        MAPS
#undef MAP
    }
}
