/* ffn_rwkv.c - channel mixing of RWKV: y = sigmoid(z_r W_r) * (relu(z_k W_k)^2 W_v), with
 * z_i = x + mu_i (x_{t-1} - x). Inner width 4 C by default. Source: Peng et al. 2023. */
#include "kernels/core/functions.h"
#include "rwkv.h"

typedef struct config {
    long inner;
} config;

static const field fields[] = {
    {"ffn_inner", FIELD_INT, offsetof(config, inner), "0", 0, 1 << 20,
     .help = "inner width, 0: 4 d_model"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    tensor *before = APPLY(g, shift, IN(x));
    tensor *k = block_linear(b, "wk", token_blend(b, "mu_k", x, before),
                             c->inner ? (int)c->inner : 4 * b->d_model);
    k = block_canon(b, CANON_D, "canon_up", k);
    k = APPLY_WITH(g, map, IN(k), .kind = MAP_RELU2);
    tensor *r = block_linear(b, "wr", token_blend(b, "mu_r", x, before), b->d_model);
    r = block_canon(b, CANON_D, "canon_gate", r);
    r = APPLY_WITH(g, map, IN(r), .kind = MAP_SIGMOID);
    return APPLY(g, mul, IN(r, block_output(b, "wv", k)));
}

FFN(rwkv) = {
    .name = "rwkv",
    .summary = "channel mixing of RWKV: squared relu with a sigmoid gate",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
};
