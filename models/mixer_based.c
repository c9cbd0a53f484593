/* mixer_based.c - linear attention with Taylor features (Arora et al. 2024, "Based").
 *
 *   phi(x) = (1, x d'^-1/4, vec(x x^T) / sqrt(2 d')), so phi(q) . phi(k) = 1 + s + s^2 / 2 with
 *   s = q . k / sqrt(d'); o_t = sum_{j <= t} phi(q_t) . phi(k_j) v_j / sum_{j <= t} phi(q_t) .
 *   phi(k_j) per head, q = x W_q and k = x W_k with d' channels per head, v = x W_v with C / H
 *
 * Denominators have 1e-6 added. The weights are those of softmax to second order, and positive.
 * Sums are float32. The paper's hybrids with sliding windows and gated convolutions are
 * model.mixers: [based, attention, ...]. Parameters 2 C^2 + 2 C H d'; cost twice that + 5 C F + 5 H
 * F D (F = 1 + d' + d'^2 features, the second sum makes the denominators) per token forward; state
 * H F (D + 1). */
#include "linear_attention.h"

#include "kernels/core/op.h"

typedef struct config {
    long heads, feature_dim;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads"},
    {"feature_dim", FIELD_INT, offsetof(config, feature_dim), "16", 1, TAYLOR_MAX_DIM,
     .help = "channels d' of a head's queries and keys; they become 1 + d' + d'^2 features"},
};

static const char *check(const void *settings, const model_config *m) {
    return heads_check(((const config *)settings)->heads, m);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const int heads = (int)c->heads, width = heads * (int)c->feature_dim;
    tensor *q = block_linear(b, "wq", x, width), *k = block_linear(b, "wk", x, width),
           *v = block_linear(b, "wv", x, b->d_model);
    q = APPLY_WITH(b->g, taylor, IN(q), .heads = heads);
    k = APPLY_WITH(b->g, taylor, IN(k), .heads = heads);
    return block_output(b, "wo", linear_attention(b, heads, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    const double d = (double)c->feature_dim;
    (void)time;
    return (1 + d + d * d) * (double)(m->d_model + c->heads);
}

MIXER(based) = {
    .name = "based",
    .summary = "linear attention with second-order Taylor features",
    .source = "Arora et al. 2024, arXiv 2402.18668",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
