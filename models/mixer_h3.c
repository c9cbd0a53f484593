/* mixer_h3.c - H3 (Fu et al. 2023, "Hungry hungry hippos").
 *
 *   out = W_o (q * ssm(shift(k) * v)), q, k, v = x W; shift: a short filter per channel (the shift
 *   state space model), ssm: a long filter of fading exponentials per channel, plus d times its
 * input
 *
 * The diagonal model has real poles here (the paper: complex ones); its filter is built in full and
 * applied as a convolution. Parameters 4 C^2 + (W + 1 + 2 N + 1) C; cost 8 C^2 + 2 T C per token;
 * state C (N + W - 1). */
#include "long_filter.h"

typedef struct config {
    long width, state;
} config;

static const field fields[] = {
    {"conv_width", FIELD_INT, offsetof(config, width), "4", 1, 64, .help = "taps of the shift"},
    {"state", FIELD_INT, offsetof(config, state), "64", 1, 1024,
     .help = "exponentials per channel in the long filter"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model);
    tensor *u = APPLY(g, mul, IN(plain_conv(b, "conv_k", k, (int)c->width), v));
    tensor *y = APPLY(g, conv, IN(u, filter_exponential(b, "filter", (int)c->state, u)));
    tensor *skip = block_param(b, "d", (init){INIT_NORMAL, 1}, false, DIM(b->d_model));
    y = APPLY(g, add, IN(y, APPLY(g, headscale, IN(u, skip))));
    return block_output(b, "wo", APPLY(g, mul, IN(q, y)));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    (void)time;
    return (double)m->d_model * (double)(c->state + c->width - 1);
}

MIXER(h3) = {
    .name = "h3",
    .summary = "two gates around a shift and a diagonal state space model",
    .source = "Fu et al. 2023, arXiv 2212.14052",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
    .state_size = state_size,
};
