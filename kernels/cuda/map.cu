/* map.cu - functions of one variable; see kernels.def and core/functions.h.
 *
 * A function is one line of the table: its value and its derivative, given x. Each becomes a kernel
 * of its own, so that cheap ones do not pay for the registers of the sine. 8 bytes per element
 * forward, 16 backward hide what they cost. */
#include "kernels/core/functions.h"
#include "pointwise.cuh"

namespace {
__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/* The derivative of the sigmoid; s (1 - s) would cancel for large x. */
__device__ float bell(float x) {
    const float z = expf(-fabsf(x));
    return z / ((1 + z) * (1 + z));
}

/* log(1 + e^x) that neither overflows nor cancels. */
__device__ float softplus(float x) { return fmaxf(x, 0) + log1pf(expf(-fabsf(x))); }

/* MAP(kind, value, derivative) */
#define MAPS                                                                                       \
    MAP(MAP_SIGMOID, sigmoid(x), bell(x))                                                          \
    MAP(MAP_TANH, tanhf(x), 4 * bell(2 * x))                                                       \
    MAP(MAP_SOFTPLUS, softplus(x), sigmoid(x))                                                     \
    MAP(MAP_EXP, expf(x), expf(x))                                                                 \
    MAP(MAP_NEG_EXP, -expf(x), -expf(x))                                                           \
    MAP(MAP_SIN, sinf(x), cosf(x))                                                                 \
    MAP(MAP_RELU, x > 0 ? x : 0, x > 0 ? 1 : 0)                                                    \
    MAP(MAP_RELU2, x > 0 ? x * x : 0, x > 0 ? 2 * x : 0)                                           \
    MAP(MAP_ELU1, x > 0 ? x + 1 : expf(x), x > 0 ? 1 : expf(x))                                    \
    MAP(MAP_RECIPROCAL, 1 / x, -1 / (x * x))                                                       \
    MAP(MAP_SQUARE, x *x, 2 * x)                                                                   \
    MAP(MAP_TIMES, x *a, a)

template <int KIND> struct Value {
    float a;
    __device__ void of(float *y, const float *in) const {
        const float x = KIND == MAP_TIMES ? in[0] : in[0] + a;
        switch (KIND) {
#define MAP(kind, value, derivative)                                                               \
    case kind: y[0] = value; break;
            MAPS
#undef MAP
        }
    }
};

template <int KIND> struct Slope {
    float a;
    __device__ void of(float *dx, const float *in) const { /* dy, x */
        const float x = KIND == MAP_TIMES ? in[1] : in[1] + a;
        switch (KIND) {
#define MAP(kind, value, derivative)                                                               \
    case kind: dx[0] = in[0] * (derivative); break;
            MAPS
#undef MAP
        }
    }
};
} // namespace

void K(map_fwd)(real *y, const real *x, int kind, double a, long n) {
    switch (kind) {
#define MAP(kind_, value, derivative)                                                              \
    case kind_: pointwise_set<Value<kind_>>({y}, {x}, n, {(float)a}); break;
        MAPS
#undef MAP
    }
}

void K(map_bwd)(real *dx, const real *dy, const real *x, int kind, double a, long n) {
    switch (kind) {
#define MAP(kind_, value, derivative)                                                              \
    case kind_: pointwise_add<Slope<kind_>>({dx}, {dy, x}, n, {(float)a}); break;
        MAPS
#undef MAP
    }
}
