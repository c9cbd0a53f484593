/* ffn_moe.c - a mixture of swiglu experts, of which each token takes its top_k.
 *
 *   y = sum_{e in top_k(z)} softmax(z[top_k])_e W2_e (silu(Wg_e x) * W1_e x),  z = x W_r
 *   training adds aux_loss (E sum_e P_e F_e + 0.1 mean_t logsumexp(z_t)^2) per sequence and layer,
 *   averaged over the sequences of a batch; P_e: mean router probability, F_e: share of the choices
 *
 * No expert has a capacity, so no token is dropped, and what a token computes depends on no other.
 * The loss is that of Fedus et al. 2021 and the z-loss of Zoph et al. 2022. They sum over a batch;
 * here a sequence is the unit, so that neither micro-batches nor packs change what is learned. The
 * router is always a plain linear layer. Inner width by default 8 C / (3 top_k) rounded up to 16:
 * the active parameters, 3 C inner top_k, are then those of ffn swiglu. Parameters
 * E C + 3 E C inner; cost 2 C E + 6 C inner top_k per token. */
#include "block.h"

#include <stdio.h>

typedef struct config {
    long experts, top_k, inner;
    double aux_loss;
} config;

static const field fields[] = {
    {"experts", FIELD_INT, offsetof(config, experts), "8", 1, 256, .help = "experts per layer"},
    {"top_k", FIELD_INT, offsetof(config, top_k), "2", 1, 256,
     .help = "experts that a token takes"},
    {"ffn_inner", FIELD_INT, offsetof(config, inner), "0", 0, 1 << 20,
     .help = "inner width of an expert, 0: 8/3 d_model / top_k rounded up to a multiple of 16"},
    {"aux_loss", FIELD_REAL, offsetof(config, aux_loss), "0.001", 0, 100,
     .help = "weight of the loss that evens out the use of experts"},
};

static const char *check(const void *settings, const model_config *m) {
    static _Thread_local char text[160];
    const config *c = settings;
    (void)m;
    if (c->top_k <= c->experts) return NULL;
    snprintf(text, sizeof text, "model.top_k: %ld is more than model.experts: %ld", c->top_k,
             c->experts);
    return text;
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    const int cols = b->d_model, experts = (int)c->experts, top = (int)c->top_k;
    const int inner = c->inner ? (int)c->inner : (8 * cols / (3 * top) + 15) / 16 * 16;
    const init start = {INIT_NORMAL, b->spec->common.init_std},
               end = {INIT_NORMAL, block_output_std(b)};
    tensor *router = block_param(b, "router", start, true, DIM(cols, experts)),
           *wg = block_param(b, "wg", start, true, DIM(experts, cols, inner)),
           *w1 = block_param(b, "w1", start, true, DIM(experts, cols, inner)),
           *w2 = block_param(b, "w2", end, true, DIM(experts, inner, cols));
    tensor *z = APPLY(g, linear, IN(x, router));
    tensor *weight = APPLY_WITH(g, route, IN(z), .steps = top);
    if (!weight) return NULL;
    tensor *choice = graph_node_of(g, weight)->aux;
    if (c->aux_loss > 0) {
        tensor *loss = APPLY(g, balance, IN(z, choice));
        weight = APPLY_WITH(g, charge, IN(weight, loss), .scale = c->aux_loss / b->spec->batch);
    }
    return APPLY_WITH(g, experts,
                      IN(block_left(b, x), weight, choice, block_right(b, wg), block_right(b, w1),
                         block_right(b, w2)),
                      .eps = block_left_eps(b));
}

FFN(moe) = {
    .name = "moe",
    .summary = "mixture of swiglu experts, the best few per token",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
};
