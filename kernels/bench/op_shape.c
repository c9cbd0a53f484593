/* op_shape.c - see op_shape.h. LARGE and the macros below shorten the table. */
#include "op_shape.h"

#include "kernels/core/functions.h"
#include "kernels/core/work.h"

#include <math.h>
#include <string.h>

enum { SHRINK = 16, MANY = 1 << 26 };

/* Marks a dimension, or an int value, that a CPU gets SHRINK times smaller, but at least 1. */
#define LARGE(n) (-(n))

#define X(...)                                                                                     \
    {                                                                                              \
        sizeof((int[]){__VA_ARGS__}) / sizeof(int), { __VA_ARGS__ }                                \
    }
#define INT(v, ...)                                                                                \
    { sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}, .below = (v) }
#define POSITIVE(n)                                                                                \
    { 1, {n}, .lo = .01, .hi = 1, .fixed = true }
#define FLAT(n)                                                                                    \
    { 1, {n}, .fixed = true }
#define SCALAR                                                                                     \
    { 0, {0}, .lo = .1, .hi = .2, .fixed = true }
#define VALUES(n, ...)                                                                             \
    { 1, {n}, .value = (const double[]){__VA_ARGS__}, .fixed = true }
#define VALUES_INT(rank, ...)                                                                      \
    {                                                                                              \
        (rank), {(rank) == 1 ? 3 : 1, 3}, .below = 1 << 30, .shared = true,                        \
                                          .value = (const double[]) {                              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define IN_RANGE(low, high, ...)                                                                   \
    { sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}, .lo = (low), .hi = (high) }
#define LOG_DECAY(...) IN_RANGE(-1, -.01, __VA_ARGS__)
#define LENGTH_OF(...) /* what only says how long something is */                                  \
    { sizeof((int[]){__VA_ARGS__}) / sizeof(int), {__VA_ARGS__}, .fixed = true }
#define HYPER  VALUES(8, 1e-4, .1, .9, .95, 1e-8, 1, 3, 1)
#define TICK   VALUES_INT(1, 7, 0, 1)
#define SEG(n) VALUES_INT(2, 0, n, 1)

const op_shape op_shapes[] = {
    {OP_add, 1, .c = {.in = {X(LARGE(MANY)), X(LARGE(MANY))}}},
    {OP_mul, 1, .c = {.in = {X(LARGE(MANY)), X(LARGE(MANY))}}},
    {OP_lerp, 1, .c = {.in = {X(LARGE(65536), 1024), X(LARGE(65536), 1024), X(1024)}}},
    {OP_lerp, 1,
     .c = {.in = {X(LARGE(65536), 1024), X(LARGE(65536), 1024), X(LARGE(65536), 1024)}}},
    {OP_fill, 1, .c = {.in = {LENGTH_OF(LARGE(65536), 1)}, .arg = {.heads = 1024, .scale = 1}}},
    {OP_map, 1, .c = {.in = {X(LARGE(MANY))}, .arg = {.kind = MAP_SIGMOID}}},
    {OP_bias, 1, .c = {.in = {X(LARGE(65536), 1024), X(1024)}}},
    {OP_bias, 32, .c = {.in = {X(64, 64, 64), X(64)}}},
    {OP_silu, 1, .c = {.in = {X(LARGE(MANY))}}},
    {OP_gelu, 1, .c = {.in = {X(LARGE(MANY))}}},
    {OP_swiglu, 1, .c = {.in = {X(LARGE(MANY)), X(LARGE(MANY))}}},
    {OP_headscale, 1, .c = {.in = {X(LARGE(65536), 1024), X(16)}}},
    {OP_groupscale, 1, .c = {.in = {X(LARGE(65536), 1024), X(LARGE(65536), 16)}}},
    {OP_groupsoftmax, 1, .c = {.in = {X(LARGE(1 << 20), 64)}, .arg = {.steps = 4}}},
    {OP_groupsoftmax, 1, .c = {.in = {X(LARGE(65536), 1024)}}},
    {OP_repeat, 1, .c = {.in = {X(LARGE(65536), 256)}, .arg = {.heads = 4, .steps = 4}}},
    {OP_shift, 1, .c = {.in = {X(LARGE(64), 1024, 1024)}}},
    {OP_shift, 32, .c = {.in = {X(64, 64, 64)}}},
    {OP_rope, 1, .c = {.in = {X(LARGE(64), 1024, 1024)}, .arg = {.heads = 16}}},
    {OP_position, 1, .c = {.in = {X(LARGE(64), 1024, 1024), X(1024, 1024)}}},
    {OP_position, 1, .c = {.in = {X(LARGE(64), 1024, 1024)}}},
    {OP_dropout, 1, .c = {.in = {X(LARGE(64), 1024, 1024), SCALAR, INT(1 << 30, 2), TICK}}},
    {OP_embed, 1, .c = {.in = {INT(32768, LARGE(65536)), X(32768, 512)}}},
    {OP_embed, 32, .c = {.in = {INT(256, 64, 64), X(256, 64)}}},
    {OP_rmsnorm, 1, .c = {.in = {X(LARGE(32768), 1024), X(1024)}, .arg = {.eps = 1e-5}}},
    {OP_rmsnorm, 32, .c = {.in = {X(64, 64, 64), X(64)}, .arg = {.eps = 1e-5}}},
    {OP_layernorm, 1, .c = {.in = {X(LARGE(32768), 1024), X(1024), X(1024)}, .arg = {.eps = 1e-5}}},
    {OP_layernorm, 32, .c = {.in = {X(64, 64, 64), X(64), X(64)}, .arg = {.eps = 1e-5}}},
    {OP_l2norm, 1, .c = {.in = {X(LARGE(32768), 1024)}, .arg = {.heads = 16}}},
    {OP_conv, 1, .c = {.in = {X(LARGE(4), 4096, 2048), X(4, 2048), X(2048)}}},
    {OP_conv, 1, .c = {.in = {X(LARGE(4), 4096, 2048), X(4, 16)}}},
    {OP_conv, 1, .c = {.in = {X(LARGE(4), 4096, 512), X(64, 8)}}},
    {OP_conv, 32, .c = {.in = {X(64, 64, 64), X(4, 64)}}},
    {OP_conv, 1, .c = {.in = {X(8, 256, 128), X(4, 128)}},
     .role = YARDSTICK},                                                    /* static, depthwise */
    {OP_conv, 1, .c = {.in = {X(8, 256, 128), X(4, 2)}}, .role = COMPARED}, /* scalar per head */
    {OP_conv, 1, .c = {.in = {X(8, 256, 128), X(256, 128)}}, .role = COMPARED}, /* long */
    {OP_mixconv, 1, .c = {.in = {X(8, 256, 128), X(4, 2, 2)}}, .role = COMPARED},
    {OP_rankconv, 1, .c = {.in = {X(8, 256, 128), X(8, 256, 16), X(16, 4, 128), X(4, 128)}},
     .role = COMPARED},
    {OP_rankconv, 1,
     .c = {.in = {X(LARGE(4), 2048, 1024), X(LARGE(4), 2048, 16), X(16, 4, 1024), X(4, 1024)}}},
    {OP_rankconv, 32, .c = {.in = {X(64, 64, 64), X(64, 64, 16), X(16, 4, 64), X(4, 64)}}},
    {OP_tokenconv, 1, .c = {.in = {X(8, 256, 128), X(8, 256, 8)}, .arg = {.heads = 2}},
     .role = COMPARED},
    {OP_tokenconv, 1,
     .c = {.in = {X(LARGE(4), 2048, 1024), X(LARGE(4), 2048, 64)}, .arg = {.heads = 16}}},
    {OP_tokenconv, 32, .c = {.in = {X(64, 64, 64), X(64, 64, 16)}, .arg = {.heads = 4}}},
    {OP_mixconv, 1, .c = {.in = {X(LARGE(4), 2048, 1024), X(4, 16, 16)}}},
    {OP_mixconv, 32, .c = {.in = {X(64, 64, 64), X(4, 4, 4)}}},
    {OP_features, 1,
     .c = {.in = {LENGTH_OF(1, LARGE(1 << 20), 1)}, .arg = {.heads = 33, .steps = 1024}}},
    {OP_expfilter, 1,
     .c = {.in = {LENGTH_OF(1, LARGE(16384), 1), X(512, 16), IN_RANGE(.01, 1, 512, 16)}}},
    {OP_linear, 1, .c = {.in = {X(LARGE(8192), 1024), X(1024, 1024), X(1024)}}},
    {OP_linear, 32, .c = {.in = {X(64, 64, 64), X(64, 64), X(64)}}},
    {OP_experts, 1,
     .c = {.in = {X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 2), INT(8, LARGE(16), 1024, 2),
                  X(8, 512, 688), X(8, 512, 688), X(8, 688, 512)}}},
    {OP_experts, 32,
     .c = {.in = {X(32, 64, 64), X(32, 64, 2), INT(8, 32, 64, 2), X(8, 64, 96), X(8, 64, 96),
                  X(8, 96, 64)}}},
    {OP_route, 1, .c = {.in = {X(LARGE(1 << 20), 8)}, .arg = {.steps = 2}}},
    {OP_route, 32, .c = {.in = {X(2048, 8)}, .arg = {.steps = 2}}},
    {OP_balance, 1, .c = {.in = {X(LARGE(1024), 1024, 8), INT(8, LARGE(1024), 1024, 2)}}},
    {OP_balance, 32, .c = {.in = {X(32, 64, 8), INT(8, 32, 64, 2)}}},
    {OP_charge, 1, .c = {.in = {X(LARGE(MANY)), X(64)}, .arg = {.scale = 0.01}}},
    {OP_ternary, 1, .c = {.in = {X(LARGE(8192), 8192)}}},
    {OP_ternary, 32, .c = {.in = {X(64, 64)}}},
    {OP_quant8, 1, .c = {.in = {X(LARGE(32768), 1024)}}},
    {OP_quant8, 32, .c = {.in = {X(64, 64, 64)}}},
    {OP_attention, 1,
     .c = {.in = {X(LARGE(8), 1024, 512), X(LARGE(8), 1024, 512), X(LARGE(8), 1024, 512)},
           .arg = {.heads = 8}}},
    {OP_attention, 32,
     .c = {.in = {X(32, 64, 64), X(32, 64, 64), X(32, 64, 64)}, .arg = {.heads = 2}}},
    {OP_gla, 1,
     .c = {.in = {X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512),
                  LOG_DECAY(LARGE(16), 1024, 8)},
           .arg = {.heads = 8, .kind = GLA_HEAD}}},
    {OP_gla, 1,
     .c = {.in = {X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512),
                  LOG_DECAY(LARGE(16), 1024, 512), X(512)},
           .arg = {.heads = 8, .kind = GLA_CHANNEL}}},
    {OP_gla, 32, .c = {.in = {X(32, 64, 64), X(32, 64, 64), X(32, 64, 64)}, .arg = {.heads = 2}}},
    {OP_delta, 1,
     .c = {.in = {X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512), X(LARGE(16), 1024, 512),
                  IN_RANGE(.05, 1, LARGE(16), 1024, 8), LOG_DECAY(LARGE(16), 1024, 8)},
           .arg = {.heads = 8}}},
    {OP_delta, 32,
     .c = {.in = {X(32, 64, 64), X(32, 64, 64), X(32, 64, 64), IN_RANGE(.05, 1, 32, 64, 2)},
           .arg = {.heads = 2}}},
    {OP_scan, 1,
     .c = {.in = {X(LARGE(16), 1024, 1024), IN_RANGE(.01, 1, LARGE(16), 1024, 1024),
                  IN_RANGE(-4, -.1, 1024, 16), X(LARGE(16), 1024, 16), X(LARGE(16), 1024, 16),
                  X(1024)}}},
    {OP_scan, 32,
     .c = {.in = {X(32, 64, 128), IN_RANGE(.01, 1, 32, 64, 128), IN_RANGE(-4, -.1, 128, 16),
                  X(32, 64, 16), X(32, 64, 16), X(128)}}},
    {OP_wkv, 1,
     .c = {.in = {IN_RANGE(.01, 2, 1024), X(1024), IN_RANGE(-3, 3, LARGE(16), 1024, 1024),
                  X(LARGE(16), 1024, 1024)}}},
    {OP_wkv, 32,
     .c = {.in = {IN_RANGE(.01, 2, 64), X(64), IN_RANGE(-3, 3, 64, 64, 64), X(64, 64, 64)}}},
    {OP_taylor, 1, .c = {.in = {X(LARGE(8192), 256)}, .arg = {.heads = 16}}},
    {OP_favor, 1, .c = {.in = {X(LARGE(8192), 512), X(256, 64)}, .arg = {.eps = 1e-6}}},
    {OP_landmark, 1,
     .c = {.in = {X(LARGE(8), 1024, 512), X(LARGE(8), 1024, 512)},
           .arg = {.heads = 8, .steps = 32}}},
    {OP_choose, 1,
     .c = {.in = {{2, {LARGE(8192), 256}, .fixed = true}, X(LARGE(8192), 256)},
           .arg = {.heads = 8}}},
    {OP_blockattend, 1,
     .c = {.in = {X(LARGE(8), 1024, 512),
                  X(LARGE(8), 1024, 512),
                  X(LARGE(8), 1024, 512),
                  {3, {LARGE(8), 1024, 256}, .lo = .1, .hi = 1}},
           .arg = {.heads = 8, .steps = 32}}},
    {OP_head, 1,
     .c = {.in = {X(LARGE(8192), 512), X(32768, 512), INT(32768, LARGE(8192)), SCALAR}}},
    {OP_head, 32, .c = {.in = {X(64, 64, 64), X(256, 64), INT(256, 64, 64), SCALAR}}},
    {OP_logits, 1, .c = {.in = {X(LARGE(8192), 512), X(32768, 512)}}},
    {OP_tally, 1, .c = {.in = {FLAT(LARGE(MANY)), INT(100, LARGE(MANY)), INT(100, LARGE(MANY))}}},
    {OP_gradnorm, 1, .c = {.in = {FLAT(LARGE(MANY)), SEG(LARGE(MANY))}}},
    {OP_gradnorm, 32, .c = {.in = {FLAT(65536), SEG(65536)}}},
    {OP_adamw, 1,
     .c = {.in = {FLAT(LARGE(MANY)), FLAT(LARGE(MANY)), POSITIVE(LARGE(MANY)), FLAT(LARGE(MANY)),
                  SCALAR, HYPER, SEG(LARGE(MANY))}}},
    {OP_adamw, 32,
     .c = {.in = {FLAT(65536), FLAT(65536), POSITIVE(65536), FLAT(65536), SCALAR, HYPER,
                  SEG(65536)}}},
};
const int n_op_shapes = sizeof op_shapes / sizeof *op_shapes;

double op_shape_scaled(double v, const backend *b) {
    const double shrink = strncmp(b->name, "cuda", 4) ? SHRINK : 1;
    return v < 0 ? fmax(1, -v / shrink) : v;
}

op_case op_shape_case(const op_shape *s, const backend *b) {
    op_case c = s->c;
    for (int i = 0; i < MAX_IN; i++)
        for (int k = 0; k < c.in[i].rank; k++)
            c.in[i].dim[k] = (int)op_shape_scaled(c.in[i].dim[k], b);
    return c;
}
