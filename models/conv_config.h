/* conv_config.h - settings of a convolution: the struct, and its rows of a field table. */
#pragma once
#include "kernels/core/field.h"

typedef enum conv_kind {
    CONV_SCALAR,
    CONV_DEPTHWISE,
    CONV_MIXHEAD,
    CONV_DYNAMIC_LOWRANK,
    CONV_DYNAMIC_HEAD,
    CONV_SOFTMAX,
    CONV_DYNAMIC_SOFTMAX,
    CONV_LONG,
    CONV_SSM,
} conv_kind;
#define CONV_KINDS                                                                                 \
    "scalar|depthwise|mixhead|dynamic_lowrank|dynamic_head|softmax|dynamic_softmax|long|ssm"

typedef enum conv_init {
    CONV_INIT_UNIFORM,
    CONV_INIT_IDENTITY,
    CONV_INIT_NORMAL,
    CONV_INIT_ZERO
} conv_init;
#define CONV_INITS "uniform|identity|normal|zero"

enum { CONV_ON_Q = 1, CONV_ON_K = 2, CONV_ON_V = 4 };

typedef struct conv_config {
    int kind, init, activation;
    long width, dilation, rank, head_size, state;
    unsigned on;
    bool residual, bias, implicit;
} conv_config;

#define CONV_AT(type, member, name) offsetof(type, member) + offsetof(conv_config, name)

/* Rows for all but kind and place: `prefix` ends in a dot, `residual` is a default. */
// clang-format off
#define CONV_SHAPE_FIELDS(prefix, type, member, residual_value)                                    \
    {prefix "width", FIELD_INT, CONV_AT(type, member, width), "3", 1, 64,                          \
     .help = "taps, the current token included; long and ssm have their own length"},              \
    {prefix "dilation", FIELD_INT, CONV_AT(type, member, dilation), "1", 1, 1 << 20,               \
     .help = "distance between taps"},                                                             \
    {prefix "residual", FIELD_BOOL, CONV_AT(type, member, residual), residual_value,               \
     .help = "add the convolution to its input"},                                                  \
    {prefix "activation", FIELD_CHOICE, CONV_AT(type, member, activation), "none",                 \
     .choices = "none|silu", .help = "after the convolution"},                                     \
    {prefix "bias", FIELD_BOOL, CONV_AT(type, member, bias), "false",                              \
     .help = "a bias per channel"},                                                                \
    {prefix "init", FIELD_CHOICE, CONV_AT(type, member, init), "uniform", .choices = CONV_INITS,   \
     .help = "static taps start as U(+-1/sqrt(width)), as the current token only, as N(0, .02), "  \
             "or as 0"},                                                                           \
    {prefix "rank", FIELD_INT, CONV_AT(type, member, rank), "16", 1, 4096,                         \
     .help = "dynamic_lowrank: numbers per token that its taps are made of"},                      \
    {prefix "head_size", FIELD_INT, CONV_AT(type, member, head_size), "64", 1, 65536,              \
     .help = "dynamic_head: channels that share taps; all of them where there are fewer"},         \
    {prefix "implicit", FIELD_BOOL, CONV_AT(type, member, implicit), "false",                      \
     .help = "long: taps come from a network of their position (Hyena), not from a table"},        \
    {prefix "state", FIELD_INT, CONV_AT(type, member, state), "16", 1, 1024,                       \
     .help = "ssm: exponentials per channel"}

/* The `conv:` block of a settings struct that holds a conv_config called `member`. */
#define CONV_FIELDS(type, member)                                                                  \
    {"conv.kind", FIELD_CHOICE, CONV_AT(type, member, kind), "scalar", .choices = CONV_KINDS,      \
     .help = "taps shared by a head, one per channel, matrices over heads, affine in the token "   \
             "(of low rank, or per head), softmax-normalised (static, or of the token), as long "  \
             "as the sequence, or fading exponentials"},                                           \
    {"conv.on", FIELD_SET, CONV_AT(type, member, on), "[q, k, v]", .choices = "q|k|v",             \
     .help = "which of queries, keys and values are convolved"},                                   \
    CONV_SHAPE_FIELDS("conv.", type, member, "false")
// clang-format on
