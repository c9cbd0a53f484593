/* linear_attention.h - what mixers with a matrix state per head share. */
#pragma once
#include "block.h"
#include "kernels/core/map.h"
#include "kernels/core/work.h"

/* sum_{j <= t} (q_t . k_j) v_j / (sum_{j <= t} q_t . k_j + 1e-6) per head, for features with
 * q . k >= 0.
 * q, k [R,B,T,heads K], v [R,B,T,C]. The denominator comes from the same sums, with values 1. */
tensor *linear_attention(block *b, int heads, tensor *q, tensor *k, tensor *v);

/* o normalised per head (root mean square, gain `o_norm` [D]), times silu(x W) with W called `wg`,
 * then projected back. x: the block input. */
tensor *gated_output(block *b, int heads, tensor *o, tensor *x);

/* silu of a depthwise causal convolution of `width` taps (0: x alone, no silu either); parameters
 * NAME [W,C] and, with bias, NAME.bias. */
tensor *short_conv(block *b, const char *name, tensor *x, int width, bool bias);

/* heads must divide the width. */
const char *heads_check(long heads, const model_config *m);
