/* mixer_rwkv6.c - time mixing of RWKV-6 "Finch" (Peng et al. 2024).
 *
 *   d = x_{t-1} - x, s = x + mu_x d, z_i = x + (mu_i + tanh(s A_i) B_i) d for i in r, k, v, w, g
 *   r, k, v = z W; decay = exp(-exp(w0 + tanh(z_w A) B)) per channel
 *   o_t = (S_{t-1} + diag(u) k_t v_t^T)^T r_t, S_t = diag(decay_t) S_{t-1} + k_t v_t^T per head
 *   out = W_o (groupnorm(o) * silu(z_g W_g))
 *
 * Ranks 32 (blends) and 64 (decay), or C / 2 where the model is narrower. Group norm: per head,
 * then a gain and an addend per channel. w0 starts from -6 to -1 over the channels, u as in rwkv4
 * without the logarithm. Parameters 5 C^2 + 10 C rank + 2 C rank_w + 10 C; state C (D + 1). */
#include "kernels/core/functions.h"
#include "kernels/core/op.h"
#include "linear_attention.h"
#include "rwkv.h"

#include <math.h>
#include <stdio.h>

typedef struct config {
    long heads;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads"},
};

static double decay_start(struct rng *draw, const tensor *t, size_t j) {
    const int cols = tensor_last(t);
    (void)draw;
    return cols > 1 ? -6 + 5 * pow((double)j / (cols - 1), 0.7) : -3;
}

static double bonus_start(struct rng *draw, const tensor *t, size_t j) {
    (void)draw;
    const int cols = tensor_last(t);
    const double ramp = cols > 1 ? 1 - (double)j / (cols - 1) : 0.5;
    return 0.5 * ramp + 0.1 * (double)((long)((j + 1) % 3) - 1);
}

static int rank_of(const block *b, int most) {
    const int half = b->d_model / 2 > 1 ? b->d_model / 2 : 1;
    return half < most ? half : most;
}

/* tanh(x A) B [.., C]; A starts at 0, so that this does too. */
static tensor *low_rank(block *b, const char *name, tensor *x, int rank) {
    char a_name[32], b_name[32];
    snprintf(a_name, sizeof a_name, "%s_a", name);
    snprintf(b_name, sizeof b_name, "%s_b", name);
    tensor *h = block_matrix(b, a_name, x, rank, (init){INIT_CONST, 0});
    h = APPLY_WITH(b->g, map, IN(h), .kind = MAP_TANH);
    return block_matrix(b, b_name, h, b->d_model, (init){INIT_UNIFORM, 0.01});
}

/* One of the five streams: x blended with the token before, by data; NAME is r, k, v, w or g. */
static tensor *stream(block *b, const char *name, tensor *x, tensor *before, tensor *seen) {
    char mu_name[16], rank_name[16];
    snprintf(mu_name, sizeof mu_name, "mu_%s", name);
    snprintf(rank_name, sizeof rank_name, "blend_%s", name);
    tensor *mu = block_param(b, mu_name, (init){INIT_CONST, 0.5}, false, DIM(b->d_model));
    tensor *by_data = low_rank(b, rank_name, seen, rank_of(b, 32));
    return APPLY(b->g, lerp, IN(x, before, APPLY(b->g, bias, IN(by_data, mu))));
}

/* Per head, with the authors' eps of 64e-5; then a gain and an addend per channel. */
static tensor *group_norm(block *b, int heads, tensor *o) {
    if (!o) return NULL;
    graph *g = b->g;
    const int cols = b->d_model, dim = cols / heads;
    tensor *gain = block_param(b, "group_gain", (init){INIT_CONST, 1}, false, DIM(cols)),
           *addend = block_param(b, "group_bias", (init){INIT_CONST, 0}, false, DIM(cols));
    tensor *one = APPLY_WITH(g, fill, IN(gain), .heads = dim, .scale = 1),
           *zero = APPLY_WITH(g, fill, IN(gain), .heads = dim);
    o = APPLY_WITH(g, layernorm, IN(o, one, zero), .eps = 64e-5);
    return APPLY(g, bias, IN(APPLY(g, headscale, IN(o, gain)), addend));
}

static const char *check(const void *settings, const model_config *m) {
    return heads_check(((const config *)settings)->heads, m);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    graph *g = b->g;
    const int heads = (int)((const config *)settings)->heads, cols = b->d_model;
    tensor *before = APPLY(g, shift, IN(x)), *seen = token_blend(b, "mu_x", x, before);
    tensor *r = block_linear(b, "wr", stream(b, "r", x, before, seen), cols),
           *k = block_linear(b, "wk", stream(b, "k", x, before, seen), cols),
           *v = block_linear(b, "wv", stream(b, "v", x, before, seen), cols),
           *gate = block_linear(b, "wg", stream(b, "g", x, before, seen), cols);
    tensor *w = low_rank(b, "decay", stream(b, "w", x, before, seen), rank_of(b, 64));
    w = APPLY(g, bias, IN(w, block_formula(b, "decay", decay_start, DIM(cols))));
    w = APPLY_WITH(g, map, IN(w), .kind = MAP_NEG_EXP);
    tensor *u = block_formula(b, "bonus", bonus_start, DIM(cols));
    tensor *o = APPLY_WITH(g, gla, IN(r, k, v, w, u), .heads = heads, .kind = GLA_CHANNEL);
    o = group_norm(b, heads, o);
    return block_output(b, "wo", APPLY(g, swiglu, IN(gate, o)));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const double d = (double)m->d_model;
    (void)time;
    return d * (d / (double)((const config *)settings)->heads + 1);
}

MIXER(rwkv6) = {
    .name = "rwkv6",
    .summary = "RWKV-6: a matrix state with decays and blends that depend on data",
    .source = "Peng et al. 2024, arXiv 2404.05892",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
