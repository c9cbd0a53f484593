/* tally.cu - loss and hits of the scored positions of each run; see kernels.def.
 *
 * One block per run: at the sizes in use (4096 positions) a second launch would cost more than the
 * 48 KiB that one multiprocessor reads. nll is summed in double, in an order fixed by the block. */
#include "port.cuh"
#include "reduce.cuh"

namespace {
enum { THREADS = 512 };

__global__ void __launch_bounds__(THREADS)
    tally(float *sum, const float *nll, const int *pred, const int *label, long rows) {
    DYN_SHARED(double, warps);
    const long at = blockIdx.x * rows;
    double total = 0;
    int scored = 0, right = 0;
    for (long i = at + threadIdx.x; i < at + rows; i += THREADS) {
        const int l = label[i], p = pred[i];
        const float x = nll[i]; /* loaded whether used or not: nothing waits for the label */
        total += l >= 0 ? (double)x : 0;
        scored += l >= 0;
        right += l >= 0 && p == l;
    }
    total = block_sum(total, warps);
    const double n_scored = block_sum((double)scored, warps);
    const double n_right = block_sum((double)right, warps);
    if (threadIdx.x) return;
    float *out = sum + 3l * blockIdx.x;
    out[0] = (float)total;
    out[1] = (float)n_scored;
    out[2] = (float)n_right;
}
} // namespace

void K(tally_fwd)(real *sum, const real *nll, const int *pred, const int *label, int runs,
                  int rows) {
    LAUNCH(tally, dim3((unsigned)runs), dim3(THREADS), THREADS / WARP * sizeof(double), sum, nll,
           pred, label, (long)rows);
}
