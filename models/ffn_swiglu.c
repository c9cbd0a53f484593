/* ffn_swiglu.c - y = W2 (silu(Wg x) * W1 x), inner width 8 C / 3 rounded up to 16 by default, so
 * that its parameters, 3 C inner, match those of a plain 4 C layer. Source: Shazeer 2020, "GLU
 * variants". */
#include "block.h"

typedef struct config {
    long inner;
} config;

static const field fields[] = {
    {"ffn_inner", FIELD_INT, offsetof(config, inner), "0", 0, 1 << 20,
     .help = "inner width, 0: 8/3 d_model rounded up to a multiple of 16"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    int inner = c->inner ? (int)c->inner : (8 * b->d_model / 3 + 15) / 16 * 16;
    tensor *gate = block_linear(b, "wg", x, inner), *up = block_linear(b, "w1", x, inner);
    gate = block_canon(b, CANON_D, "canon_gate", gate);
    up = block_canon(b, CANON_D, "canon_up", up);
    return block_output(b, "w2", APPLY(b->g, swiglu, IN(gate, up)));
}

FFN(swiglu) = {
    .name = "swiglu",
    .summary = "gated linear unit with silu gate",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
};
