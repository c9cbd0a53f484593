/* long_filter.h - filters as long as the sequence, and convolutions without options. */
#pragma once
#include "block.h"

typedef struct implicit_filter {
    int width, features, length; /* of the network; odd; 0: spec->max_time */
} implicit_filter;

/* [R,T,C], a filter per channel for x [R,B,T,C]: the network of Hyena times its window. Parameters
 * NAME_w1 .. NAME_w3 with biases, NAME_w4, NAME_freq. Steady: made once for all parts of a batch.
 */
tensor *filter_implicit(block *b, const char *name, const implicit_filter *f, tensor *x);
/* The same from `state` fading exponentials per channel: NAME_c, NAME_rate [C,N]. */
tensor *filter_exponential(block *b, const char *name, int state, tensor *x);

/* Depthwise causal convolution with bias, no activation; parameters NAME [W,C] and NAME.bias. */
tensor *plain_conv(block *b, const char *name, tensor *x, int width);
