/* mixer_attention.c - causal softmax attention (Vaswani et al. 2017).
 *
 *   o_t = sum_{j <= t} softmax_j(q_t . k_j / sqrt(D)) v_j per head, q = x Wq, k = x Wk, v = x Wv
 *
 * Options: rotary, learned, sinusoidal, alibi or no positions (model.position); q and k normalised
 * per head (rms: Henry et al. 2020 with learned gains; l2: learned temperature); sliding window.
 * Parameters 4 C^2; cost 8 C^2 + 4 T C per token forward; state 2 T C (2 window C). */
#include "attend.h"

typedef struct config {
    long heads, window;
    int qk_norm;
    double temperature;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "attention heads"},
    {"qk_norm", FIELD_CHOICE, offsetof(config, qk_norm), "none", .choices = "none|rms|l2",
     .help = "normalise q and k per head"},
    {"temperature", FIELD_REAL, offsetof(config, temperature), "10", 0, 1000,
     .help = "start of the learned score scale, used with qk_norm: l2"},
    {"window", FIELD_INT, offsetof(config, window), "0", 0, 1 << 24,
     .help = "tokens a query sees, itself included; 0: all"},
};

static const char *check(const void *settings, const model_config *m) {
    return attend_check(((const config *)settings)->heads, m);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const attend_config attention = {(int)c->heads, (int)c->window, (qk_norm)c->qk_norm,
                                     c->temperature};
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, b->d_model),
           *v = block_linear(b, "wv", x, b->d_model);
    return block_output(b, "wo", attend(b, &attention, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const long window = ((const config *)settings)->window;
    return 2.0 * (double)(window && window < time ? window : time) * (double)m->d_model;
}

MIXER(attention) = {
    .name = "attention",
    .summary = "causal softmax attention",
    .source = "Vaswani et al. 2017, section 3.2",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
