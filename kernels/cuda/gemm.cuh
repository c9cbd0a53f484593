/* gemm.cuh - the matrix product of all runs at once; see gemm.cu. */
#pragma once
#include "port.cuh"

/* Own kernels, or cuBLAS where train.numerics asks for it. The order of a sum depends on inner and
 * on the shape of c, not on runs, strides or alignment. Takes scratch where inner is long. */
void gemm_launch(const product &p);

/* Small limits under the emulator, so that small tests reach every path. */
#ifdef __CUDACC__
constexpr bool EMULATED = false;
#else
constexpr bool EMULATED = true;
#endif

/* Up to n of four floats `stride` apart; 0 past them. */
__device__ inline float4 quad_load(const float *p, long stride, int n, bool vector) {
    if (vector && n >= 4) return *(const float4 *)p;
    float4 v = make_float4(0, 0, 0, 0);
    if (n > 0) v.x = p[0];
    if (n > 1) v.y = p[stride];
    if (n > 2) v.z = p[2 * stride];
    if (n > 3) v.w = p[3 * stride];
    return v;
}
