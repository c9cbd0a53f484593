/* mixer_convplus.c - a learned blend of shifted projections with attention between features.
 *
 *   out_i = sum_k a_k W_k x_{i - o_k} + b sum_{j <= i} softmax_j(x_i . M x_j / sqrt(C)) W_v x_j,
 *   x the block input plus learned absolute positions, x_i = 0 before the start
 *
 * No public source has this block: the definition is ours. W_k, W_v [C,C], M a learned diagonal
 * (metric: identity leaves M = I, where a token attends most to those like itself), a_k and b
 * learned numbers. There is one head, and no projection after the sum, as W_k and W_v are it.
 * Special cases: attend: false and one offset is a convolution with one tap, a matrix; offsets: []
 * is attention on features.
 * Start: the blend is a mean, a_k = b = 1 / (offsets + 1); M = I; positions N(0, init_std); W_k and
 * W_v as output projections. Parameters (K + 1) C^2 + C + K + 1 and longest T times C; cost
 * 2 (K + 1) C^2 + 4 T C per token forward; state 2 T C. */
#include "block.h"

#include "kernels/core/op.h"

#include <stdio.h>

typedef enum metric_kind { METRIC_DIAGONAL, METRIC_IDENTITY } metric_kind;

typedef struct config {
    int_list offsets;
    bool attend;
    int metric;
} config;

static const field fields[] = {
    {"offsets", FIELD_INTS, offsetof(config, offsets), "[0, 1, 2, 3]", 0, 1 << 20,
     .help = "how far back each projection looks"},
    {"attend", FIELD_BOOL, offsetof(config, attend), "true",
     .help = "with the attention between features"},
    {"metric", FIELD_CHOICE, offsetof(config, metric), "diagonal", .choices = "diagonal|identity",
     .help = "learn a factor per channel in the products of features, or not"},
};

static const char *check(const void *settings, const model_config *m) {
    const config *c = settings;
    (void)m;
    return c->offsets.n || c->attend ? NULL
                                     : "model.offsets: [] with model.attend: false is nothing";
}

/* One learned number times all of x. */
static tensor *weigh(block *b, const config *c, const char *name, tensor *x) {
    tensor *s =
        block_param(b, name, (init){INIT_CONST, 1.0 / (c->offsets.n + c->attend)}, false, DIM(1));
    return APPLY_WITH(b->g, headscale, IN(x, s), .heads = 1);
}

static tensor *shifted(block *b, const config *c, int k, tensor *x) {
    char weight[24], share[24];
    snprintf(weight, sizeof weight, "w%d", k);
    snprintf(share, sizeof share, "a%d", k);
    const int steps = (int)c->offsets.v[k];
    x = block_output(b, weight, x);
    if (steps) x = APPLY_WITH(b->g, shift, IN(x), .steps = steps);
    return weigh(b, c, share, x);
}

static tensor *attended(block *b, const config *c, tensor *x) {
    tensor *q = x;
    if (c->metric == METRIC_DIAGONAL) {
        tensor *m = block_param(b, "metric", (init){INIT_CONST, 1}, false, DIM(b->d_model));
        q = APPLY_WITH(b->g, headscale, IN(x, m), .heads = b->d_model);
    }
    tensor *v = block_output(b, "wv", x);
    return weigh(b, c, "b", APPLY_WITH(b->g, attention, IN(q, x, v), .heads = 1));
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const model_spec *spec = b->spec;
    tensor *place = block_param(b, "position", (init){INIT_NORMAL, spec->common.init_std}, true,
                                DIM(spec->max_time, b->d_model));
    x = APPLY(b->g, position, IN(x, place));
    tensor *sum = c->attend ? attended(b, c, x) : NULL;
    for (int k = 0; k < c->offsets.n; k++) {
        tensor *part = shifted(b, c, k, x);
        sum = k || c->attend ? APPLY(b->g, add, IN(sum, part)) : part;
    }
    return sum;
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    long kept = 0;
    for (int k = 0; k < c->offsets.n; k++)
        if (c->offsets.v[k] > kept) kept = c->offsets.v[k];
    if (kept > time) kept = time;
    return (double)(c->attend ? 2 * time : kept) * (double)m->d_model;
}

MIXER(convplus) = {
    .name = "convplus",
    .summary = "learned blend of shifted projections and attention between features",
    .source = "ours",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
