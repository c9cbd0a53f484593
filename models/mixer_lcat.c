/* mixer_lcat.c - convolution-augmented attention to blocks found by landmarks (Landmark CAT, arXiv
 * 2407.05591, section on long sequences; landmarks: Mohtashami and Jaggi 2023).
 *
 *   q, k, v as in cat: projections with short causal filters; T is cut into blocks of S
 *   landmark_b = (F * k) at the end of block b, F a long filter of W >= S taps per channel
 *   p_t = softmax over complete earlier blocks b of q_t . landmark_b / sqrt(D), per head
 *   o_t = sum_j u_j e^(q_t . k_j / sqrt(D)) v_j / sum_j u_j e^(q_t . k_j / sqrt(D))
 *
 * u_j = 1 in the query's own block, g_b in an earlier block b and in the token that follows it.
 * select: hard opens the top_k blocks of largest p, g = 1 there and 0 elsewhere. Gradient reaches
 * the landmarks straight-through: as if g were the p of an open block (straight_through: false
 * stops it; it is a surrogate, not the derivative). select: soft takes g = p, differentiable, at
 * the cost of full attention.
 * Ours where the sources are silent: landmarks filter the projected keys, before rotation (F * X
 * after the projection is the same for shared taps); softmax over landmarks alone, weights scaled
 * before they are normalised; a token under two gates counts once, 1 - (1 - g)(1 - g').
 * Start: F = 1 / W, a landmark is the mean of its block. S 0: sqrt(T / 2) for the longest T, where
 * the cost of a query, T / S landmarks + 2 S tokens, is least. Parameters 4 C^2 + W C + taps; cost
 * 8 C^2 + 2 C W + 2 C T / S + 4 C (top_k + 1) S per token forward (soft: 4 C T in place of the
 * last); state 2 T C + T / S C, and (width - 1) dilation C per short filter. */
#include "attend.h"
#include "conv.h"
#include "kernels/core/op.h"

#include <math.h>

typedef enum select_kind { SELECT_HARD, SELECT_SOFT } select_kind;

typedef struct config {
    long heads, block, top_k, landmark_width;
    int select;
    bool straight_through;
    conv_config conv;
} config;

static const field fields[] = {
    {"heads", FIELD_INT, offsetof(config, heads), "1", 1, 1024, .help = "attention heads"},
    {"block", FIELD_INT, offsetof(config, block), "0", 0, 1 << 20,
     .help = "tokens of a block; 0: sqrt(T / 2) for the longest sequence"},
    {"select", FIELD_CHOICE, offsetof(config, select), "hard", .choices = "hard|soft",
     .help = "open the best blocks only, or all at the weight of their landmarks"},
    {"top_k", FIELD_INT, offsetof(config, top_k), "1", 1, 1 << 20,
     .help = "earlier blocks that a query opens, with select: hard"},
    {"straight_through", FIELD_BOOL, offsetof(config, straight_through), "true",
     .help = "gradient from opened blocks to their landmarks, with select: hard"},
    {"landmark_width", FIELD_INT, offsetof(config, landmark_width), "0", 0, 1 << 20,
     .help = "taps of the filter that makes landmarks; 0: a block"},
    CONV_FIELDS(config, conv),
};

static const char *check(const void *settings, const model_config *m) {
    static _Thread_local char text[160];
    const config *c = settings;
    if (attend_check(c->heads, m)) return attend_check(c->heads, m);
    if (m->position == POSITION_ALIBI) return "model.position: alibi is not for mixer lcat";
    if (!c->landmark_width || c->landmark_width >= c->block) return NULL;
    snprintf(text, sizeof text, "model.landmark_width: %ld is less than model.block: %ld",
             c->landmark_width, c->block);
    return text;
}

static tensor *stream(block *b, const config *c, const char *name, unsigned bit, tensor *x) {
    char conv_name[16], weight[16];
    snprintf(conv_name, sizeof conv_name, "conv_%s", name);
    snprintf(weight, sizeof weight, "w%s", name);
    x = block_linear(b, weight, x, b->d_model);
    return c->conv.on & bit ? conv_apply(b, &c->conv, conv_name, x, (int)c->heads) : x;
}

static long block_length(const config *c, long longest) {
    return c->block ? c->block : lround(fmax(sqrt((double)longest / 2), 1));
}

/* Gates of all blocks for every query and head. */
static tensor *gates(block *b, const config *c, int length, tensor *q, tensor *k) {
    const int width = (int)(c->landmark_width > length ? c->landmark_width : length);
    tensor *filter =
        block_param(b, "landmark", (init){INIT_CONST, 1.0 / width}, false, DIM(width, b->d_model));
    tensor *marks = APPLY(b->g, conv, IN(k, filter));
    tensor *p = APPLY_WITH(b->g, landmark, IN(q, marks), .heads = (int)c->heads, .steps = length);
    if (c->select == SELECT_SOFT) return p;
    const op_arg best = {.heads = (int)c->heads, .steps = (int)c->top_k};
    return graph_apply(b->g, OP_choose, c->straight_through ? 2 : 1, (tensor *[]){p, p}, &best);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    const int heads = (int)c->heads, length = (int)block_length(c, b->spec->max_time);
    tensor *q = stream(b, c, "q", CONV_ON_Q, x), *k = stream(b, c, "k", CONV_ON_K, x),
           *v = stream(b, c, "v", CONV_ON_V, x);
    tensor *gate = gates(b, c, length, q, k);
    if (b->spec->common.position == POSITION_ROPE) {
        q = APPLY_WITH(b->g, rope, IN(q), .heads = heads);
        k = APPLY_WITH(b->g, rope, IN(k), .heads = heads);
    }
    const int open = c->select == SELECT_SOFT ? 0 : (int)c->top_k;
    return block_output(b, "wo",
                        APPLY_WITH(b->g, blockattend, IN(q, k, v, gate), .heads = heads,
                                   .steps = length, .window = open));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    const double marks = floor((double)time / (double)block_length(c, time));
    const double recent =
        __builtin_popcount(c->conv.on) * (double)((c->conv.width - 1) * c->conv.dilation);
    return (2 * (double)time + marks + recent) * (double)m->d_model;
}

MIXER(lcat) = {
    .name = "lcat",
    .summary = "convolution-augmented attention to blocks chosen by landmarks",
    .source = "CAT, arXiv 2407.05591; landmarks, arXiv 2305.16300; see the file for what is ours",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
