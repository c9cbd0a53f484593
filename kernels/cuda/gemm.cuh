/* gemm.cuh - the matrix product of all runs at once; see gemm.cu. */
#pragma once
#include "port.cuh"

/* Own kernels, or cuBLAS where train.numerics asks for it. The order of a sum depends on inner and
 * on the shape of c, not on runs. */
void gemm_launch(const product &p);
