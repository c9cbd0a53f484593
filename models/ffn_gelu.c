/* ffn_gelu.c - y = W2 gelu(W1 x), inner width 4 C by default. Parameters 2 C inner.
 * Source: Hendrycks and Gimpel 2016 (gelu, exact form); width as in Vaswani et al. 2017. */
#include "block.h"

typedef struct config {
    long inner;
} config;

static const field fields[] = {
    {"ffn_inner", FIELD_INT, offsetof(config, inner), "0", 0, 1 << 20,
     .help = "inner width, 0: 4 d_model"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    int inner = c->inner ? (int)c->inner : 4 * b->d_model;
    tensor *h = block_canon(b, CANON_D, "canon_up", block_linear(b, "w1", x, inner));
    return block_output(b, "w2", APPLY(b->g, gelu, IN(h)));
}

FFN(gelu) = {
    .name = "gelu",
    .summary = "two linear layers around a gelu",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
};
