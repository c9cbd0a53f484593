/* mixer_hyena.c - Hyena of order 2 (Poli et al. 2023).
 *
 *   x0, x1, v = conv_3(x W_{0,1,v}); u = v * x1; y_t = sum_k h_k u_{t-k} + d * u_t; out = W_o (y *
 * x0) h_k = window(k) * MLP(features(k)): sines of learned frequency between linear layers
 *
 * The filter of each channel is implicit: a small network of the position, times an exponential
 * window whose rate differs by channel. filter_length: the length that positions are measured in,
 * 0: the longest that is trained or evaluated. Parameters 4 C^2 + 9 C + the network; cost 8 C^2 +
 * 2 T C per token, of order C log T where the convolution is by transforms; state T C. */
#include "long_filter.h"

#include "kernels/core/op.h"

typedef struct config {
    long width, order, features, length;
} config;

static const field fields[] = {
    {"conv_width", FIELD_INT, offsetof(config, width), "3", 1, 64,
     .help = "taps of the short convolutions"},
    {"filter_width", FIELD_INT, offsetof(config, order), "64", 1, 1024,
     .help = "inner width of the network that makes the filter"},
    {"filter_features", FIELD_INT, offsetof(config, features), "33", 1, 255,
     .help = "features of the position, an odd number"},
    {"filter_length", FIELD_INT, offsetof(config, length), "0", 0, 1 << 24,
     .help = "length that positions are measured in, 0: the longest trained or evaluated"},
};

static const char *check(const void *settings, const model_config *m) {
    (void)m;
    return ((const config *)settings)->features % 2
               ? NULL
               : "model.filter_features: must be odd: the position, and pairs of sine and cosine";
}

static tensor *stream(block *b, const char *weight, const char *conv_name, tensor *x, int width) {
    tensor *y = block_linear(b, weight, x, b->d_model);
    return plain_conv(b, conv_name, y, width);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    const int width = (int)c->width;
    tensor *x0 = stream(b, "w0", "conv_0", x, width), *x1 = stream(b, "w1", "conv_1", x, width),
           *v = stream(b, "wv", "conv_v", x, width);
    tensor *u = APPLY(g, mul, IN(v, x1));
    const implicit_filter f = {(int)c->order, (int)c->features, (int)c->length};
    tensor *y = APPLY(g, conv, IN(u, filter_implicit(b, "filter", &f, u)));
    tensor *skip = block_param(b, "d", (init){INIT_NORMAL, 1}, false, DIM(b->d_model));
    y = APPLY(g, add, IN(y, APPLY(g, headscale, IN(u, skip))));
    return block_output(b, "wo", APPLY(g, mul, IN(y, x0)));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    return (double)m->d_model * ((double)time + 3 * (double)(c->width - 1));
}

MIXER(hyena) = {
    .name = "hyena",
    .summary = "gated long convolution with an implicit filter",
    .source = "Poli et al. 2023, arXiv 2302.10866",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
