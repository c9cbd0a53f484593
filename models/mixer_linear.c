/* mixer_linear.c - linear attention (Katharopoulos et al. 2020).
 *
 *   S_t = S_{t-1} + phi(k_t) v_t^T, n_t = n_{t-1} + phi(k_t), o_t = phi(q_t)^T S_t / (phi(q_t)^T
 * n_t
 *   + eps), phi = elu + 1, per head
 *
 * Parameters 4 C^2; cost 8 C^2 + 5 C D per token forward; state C (D + 1). */
#include "linear_attention.h"

typedef struct config {
    long heads;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads"},
};

static const char *check(const void *settings, const model_config *m) {
    return heads_check(((const config *)settings)->heads, m);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const int heads = (int)((const config *)settings)->heads;
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model);
    block_canon_b(b, &q, &k, &v);
    q = APPLY_WITH(b->g, map, IN(q), .kind = MAP_ELU1);
    k = APPLY_WITH(b->g, map, IN(k), .kind = MAP_ELU1);
    return block_output(b, "wo", linear_attention(b, heads, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    (void)time;
    const double d = (double)m->d_model;
    return d * (d / (double)((const config *)settings)->heads + 1);
}

MIXER(linear) = {
    .name = "linear",
    .summary = "linear attention with elu + 1 features",
    .source = "Katharopoulos et al. 2020, arXiv 2006.16236",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
