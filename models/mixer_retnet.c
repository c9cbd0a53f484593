/* mixer_retnet.c - retention (Sun et al. 2023, "Retentive network").
 *
 *   S_t = gamma_h S_{t-1} + k_t v_t^T, o_t = S_t^T q_t, gamma_h = 1 - 2^(-5-h); q, k turned by
 * their position (rotary), k scaled by D^-1/2; y = W_o (silu(x W_g) * rmsnorm_head(o))
 *
 * Values and the gate are twice as wide as the model, as in the paper. Parameters 8 C^2 + 2 D;
 * cost 16 C^2 + 10 C D per token forward; state 2 C D. */
#include "linear_attention.h"

#include "kernels/core/op.h"

#include <math.h>
#include <stdio.h>

typedef struct config {
    long heads, expand;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads"},
    {"expand", FIELD_INT, offsetof(config, expand), "2", 1, 16,
     .help = "width of the values over that of the model"},
};

static const char *check(const void *settings, const model_config *m) {
    static _Thread_local char text[160];
    const long heads = ((const config *)settings)->heads;
    if (heads_check(heads, m)) return heads_check(heads, m);
    if (m->d_model / heads % 2 == 0) return NULL;
    snprintf(text, sizeof text,
             "model.heads: %ld gives heads of %ld channels, which rotation needs in pairs", heads,
             m->d_model / heads);
    return text;
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const int heads = (int)c->heads;
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model * (int)c->expand);
    block_canon_b(b, &q, &k, &v);
    q = APPLY_WITH(b->g, rope, IN(q), .heads = heads);
    k = APPLY_WITH(b->g, rope, IN(k), .heads = heads);
    k = APPLY_WITH(b->g, map, IN(k), .kind = MAP_TIMES, .scale = 1 / sqrt(b->d_model / heads));
    tensor *o = APPLY_WITH(b->g, gla, IN(q, k, v), .heads = heads, .kind = GLA_RETNET);
    return gated_output(b, heads, o, x);
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    (void)time;
    return (double)(m->d_model * c->expand) * (double)(m->d_model / c->heads);
}

MIXER(retnet) = {
    .name = "retnet",
    .summary = "retention: linear attention with a fixed decay per head",
    .source = "Sun et al. 2023, arXiv 2307.08621",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
