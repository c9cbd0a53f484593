/* add.cu - y = a + b; see kernels.def. */
#include "port.cuh"

enum { THREADS = 256 };

__global__ void __launch_bounds__(THREADS) add(float *y, const float *a, const float *b, long n) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) y[i] = a[i] + b[i];
}

void K(add_fwd)(real *y, const real *a, const real *b, long n) {
    LAUNCH(add, dim3(blocks_of(n, THREADS)), dim3(THREADS), 0, y, a, b, n);
}

void K(add_bwd)(real *da, real *db, const real *dy, long n) {
    if (da) LAUNCH(add, dim3(blocks_of(n, THREADS)), dim3(THREADS), 0, da, da, dy, n);
    if (db) LAUNCH(add, dim3(blocks_of(n, THREADS)), dim3(THREADS), 0, db, db, dy, n);
}
