/* bf16.h - rounds the operands of a product to bfloat16. */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* to[r, i, k] = bf16(from[r, i, k]), round to nearest even, rows of `pad` elements, the ones past
 * `cols` zero. Row i of run r of `from` starts at r * run + i * row; its elements are adjacent. */
void bf16_convert(uint16_t *to, const float *from, int runs, int rows, int cols, int pad, long run,
                  long row);

#ifdef __cplusplus
}
#endif
