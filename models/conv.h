/* conv.h - causal convolutions inside models: y_t = sum_k w_k * x_{t - k dilation}, tap 0 is the
 * current token.
 *
 * Kinds, for x of C channels, W taps, H heads, n = the normed block input of the token [d]:
 *   scalar           one tap per lag and head, shared by its channels (CAT)      H W
 *   depthwise        one tap per lag and channel (Primer, Mamba)                 C W
 *   mixhead          taps are matrices over heads (CAT)                          H^2 W
 *   dynamic_lowrank  w_t = w + U (P n_t), U starts at 0         d rank + (rank + 1) W C
 *   dynamic_head     w_t = w + n_t L per head_size channels, L starts at 0
 *                                                               d W C / head_size + W C
 *   softmax          static logits per head, softmax over the lags (Wu et al. 2019)   H W
 *   dynamic_softmax  logits n_t L per head (the same paper)                           d H W
 *   long             a table of max_time taps per channel, or (implicit) Hyena's network
 *   ssm              a sum of `state` fading exponentials per channel             2 state C
 * Dynamic taps read n, whatever x is, have no bias and no activation: at step 0 they are the static
 * filter. Low-rank taps are never stored. Long filters are applied directly, cost 2 T C per token.
 */
#pragma once
#include "block.h"
#include "conv_config.h"

/* x + act(conv(x) + bias), x only with c->residual. Parameters NAME (static taps), NAME.bias,
 * NAME.p and NAME.u (low rank), NAME.dynamic (linear of n); NAME_w1.. and NAME_c, NAME_rate of the
 * filters of long_filter.h. groups: heads of scalar, mixhead and softmax taps, 1: all channels. */
tensor *conv_apply(block *b, const conv_config *c, const char *name, tensor *x, int groups);

/* conv(x) + bias, bias [C] may be NULL: no activation, no residual. */
tensor *conv_filter(block *b, const conv_config *c, const char *name, tensor *x, tensor *bias,
                    int groups);

/* NULL, or half a sentence: what does not fit x of `cols` channels. prefix: of the settings' names,
 * "model.conv.". */
const char *conv_check(const conv_config *c, const char *prefix, long cols);

/* Numbers kept per sequence while decoding, for x of `cols` channels. */
double conv_state_size(const conv_config *c, long cols, long time);
