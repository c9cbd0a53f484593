/* suffix.cuh - out[t] += sum over s >= t of a number per token that is itself a sum over channels.
 *
 * The gradients of log decays: one block per head of a sequence. In tiles of 32 tokens from the
 * last, each warp sums tokens over channels, then the first warp sums over time. All in double, as
 * differences of large sums are left over. Term: double of(t, lane), the lane's part of token t. */
#pragma once
#include "reduce.cuh"

enum { SUFFIX_THREADS = 256, SUFFIX_BYTES = 2 * WARP * (int)sizeof(double) };

/* By all SUFFIX_THREADS threads; token t goes to out[t * stride], unless out is NULL. */
template <class Term>
__device__ inline void suffix_sum(float *out, long stride, const Term &term, long time) {
    DYN_SHARED(double, tile); /* [2, WARP]: two, so that one barrier per tile is enough */
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    double later = 0; /* of tiles already done */
    int buffer = 0;
    for (long end = time; end > 0; end -= WARP, buffer = WARP - buffer) {
        /* token j of the tile is end - 1 - j, so that sums run upwards over lanes */
        for (int j = warp; j < WARP; j += SUFFIX_THREADS / WARP) {
            const double sum = end - 1 - j >= 0 ? warp_sum(term.of(end - 1 - j, lane)) : 0;
            if (lane == 0) tile[buffer + j] = sum;
        }
        __syncthreads();
        if (warp || !out) continue;
        double sum = tile[buffer + lane];
        for (int by = 1; by < WARP; by *= 2) {
            const double before = __shfl_up_sync(ALL_LANES, sum, by);
            if (lane >= by) sum += before;
        }
        sum += later;
        later = __shfl_sync(ALL_LANES, sum, WARP - 1);
        if (end - 1 - lane >= 0) out[(end - 1 - lane) * stride] += (float)sum;
    }
}
