/* mixer_performer.c - softmax attention estimated by random features (Choromanski et al. 2021,
 * FAVOR+).
 *
 *   phi(x)_m = M^-1/2 (exp(w_m . u - |u|^2 / 2) + eps), u = x D^-1/4; o_t = sum_{j <= t} phi(q_t) .
 *   phi(k_j) v_j / sum_{j <= t} phi(q_t) . phi(k_j) per head
 *
 * Denominators have 1e-6 added. With eps = 0 the mean of phi(q) . phi(k) over the draws is exp(q .
 * k / sqrt(D)). The directions w [M,D] are drawn once from the run's seed and never trained: blocks
 * of D orthogonal rows, each of the length of a normal vector of its own (without these lengths the
 * estimate is of another kernel). One set per layer serves all heads. Official code subtracts
 * maxima over the features of a query and over all keys; the second sees the future, so nothing is
 * subtracted here: |u|^2 / 2 bounds every feature by e^(|w|^2 / 2). Parameters 4 C^2, and M D fixed
 * numbers that count as parameters; cost 8 C^2 + 14 C M + 5 H M D per token forward; state H M (D +
 * 1). */
#include "linear_attention.h"

#include "kernels/core/op.h"

#include <math.h>

typedef struct config {
    long heads, features;
    double eps;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads"},
    {"features", FIELD_INT, offsetof(config, features), "0", 0, GLA_MAX_KEY,
     .help = "random features per head; 0: D log D, at most 1024, D channels of a head"},
    {"eps", FIELD_REAL, offsetof(config, eps), "1e-6", 0, 1,
     .help = "added to every feature before its scale"},
};

static const char *check(const void *settings, const model_config *m) {
    return heads_check(((const config *)settings)->heads, m);
}

static long features_of(const config *c, long d_model) {
    const double dim = (double)(d_model / c->heads);
    return c->features ? c->features : lround(fmin(fmax(dim * log(dim), 1), GLA_MAX_KEY));
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const int heads = (int)c->heads, features = (int)features_of(c, b->d_model);
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model);
    tensor *w = block_param(b, "directions", (init){INIT_ORTHOGONAL, 0}, false,
                            DIM(features, b->d_model / heads));
    w->fixed = true;
    q = APPLY_WITH(b->g, favor, IN(q, w), .eps = c->eps);
    k = APPLY_WITH(b->g, favor, IN(k, w), .eps = c->eps);
    return block_output(b, "wo", linear_attention(b, heads, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    (void)time;
    return (double)(features_of(c, m->d_model) * (m->d_model + c->heads));
}

MIXER(performer) = {
    .name = "performer",
    .summary = "attention estimated by positive orthogonal random features",
    .source = "Choromanski et al. 2021, arXiv 2009.14794",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
