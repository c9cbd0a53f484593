/* reduce.cuh - sums and maxima over a warp or a block, in an order fixed by the block's size. */
#pragma once
#include "port.cuh"

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int WARP = 32;

/* All 32 lanes take part and all get the result: a butterfly, the same sum in every lane. */
template <class T> __device__ inline T warp_sum(T v) {
    for (int o = WARP / 2; o; o >>= 1) v += __shfl_xor_sync(ALL_LANES, v, o);
    return v;
}

__device__ inline float warp_max(float v) {
    for (int o = WARP / 2; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, o));
    return v;
}

/* All threads of a one-dimensional block of whole warps take part and get the sum. part: shared,
 * one T per warp; free again when the function returns. */
template <class T> __device__ inline T block_sum(T v, T *part) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    v = warp_sum(v);
    if (lane == 0) part[warp] = v;
    __syncthreads();
    v = warp_sum(lane < warps ? part[lane] : T(0));
    __syncthreads();
    return v;
}
