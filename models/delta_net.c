/* delta_net.c - see delta_net.h. */
#include "delta_net.h"

#include <math.h>

tensor *delta_net(block *b, const delta_config *c, tensor *x, tensor *decay) {
    graph *g = b->g;
    const int heads = (int)c->heads;
    tensor *q = block_canon(b, CANON_B, "canon_q", block_linear(b, "wq", x, b->d_model)),
           *k = block_canon(b, CANON_B, "canon_k", block_linear(b, "wk", x, b->d_model)),
           *v = block_canon(b, CANON_B, "canon_v", block_linear(b, "wv", x, b->d_model));
    q = short_conv_of(b, &c->conv, "conv_q", q, false);
    k = short_conv_of(b, &c->conv, "conv_k", k, false);
    v = short_conv_of(b, &c->conv, "conv_v", v, false);
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
    const delta_config *c = settings;
    const char *why = short_check(&c->conv, m->d_model);
    return why ? why : heads_check(c->heads, m);
}

double delta_state_size(const void *settings, const model_config *m, long time) {
    const delta_config *c = settings;
    const double d = (double)m->d_model;
    (void)time;
    return d * d / (double)c->heads + (c->conv.width ? 3 * (double)(c->conv.width - 1) * d : 0);
}
