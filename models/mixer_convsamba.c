/* mixer_convsamba.c - gated dilated convolutions with a wide span.
 *
 *   out = W_o (silu(x W_g) * conv_{32, d}(x W_v)), dilation d = 2^(layer mod 9), one filter per
 *   channel
 *
 * No public paper or code describes it: this definition is ours, from the words "rotary positions,
 * multi-head depthwise convolution, 32 taps, dilations 1 to 256, gate". `rope: true` turns the
 * values by their position (an ablation). A layer of dilation d sees 31 d + 1 tokens. Nearest
 * published relatives: gated convolutional networks (Dauphin et al. 2017), WaveNet (van den Oord et
 * al. 2016). Use norm: layernorm and ffn: swiglu for the whole of it. Parameters 3 C^2 + W C; cost
 * 6 C^2 + 2 W C per token; state 31 d C. */
#include "block.h"
#include "kernels/core/op.h"

#include <math.h>

typedef struct config {
    long width, period, heads;
    bool rope;
} config;

static const field fields[] = {
    {"conv_width", FIELD_INT, offsetof(config, width), "32", 1, 64, .help = "taps"},
    {"dilation_period", FIELD_INT, offsetof(config, period), "9", 1, 16,
     .help = "layers after which the dilation, doubled with each layer, starts again at 1"},
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "heads of the rotation"},
    {"rope", FIELD_BOOL, offsetof(config, rope), "false", .help = "turn values by their position"},
};

static const char *check(const void *settings, const model_config *m) {
    const config *c = settings;
    return !c->rope || m->d_model % (2 * c->heads) == 0
               ? NULL
               : "model.rope: needs heads of an even number of channels";
}

static int dilation_of(const config *c, int layer) { return 1 << layer % (int)c->period; }

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    const int width = (int)c->width;
    tensor *v = block_linear(b, "wv", x, b->d_model), *gate = block_linear(b, "wg", x, b->d_model);
    if (c->rope) v = APPLY_WITH(g, rope, IN(v), .heads = (int)c->heads);
    tensor *w = block_param(b, "conv", (init){INIT_UNIFORM, 1 / sqrt(width)}, false,
                            DIM(width, b->d_model));
    v = APPLY_WITH(g, conv, IN(v, w), .dilation = dilation_of(c, b->layer));
    return block_output(b, "wo", APPLY(g, swiglu, IN(gate, v)));
}

/* Of the average layer: dilations differ. */
static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    double sum = 0;
    for (int i = 0; i < m->layers; i++)
        sum += fmin((double)(c->width - 1) * dilation_of(c, i), (double)time);
    return sum / (double)m->layers * (double)m->d_model;
}

MIXER(convsamba) = {
    .name = "convsamba",
    .summary = "gated convolutions of 32 taps, dilation doubled with each layer",
    .source = "ours",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
