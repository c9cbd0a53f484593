/* map.c - functions of one variable; see kernels.def.
 *
 * In float everything but sin and log1p rests on the polynomial exponential of cpu.h. A function is
 * one line of the table below: its value and its derivative, given x. */
#include "cpu.h"
#include "kernels/core/functions.h"

static inline real real_tanh(real x) { return 2 * real_sigmoid(2 * x) - 1; }

/* max(x, 0) + log(1 + e^-|x|): neither overflows nor cancels. */
static inline real real_softplus(real x) {
    const real tail = real_exp(x < 0 ? x : -x);
    return (x > 0 ? x : 0) +
           (sizeof(real) == sizeof(float) ? (real)log1pf((float)tail) : (real)log1p((double)tail));
}
static inline real real_sin(real x) {
    return sizeof(real) == sizeof(float) ? (real)sinf((float)x) : (real)sin((double)x);
}
static inline real real_cos(real x) {
    return sizeof(real) == sizeof(float) ? (real)cosf((float)x) : (real)cos((double)x);
}

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
