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

/* Under nvcc in assembly: it merges a plain store of a float4 with the scalar stores of the other
 * branch of unit_store, into scalar ones. */
__device__ inline void whole_store(float *p, const Four &x) {
#ifdef __CUDACC__
    asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(p), "f"(x.v[0]), "f"(x.v[1]),
                 "f"(x.v[2]), "f"(x.v[3])
                 : "memory");
#else
    *(float4 *)p = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
#endif
}

__device__ inline void unit_store(float *p, const Four &x, int size, bool vector) {
    if (vector && size == UNIT) {
        whole_store(p, x);
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
__global__ void __launch_bounds__(POINT_THREADS) pointwise(F f, Streams<OUT, IN> s, long n) {
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
        f.of(y, x);
        for (int k = 0; k < OUT; k++) out[k].v[j] = ADD ? out[k].v[j] + y[k] : y[k];
    }
    for (int k = 0; k < OUT; k++)
        if (s.out[k]) unit_store(s.out[k] + at, out[k], size, s.vector);
}

template <class F, bool ADD, int OUT, int IN>
void pointwise_launch(float *const (&out)[OUT], const float *const (&in)[IN], long n, F f) {
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
           dim3(POINT_THREADS), 0, f, s, n);
}

/* out[k][i] = y[k], where f.of(y, x) with x[k] = in[k][i], for all i in [0, n). */
template <class F, int OUT, int IN>
void pointwise_set(float *const (&out)[OUT], const float *const (&in)[IN], long n, F f = F()) {
    pointwise_launch<F, false>(out, in, n, f);
}

/* Two of the buffers are the same, as where an op has one input twice. */
template <int OUT> bool overlap(float *const (&out)[OUT]) {
    for (int k = 1; k < OUT; k++)
        for (int j = 0; j < k; j++)
            if (out[k] && out[k] == out[j]) return true;
    return false;
}

/* The same, added to out[k] in one launch; those that are NULL are left out. Buffers that overlap
 * take a launch each. */
template <class F, int OUT, int IN>
void pointwise_add(float *const (&out)[OUT], const float *const (&in)[IN], long n, F f = F()) {
    const bool clash = overlap(out);
    bool any = false;
    for (int k = 0; k < OUT; k++) {
        float *one[OUT] = {};
        one[k] = out[k];
        if (clash && out[k]) pointwise_launch<F, true>(one, in, n, f);
        any = any || out[k];
    }
    if (any && !clash) pointwise_launch<F, true>(out, in, n, f);
}
