/* bf16.cu - rounds the operands of a product to bfloat16, for train.numerics: bf16; see bf16.h.
 *
 * Memory-bound: 4 bytes read and 2 written per element, neighbouring threads on neighbouring
 * elements. Rows are padded to a multiple of 8 elements, so that tensor cores load 16 bytes at once
 * from any shape. NaN and infinity stay what they are. */
#include "bf16.h"
#include "port.cuh"

#include <string.h>

namespace {

enum { BF16_THREADS = 256 };

__device__ inline uint16_t bf16_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (v != v) return (uint16_t)(bits >> 16 | 0x40); /* rounding could make it an infinity */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* One thread per element of the padded rows of a run; run in y. */
__global__ void __launch_bounds__(BF16_THREADS)
    round_bf16(uint16_t *to, const float *from, int cols, int pad, long n, long run, long row) {
    const long at = (long)blockIdx.x * BF16_THREADS + threadIdx.x;
    if (at >= n) return;
    const long i = at / pad, k = at % pad;
    const float v = k < cols ? from[blockIdx.y * run + i * row + k] : 0.0f;
    to[blockIdx.y * n + at] = bf16_bits(v);
}

} // namespace

void bf16_convert(uint16_t *to, const float *from, int runs, int rows, int cols, int pad, long run,
                  long row) {
    const long n = (long)rows * pad;
    LAUNCH(round_bf16, dim3(blocks_of(n, BF16_THREADS), (unsigned)runs), dim3(BF16_THREADS), 0, to,
           from, cols, pad, n, run, row);
}
