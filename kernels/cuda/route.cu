/* route.cu - the k largest of each row, with softmax weights; see kernels.def.
 *
 * A thread per row, which it reads k times: rows are short and lie in L1 after the first. Moves
 * 4 (E + 2 K) bytes per row forward, 4 (4 K) backward. */
#include "port.cuh"

namespace {
enum { THREADS = 128 };

__global__ void __launch_bounds__(THREADS)
    choose(float *weight, int *choice, const float *z, long rows, int experts, int top) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x;
    if (i >= rows) return;
    z += i * experts;
    weight += i * top;
    choice += i * top;
    float most = 0, last = 0, sum = 0;
    for (int k = 0, last_at = 0; k < top; k++) {
        int at = -1;
        float best = 0;
        for (int e = 0; e < experts; e++) {
            const float v = z[e];
            const bool later = !k || v < last || (v == last && e > last_at);
            if (later && (at < 0 || v > best)) at = e, best = v;
        }
        if (at < 0) at = k, best = z[k]; /* NaN: some legal index */
        if (!k) most = best;
        last = best, last_at = at;
        const float w = expf(best - most);
        choice[k] = at;
        weight[k] = w;
        sum += w;
    }
    for (int k = 0; k < top; k++) weight[k] /= sum;
}

__global__ void __launch_bounds__(THREADS)
    choose_back(float *dz, const float *dweight, const float *weight, const int *choice, long rows,
                int experts, int top) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x;
    if (i >= rows) return;
    float mean = 0;
    for (long k = i * top; k < (i + 1) * top; k++) mean = fmaf(weight[k], dweight[k], mean);
    for (long k = i * top; k < (i + 1) * top; k++)
        dz[i * experts + choice[k]] += weight[k] * (dweight[k] - mean);
}
} // namespace

void K(route_fwd)(real *weight, int *choice, const real *z, long rows, int experts, int top) {
    LAUNCH(choose, dim3(blocks_of(rows, THREADS)), dim3(THREADS), 0, weight, choice, z, rows,
           experts, top);
}

void K(route_bwd)(real *dz, const real *dweight, const real *weight, const int *choice, long rows,
                  int experts, int top) {
    if (!dz) return;
    LAUNCH(choose_back, dim3(blocks_of(rows, THREADS)), dim3(THREADS), 0, dz, dweight, weight,
           choice, rows, experts, top);
}
