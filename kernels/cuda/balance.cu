/* balance.cu - load balance and size of router logits; see kernels.def.
 *
 * A block per sequence: its warps count the choices, then take a token each, a lane per 32nd
 * expert; sums over tokens run in double, over the warps in order. A lane counts only experts that
 * are its own, so there are no atomics. Reads logits and choices once from memory; a row is read
 * three times, from L1. */
#include "reduce.cuh"

#include "kernels/core/work.h"

namespace {
enum { WARPS = 16 };
constexpr float SIZE_SHARE = 0.1f; /* of the squared logsumexp in the loss */

struct Routes {
    const float *z;
    const int *choice;
    int time, experts, top;
};

/* share[e] of the choices of this block's sequence; count: shared, [WARPS, experts]. */
__device__ void count_shares(float *share, int *count, const Routes &a) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const long n = (long)a.time * a.top;
    const int *choice = a.choice + blockIdx.x * n;
    int *mine = count + warp * a.experts;
    for (int e = lane; e < a.experts; e += WARP) mine[e] = 0;
    for (long i = warp * WARP; i < n; i += WARPS * WARP) {
        const int held = i + lane < n ? choice[i + lane] : -1;
        for (int j = 0; j < WARP; j++) {
            const int e = __shfl_sync(ALL_LANES, held, j);
            if (e >= 0 && e % WARP == lane) mine[e]++;
        }
    }
    __syncthreads();
    for (int e = threadIdx.x; e < a.experts; e += WARPS * WARP) {
        int sum = 0;
        for (int w = 0; w < WARPS; w++) sum += count[w * a.experts + e];
        share[e] = (float)sum / (float)n;
    }
    __syncthreads();
}

/* Of one row, in every lane: logsumexp is most + log(sum); even = sum_e share_e softmax_e. */
struct Row {
    float most, sum, even;
};

__device__ Row look_at(const float *z, const float *share, int experts) {
    const int lane = threadIdx.x % WARP;
    Row r = {-INFINITY, 0, 0};
    for (int e = lane; e < experts; e += WARP) r.most = fmaxf(r.most, z[e]);
    r.most = warp_max(r.most);
    for (int e = lane; e < experts; e += WARP) {
        const float p = expf(z[e] - r.most);
        r.sum += p;
        r.even = fmaf(p, share[e], r.even);
    }
    r.sum = warp_sum(r.sum);
    r.even = warp_sum(r.even) / r.sum;
    return r;
}

__global__ void __launch_bounds__(WARPS *WARP) judge(float *loss, Routes a) {
    DYN_SHARED(double, part); /* [WARPS]; behind it share [experts], count [WARPS, experts] */
    float *share = (float *)(part + WARPS);
    const int warp = threadIdx.x / WARP;
    count_shares(share, (int *)(share + a.experts), a);
    double even = 0, size = 0;
    for (long t = warp; t < a.time; t += WARPS) {
        const Row r = look_at(a.z + (blockIdx.x * (long)a.time + t) * a.experts, share, a.experts);
        const float lse = r.most + logf(r.sum);
        even += (double)r.even;
        size += (double)lse * (double)lse;
    }
    if (threadIdx.x % WARP == 0) part[warp] = a.experts * even + (double)SIZE_SHARE * size;
    __syncthreads();
    if (threadIdx.x) return;
    double sum = 0;
    for (int w = 0; w < WARPS; w++) sum += part[w];
    loss[blockIdx.x] = (float)(sum / a.time);
}

__global__ void __launch_bounds__(WARPS *WARP) judge_back(float *dz, const float *dloss, Routes a) {
    DYN_SHARED(float, share); /* [experts]; behind it count [WARPS, experts] */
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    count_shares(share, (int *)(share + a.experts), a);
    const float scale = dloss[blockIdx.x] / (float)a.time;
    for (long t = warp; t < a.time; t += WARPS) {
        const long at = (blockIdx.x * (long)a.time + t) * a.experts;
        const Row r = look_at(a.z + at, share, a.experts);
        const float lse = r.most + logf(r.sum);
        for (int e = lane; e < a.experts; e += WARP) {
            const float p = expf(a.z[at + e] - r.most) / r.sum;
            dz[at + e] +=
                scale * p * ((float)a.experts * (share[e] - r.even) + 2 * SIZE_SHARE * lse);
        }
    }
}

size_t shared_bytes(int experts) { return (size_t)experts * (1 + WARPS) * sizeof(float); }
} // namespace

void K(balance_fwd)(real *loss, const real *z, const int *choice, int sequences, int time,
                    int experts, int top) {
    const Routes a = {z, choice, time, experts, top};
    LAUNCH(judge, dim3((unsigned)sequences), dim3(WARPS * WARP),
           WARPS * sizeof(double) + shared_bytes(experts), loss, a);
}

void K(balance_bwd)(real *dz, const real *dloss, const real *z, const int *choice, int sequences,
                    int time, int experts, int top) {
    const Routes a = {z, choice, time, experts, top};
    if (dz)
        LAUNCH(judge_back, dim3((unsigned)sequences), dim3(WARPS * WARP), shared_bytes(experts), dz,
               dloss, a);
}
