/* linear_attention.h - what mixers with a matrix state per head share. */
#pragma once
#include "conv.h"
#include "kernels/core/functions.h"
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

/* The same with taps that may depend on the token: settings conv_width, conv_kind, conv_rank and
 * conv_head_size of a mixer; parameters as in conv.h. */
typedef struct short_config {
    long width, rank, head_size;
    int kind;
} short_config;
tensor *short_conv_of(block *b, const short_config *c, const char *name, tensor *x, bool bias);
/* What of it does not fit x of `cols` channels: half a sentence, or NULL. */
const char *short_check(const short_config *c, long cols);

// clang-format off
#define SHORT_AT(type, member, name) offsetof(type, member) + offsetof(short_config, name)
#define SHORT_FIELDS(type, member)                                                                 \
    {"conv_width", FIELD_INT, SHORT_AT(type, member, width), "4", 0, 64,                           \
     .help = "taps of the short convolutions, 0: none"},                                           \
    {"conv_kind", FIELD_CHOICE, SHORT_AT(type, member, kind), "static",                            \
     .choices = "static|dynamic_lowrank|dynamic_head",                                             \
     .help = "taps of the short convolutions: one per channel, or affine in the block input"},     \
    {"conv_rank", FIELD_INT, SHORT_AT(type, member, rank), "16", 1, 4096,                          \
     .help = "dynamic_lowrank: numbers per token that its taps are made of"},                      \
    {"conv_head_size", FIELD_INT, SHORT_AT(type, member, head_size), "64", 1, 65536,               \
     .help = "dynamic_head: channels that share taps; all of them where there are fewer"}
// clang-format on

/* heads must divide the width. */
const char *heads_check(long heads, const model_config *m);
