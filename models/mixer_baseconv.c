/* mixer_baseconv.c - the gated convolution that stands for its class (Arora et al. 2023,
 * "Zoology").
 *
 *   out = conv(x) * (x W + b_w) + x, conv with bias, short (conv_width) or, with conv_width 0, as
 *   long as the sequence, with the implicit filter of Hyena
 *
 * Parameters C^2 + C + (W + 1) C; cost 2 C^2 + 2 W C per token; state (W - 1) C. */
#include "kernels/core/op.h"
#include "long_filter.h"

typedef struct config {
    long width;
} config;

static const field fields[] = {
    {"conv_width", FIELD_INT, offsetof(config, width), "3", 0, 64,
     .help = "taps, 0: a filter as long as the sequence"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const int width = (int)((const config *)settings)->width;
    const implicit_filter implicit = {64, 33, 0};
    graph *g = b->g;
    tensor *y = width ? plain_conv(b, "conv", x, width)
                      : APPLY(g, conv, IN(x, filter_implicit(b, "filter", &implicit, x)));
    const init start = {INIT_NORMAL, b->spec->common.init_std};
    tensor *w = block_param(b, "w", start, true, DIM(b->d_model, b->d_model)),
           *shift = block_param(b, "w.bias", (init){INIT_CONST, 0}, false, DIM(b->d_model));
    tensor *gate = APPLY(g, linear, IN(block_left(b, x), block_right(b, w)));
    gate = block_after_linear(b, "w", APPLY(g, bias, IN(gate, shift)));
    return APPLY(g, add, IN(APPLY(g, mul, IN(y, gate)), x));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const long width = ((const config *)settings)->width;
    return (double)m->d_model * (double)(width ? width - 1 : time);
}

MIXER(baseconv) = {
    .name = "baseconv",
    .summary = "convolution times a linear gate",
    .source = "Arora et al. 2023, arXiv 2312.04927, section 4.2",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
    .state_size = state_size,
};
