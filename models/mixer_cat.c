/* mixer_cat.c - convolution-augmented attention (CAT, arXiv 2407.05591).
 *
 *   q = (F_q * X) W_q, k = (F_k * X) W_k, v = (F_v * X) W_v; causal softmax attention over them
 *
 * F: short causal filters on any subset of q, k, v (conv.on). conv_place: pre convolves the block
 * input, post the projection; the two are the same function for a filter shared by all channels,
 * and only post lets heads or channels differ. Norm (the paper and its summaries differ on the
 * place, so it is a switch): pre normalises before the projection, post after it per head with a
 * learned temperature. Parameters 4 C^2 + taps; cost of attention + 2 W C per convolved stream;
 * state 2 T C + (W-1) dilation C per stream. */
#include "attend.h"
#include "conv.h"
#include "kernels/core/op.h"

typedef enum cat_norm { CAT_NONE, CAT_PRE, CAT_POST } cat_norm;
typedef enum conv_place { PLACE_POST, PLACE_PRE } conv_place;

typedef struct config {
    long heads, window;
    int norm, place;
    double temperature;
    conv_config conv;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "attention heads"},
    {"qk_norm", FIELD_CHOICE, offsetof(config, norm), "none", .choices = "none|pre|post",
     .help = "L2-normalise q and k before or after their projection"},
    {"temperature", FIELD_REAL, offsetof(config, temperature), "10", 0, 1000,
     .help = "start of the learned score scale, used with qk_norm: post"},
    {"window", FIELD_INT, offsetof(config, window), "0", 0, 1 << 24,
     .help = "tokens a query sees, itself included; 0: all"},
    {"conv.place", FIELD_CHOICE, offsetof(config, place), "post", .choices = "post|pre",
     .help = "convolve after or before the projection"},
    CONV_FIELDS(config, conv),
};

static const char *check(const void *settings, const model_config *m) {
    const config *c = settings;
    const char *why = attend_check(c->heads, m);
    return why ? why : conv_check(&c->conv, "model.conv.", m->d_model);
}

/* One of the three streams: name "q", "k" or "v"; normed: q and k. */
static tensor *stream(block *b, const config *c, const char *name, unsigned bit, bool normed,
                      tensor *x) {
    char conv_name[16], weight[16];
    snprintf(conv_name, sizeof conv_name, "conv_%s", name);
    snprintf(weight, sizeof weight, "w%s", name);
    const bool convolved = c->conv.on & bit;
    if (convolved && c->place == PLACE_PRE) x = conv_apply(b, &c->conv, conv_name, x, 1);
    if (normed && c->norm == CAT_PRE) x = APPLY_WITH(b->g, l2norm, IN(x), .eps = 1e-6);
    x = block_linear(b, weight, x, b->d_model);
    if (convolved && c->place == PLACE_POST)
        x = conv_apply(b, &c->conv, conv_name, x, (int)c->heads);
    return x;
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const attend_config attention = {(int)c->heads, (int)c->window,
                                     c->norm == CAT_POST ? QK_L2 : QK_NONE, c->temperature};
    tensor *q = stream(b, c, "q", CONV_ON_Q, true, x), *k = stream(b, c, "k", CONV_ON_K, true, x),
           *v = stream(b, c, "v", CONV_ON_V, false, x);
    block_canon_b(b, &q, &k, &v);
    return block_output(b, "wo", attend(b, &attention, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    const double kept = (double)(c->window && c->window < time ? c->window : time);
    const int streams = __builtin_popcount(c->conv.on);
    return 2 * kept * (double)m->d_model + streams * conv_state_size(&c->conv, m->d_model, time);
}

MIXER(cat) = {
    .name = "cat",
    .summary = "attention with short convolutions on queries, keys and values",
    .source = "CAT, arXiv 2407.05591",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
