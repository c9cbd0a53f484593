/* mixer_attention.c - causal softmax attention (Vaswani et al. 2017).
 *
 *   o_t = sum_{j <= t} softmax_j(q_t . k_j / sqrt(D)) v_j per head, q = x Wq, k = x Wk, v = x Wv
 *
 * Options: rotary, learned, sinusoidal, alibi or no positions (model.position); q and k normalised
 * per head (rms: Henry et al. 2020 with learned gains; l2: learned temperature); sliding window;
 * kv_heads: G heads of keys and values, each shared by heads / G neighbouring heads of queries
 * (grouped queries, Ainslie et al. 2023; G = 1: Shazeer 2019). With G heads of D channels:
 * parameters 2 C^2 + 2 C G D (4 C^2 for G = heads); cost twice that + 4 T C per token forward;
 * state 2 T G D (2 window G D). */
#include "attend.h"

#include <stdio.h>

typedef struct config {
    attend_config attention;
    long kv_heads;
} config;

static const field fields[] = {
    ATTEND_HEADS(config, attention, "attention heads"),
    {"kv_heads", FIELD_INT, offsetof(config, kv_heads), "0", 0, 1024,
     .help = "heads of keys and values, shared by groups of query heads; 0: as many as heads"},
    ATTEND_FIELDS(config, attention),
};

static long kv_heads(const config *c) { return c->kv_heads ? c->kv_heads : c->attention.heads; }

static const char *check(const void *settings, const model_config *m) {
    static _Thread_local char text[160];
    const config *c = settings;
    if (attend_check(c->attention.heads, m)) return attend_check(c->attention.heads, m);
    if (c->attention.heads % kv_heads(c) == 0) return NULL;
    snprintf(text, sizeof text, "model.kv_heads: %ld does not divide model.heads: %ld", c->kv_heads,
             c->attention.heads);
    return text;
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const int shared = b->d_model / (int)c->attention.heads * (int)kv_heads(c);
    tensor *q = block_linear(b, "wq", x, b->d_model), *k = block_linear(b, "wk", x, shared),
           *v = block_linear(b, "wv", x, shared);
    block_canon_b(b, &q, &k, &v);
    return block_output(b, "wo", attend(b, &c->attention, q, k, v));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    const double kept =
        (double)(c->attention.window && c->attention.window < time ? c->attention.window : time);
    return 2 * kept * (double)(m->d_model / c->attention.heads * kv_heads(c));
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
