/* delta_net.c - see delta_net.h. */
#include "delta_net.h"

#include <math.h>

tensor *delta_net(block *b, const delta_config *c, tensor *x, tensor *decay) {
    graph *g = b->g;
    const int heads = (int)c->heads, width = (int)c->width;
    tensor *q = short_conv(b, "conv_q", block_linear(b, "wq", x, b->d_model), width, false),
           *k = short_conv(b, "conv_k", block_linear(b, "wk", x, b->d_model), width, false),
           *v = short_conv(b, "conv_v", block_linear(b, "wv", x, b->d_model), width, false);
    q = APPLY_WITH(g, l2norm, IN(q), .heads = heads, .eps = 1e-6);
    k = APPLY_WITH(g, l2norm, IN(k), .heads = heads, .eps = 1e-6);
    q = APPLY_WITH(g, map, IN(q), .kind = MAP_TIMES, .scale = 1 / sqrt(b->d_model / heads));
    tensor *beta = block_linear(b, "wbeta", x, heads);
    beta = APPLY_WITH(g, map, IN(beta), .kind = MAP_SIGMOID);
    tensor *o = decay ? APPLY_WITH(g, delta, IN(q, k, v, beta, decay), .heads = heads)
                      : APPLY_WITH(g, delta, IN(q, k, v, beta), .heads = heads);
    return gated_output(b, heads, o, x);
}

const char *delta_check(const void *settings, const model_config *m) {
    return heads_check(((const delta_config *)settings)->heads, m);
}

double delta_state_size(const void *settings, const model_config *m, long time) {
    const delta_config *c = settings;
    const double d = (double)m->d_model;
    (void)time;
    return d * d / (double)c->heads + (c->width ? 3 * (double)(c->width - 1) * d : 0);
}
