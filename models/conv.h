/* conv.h - the `conv:` block of settings: short causal convolutions inside mixers.
 *
 * y_t = sum_k w_k * x_{t - k dilation}, tap 0 is the current token. Kinds here: scalar (one tap per
 * lag and head, shared by the head's channels: CAT) and depthwise (one tap per lag and channel). */
#pragma once
#include "block.h"

typedef enum conv_kind { CONV_SCALAR, CONV_DEPTHWISE } conv_kind;
typedef enum conv_init { CONV_INIT_UNIFORM, CONV_INIT_IDENTITY, CONV_INIT_NORMAL } conv_init;
enum { CONV_ON_Q = 1, CONV_ON_K = 2, CONV_ON_V = 4 };

typedef struct conv_config {
    int kind, init, activation;
    long width, dilation;
    unsigned on;
    bool residual, bias;
} conv_config;

/* Rows of the field table of a settings struct that holds a conv_config called `member`. */
#define CONV_AT(type, member, name) offsetof(type, member) + offsetof(conv_config, name)
#define CONV_FIELDS(type, member)                                                                  \
    {"conv.kind",                                                                                  \
     FIELD_CHOICE,                                                                                 \
     CONV_AT(type, member, kind),                                                                  \
     "scalar",                                                                                     \
     .choices = "scalar|depthwise",                                                                \
     .help = "taps shared by a head, or one per channel"},                                         \
        {"conv.width",                                                                             \
         FIELD_INT,                                                                                \
         CONV_AT(type, member, width),                                                             \
         "3",                                                                                      \
         1,                                                                                        \
         64,                                                                                       \
         .help = "taps, the current token included"},                                              \
        {"conv.dilation",                                                                          \
         FIELD_INT,                                                                                \
         CONV_AT(type, member, dilation),                                                          \
         "1",                                                                                      \
         1,                                                                                        \
         1 << 20,                                                                                  \
         .help = "distance between taps"},                                                         \
        {"conv.on",                                                                                \
         FIELD_SET,                                                                                \
         CONV_AT(type, member, on),                                                                \
         "[q, k, v]",                                                                              \
         .choices = "q|k|v",                                                                       \
         .help = "which of queries, keys and values are convolved"},                               \
        {"conv.residual", FIELD_BOOL, CONV_AT(type, member, residual), "false",                    \
         .help = "add the convolution to its input"},                                              \
        {"conv.activation",                                                                        \
         FIELD_CHOICE,                                                                             \
         CONV_AT(type, member, activation),                                                        \
         "none",                                                                                   \
         .choices = "none|silu",                                                                   \
         .help = "after the convolution"},                                                         \
        {"conv.bias", FIELD_BOOL, CONV_AT(type, member, bias), "false",                            \
         .help = "a bias per channel"},                                                            \
    {                                                                                              \
        "conv.init", FIELD_CHOICE, CONV_AT(type, member, init), "uniform",                         \
            .choices = "uniform|identity|normal",                                                  \
            .help = "taps start as U(+-1/sqrt(width)), as the current token only, or N(0, .02)"    \
    }

/* Parameters NAME (and NAME.bias). groups: heads for scalar taps (1: one filter for all channels).
 */
tensor *conv_apply(block *b, const conv_config *c, const char *name, tensor *x, int groups);
