/* pointwise.cuh - streams of floats, four per thread.
 *
 * A unit is up to four consecutive floats of one row, moved as a float4 where addresses allow and
 * one by one elsewhere. The arithmetic on a unit exists once, whichever way it was moved, so that
 * alignment, and with it the place of a run in a pack, cannot reach a bit of the result.
 *
 * One unit per thread is enough to saturate memory: full occupancy with one 16-byte load per stream
 * keeps 32 KiB per stream and multiprocessor in flight. Blocks are small because n often is: 128
 * threads give 64 blocks at n = 2^15. */
#pragma once
#include "port.cuh"

constexpr int POINT_THREADS = 128;
constexpr long UNIT = 4;

struct Four {
    float v[UNIT];
};

/* Elements of a unit at `at` of n: 1 to 4, or 0 beyond the end. */
__device__ inline int unit_size(long at, long n) {
    return n - at >= UNIT ? (int)UNIT : n > at ? (int)(n - at) : 0;
}

/* vector: p is 16-byte aligned. Missing elements are zero. */
__device__ inline Four unit_load(const float *p, int size, bool vector) {
    Four x = {};
    if (vector && size == UNIT) {
        const float4 f = *(const float4 *)p;
        x.v[0] = f.x, x.v[1] = f.y, x.v[2] = f.z, x.v[3] = f.w;
    } else {
        for (int j = 0; j < UNIT; j++)
            if (j < size) x.v[j] = p[j];
    }
    return x;
}

__device__ inline void unit_store(float *p, const Four &x, int size, bool vector) {
    if (vector && size == UNIT) {
        *(float4 *)p = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
    } else {
        for (int j = 0; j < UNIT; j++)
            if (j < size) p[j] = x.v[j];
    }
}

/* p += x. */
__device__ inline void unit_add(float *p, const Four &x, int size, bool vector) {
    Four sum = unit_load(p, size, vector);
    for (int j = 0; j < UNIT; j++) sum.v[j] += x.v[j];
    unit_store(p, sum, size, vector);
}

template <int OUT, int IN> struct Streams {
    float *out[OUT];
    const float *in[IN];
    bool vector;
};

template <class F, bool ADD, int OUT, int IN>
__global__ void __launch_bounds__(POINT_THREADS) pointwise(Streams<OUT, IN> s, long n) {
    const long at = UNIT * ((long)blockIdx.x * POINT_THREADS + threadIdx.x);
    const int size = unit_size(at, n);
    if (!size) return;
    Four in[IN], out[OUT];
    for (int k = 0; k < IN; k++) in[k] = unit_load(s.in[k] + at, size, s.vector);
    for (int k = 0; k < OUT; k++)
        out[k] = unit_load(s.out[k] + at, ADD && s.out[k] ? size : 0, s.vector);
    for (int j = 0; j < UNIT; j++) {
        float x[IN], y[OUT];
        for (int k = 0; k < IN; k++) x[k] = in[k].v[j];
        F::of(y, x);
        for (int k = 0; k < OUT; k++) out[k].v[j] = ADD ? out[k].v[j] + y[k] : y[k];
    }
    for (int k = 0; k < OUT; k++)
        if (s.out[k]) unit_store(s.out[k] + at, out[k], size, s.vector);
}

template <class F, bool ADD, int OUT, int IN>
void pointwise_launch(float *const (&out)[OUT], const float *const (&in)[IN], long n) {
    Streams<OUT, IN> s = {};
    s.vector = true;
    for (int k = 0; k < OUT; k++) {
        s.out[k] = out[k];
        s.vector = s.vector && is_vector(out[k]);
    }
    for (int k = 0; k < IN; k++) {
        s.in[k] = in[k];
        s.vector = s.vector && is_vector(in[k]);
    }
    LAUNCH((pointwise<F, ADD, OUT, IN>), dim3(blocks_of(n, UNIT * POINT_THREADS)),
           dim3(POINT_THREADS), 0, s, n);
}

/* out[k][i] = y[k], where F::of(y, x) with x[k] = in[k][i], for all i in [0, n). */
template <class F, int OUT, int IN>
void pointwise_set(float *const (&out)[OUT], const float *const (&in)[IN], long n) {
    pointwise_launch<F, false>(out, in, n);
}

/* The same, added to out[k]; those that are NULL are left out. */
template <class F, int IN>
void pointwise_add(float *const (&out)[1], const float *const (&in)[IN], long n) {
    if (out[0]) pointwise_launch<F, true>(out, in, n);
}

/* Two outputs in one launch; in two where both are the same buffer (the gradients of x x). */
template <class F, int IN>
void pointwise_add(float *const (&out)[2], const float *const (&in)[IN], long n) {
    if (out[0] && out[0] == out[1]) {
        pointwise_launch<F, true>({out[0], nullptr}, in, n);
        pointwise_launch<F, true>({nullptr, out[1]}, in, n);
    } else if (out[0] || out[1]) {
        pointwise_launch<F, true>(out, in, n);
    }
}
