/* mixer_acmix.c - attention and convolution from the same projections (Pan et al. 2022, ACmix).
 *
 *   q = x W_q, k = x W_k, v = x W_v;  a = softmax attention of q, k, v per head
 *   c_{t,h} = sum_{i < W} sum_g (F^q_{i,h,g} q_{t-i,g} + F^k_{i,h,g} k_{t-i,g} + F^v_{i,h,g}
 * v_{t-i,g}) y = (r_a a + r_c c) W_o, heads h and g, two learned rates r that start at 1/2
 *
 * From the paper: shared projections, a light layer over the 3 H heads that makes one map per tap,
 * the sum of the shifted maps, and the rates. Ours: time in place of two dimensions, causal; the
 * light layer and the shifts, two linear steps, are one convolution F that mixes heads, with maps
 * of its own for each output head (the paper starts all heads alike and learns the shift kernels);
 * positions as in attention here (rope, alibi) in place of the paper's relative ones, on the
 * attention branch only, as are norms of q and k; W_o, without which heads would not mix. What
 * changes the projections themselves, such as Canon layers B, both branches see.
 * Start: F uniform in +-1 / sqrt(3 H W). Parameters 4 C^2 + 3 W H^2 + 2; cost 8 C^2 + 4 T C +
 * 6 W H C per token forward; state 2 T C + (W - 1) C. */
#include "attend.h"

#include "kernels/core/op.h"

#include <math.h>

typedef struct config {
    attend_config attention;
    long width;
} config;

static const field fields[] = {
    ATTEND_HEADS(config, attention, "heads of both branches"),
    {"width", FIELD_INT, offsetof(config, width), "3", 1, 64,
     .help = "taps of the convolution, the current token included"},
    ATTEND_FIELDS(config, attention),
};

static const char *check(const void *settings, const model_config *m) {
    return attend_check(((const config *)settings)->attention.heads, m);
}

static tensor *mixed(block *b, const config *c, const char *name, tensor *x) {
    const int heads = (int)c->attention.heads, width = (int)c->width;
    tensor *w = block_param(b, name, (init){INIT_UNIFORM, 1 / sqrt(3.0 * heads * width)}, false,
                            DIM(width, heads, heads));
    return APPLY(b->g, mixconv, IN(x, w));
}

static tensor *rated(block *b, const char *name, tensor *x) {
    tensor *rate = block_param(b, name, (init){INIT_CONST, 0.5}, false, DIM(1));
    return APPLY_WITH(b->g, headscale, IN(x, rate), .heads = 1);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model);
    block_canon_b(b, &q, &k, &v);
    tensor *conv = APPLY(g, add, IN(mixed(b, c, "conv_q", q), mixed(b, c, "conv_k", k)));
    conv = APPLY(g, add, IN(conv, mixed(b, c, "conv_v", v)));
    tensor *sum = APPLY(g, add,
                        IN(rated(b, "rate_attention", attend(b, &c->attention, q, k, v)),
                           rated(b, "rate_conv", conv)));
    return block_output(b, "wo", sum);
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    const long recent = c->width - 1 < time ? c->width - 1 : time;
    long kept = c->attention.window && c->attention.window < time ? c->attention.window : time;
    if (kept < recent) kept = recent; /* the convolution wants keys and values too */
    return (double)(2 * kept + recent) * (double)m->d_model;
}

MIXER(acmix) = {
    .name = "acmix",
    .summary = "attention and convolution from shared projections, at learned rates",
    .source = "Pan et al. 2022, arXiv 2111.14556; causal in time, ours",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
