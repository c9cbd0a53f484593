/* conv.c - see conv.h. */
#include "conv.h"

#include "kernels/core/op.h"
#include "kernels/core/rng.h"
#include "long_filter.h"

#include <math.h>
#include <stdio.h>

enum { IMPLICIT_WIDTH = 64, IMPLICIT_FEATURES = 33 }; /* of Hyena's network */

/* Taps [W,H,H] that pass each head on as it is. */
static double identity_mix(rng *draw, const tensor *t, size_t j) {
    const size_t heads = (size_t)tensor_last(t);
    (void)draw;
    return j < heads * heads && j / heads == j % heads;
}

static init start_of(const conv_config *c, double fan_in) {
    const init starts[] = {
        [CONV_INIT_UNIFORM] = {INIT_UNIFORM, 1 / sqrt(fan_in)},
        [CONV_INIT_IDENTITY] = {INIT_IDENTITY_TAP, 0},
        [CONV_INIT_NORMAL] = {INIT_NORMAL, 0.02},
        [CONV_INIT_ZERO] = {INIT_CONST, 0},
    };
    return starts[c->init];
}

static tensor *static_taps(block *b, const conv_config *c, const char *name, int width, int cols) {
    return block_param(b, name, start_of(c, width), false, DIM(width, cols));
}

/* The normed block input times a matrix called NAME.SUFFIX. */
static tensor *from_token(block *b, const char *name, const char *suffix, int out, init start) {
    char full[96];
    if (!b->input) return NULL;
    snprintf(full, sizeof full, "%s.%s", name, suffix);
    tensor *w = block_param(b, full, start, true, DIM(tensor_last(b->input), out));
    return APPLY(b->g, linear, IN(b->input, w));
}

static tensor *mixhead(block *b, const conv_config *c, const char *name, tensor *x, int heads) {
    const int width = (int)c->width;
    tensor *w = c->init == CONV_INIT_IDENTITY
                    ? block_formula(b, name, identity_mix, DIM(width, heads, heads))
                    : block_param(b, name, start_of(c, (double)width * heads), false,
                                  DIM(width, heads, heads));
    return APPLY_WITH(b->g, mixconv, IN(x, w), .dilation = (int)c->dilation);
}

static tensor *dynamic_lowrank(block *b, const conv_config *c, const char *name, tensor *x) {
    const int width = (int)c->width, rank = (int)c->rank, cols = tensor_last(x);
    const init normal = {INIT_NORMAL, b->spec->common.init_std};
    char full[96];
    tensor *z = from_token(b, name, "p", rank, normal);
    snprintf(full, sizeof full, "%s.u", name);
    tensor *u = block_param(b, full, (init){INIT_CONST, 0}, true, DIM(rank, width, cols));
    tensor *w = static_taps(b, c, name, width, cols);
    return APPLY_WITH(b->g, rankconv, IN(x, z, u, w), .dilation = (int)c->dilation);
}

static int dynamic_groups(const conv_config *c, long cols) {
    return cols > c->head_size ? (int)(cols / c->head_size) : 1;
}

static tensor *dynamic_head(block *b, const conv_config *c, const char *name, tensor *x) {
    const int width = (int)c->width, cols = tensor_last(x), groups = dynamic_groups(c, cols);
    tensor *taps = from_token(b, name, "dynamic", groups * width, (init){INIT_CONST, 0});
    tensor *moved =
        APPLY_WITH(b->g, tokenconv, IN(x, taps), .heads = groups, .dilation = (int)c->dilation);
    tensor *w = static_taps(b, c, name, width, cols);
    tensor *fixed = APPLY_WITH(b->g, conv, IN(x, w), .dilation = (int)c->dilation);
    return APPLY(b->g, add, IN(fixed, moved));
}

static tensor *softmax(block *b, const conv_config *c, const char *name, tensor *x, int heads) {
    const int width = (int)c->width, all = heads * width;
    tensor *logits;
    if (c->kind == CONV_SOFTMAX) {
        tensor *w = block_param(b, name, start_of(c, width), false, DIM(all));
        logits = APPLY_WITH(b->g, fill, IN(x), .heads = all, .scale = 0);
        logits = APPLY(b->g, bias, IN(logits, w));
    } else {
        logits = from_token(b, name, "dynamic", all, (init){INIT_NORMAL, b->spec->common.init_std});
    }
    tensor *taps = APPLY_WITH(b->g, groupsoftmax, IN(logits), .steps = width);
    return APPLY_WITH(b->g, tokenconv, IN(x, taps), .heads = heads, .dilation = (int)c->dilation);
}

static tensor *long_taps(block *b, const conv_config *c, const char *name, tensor *x) {
    const implicit_filter network = {IMPLICIT_WIDTH, IMPLICIT_FEATURES, 0};
    if (c->kind == CONV_SSM) return filter_exponential(b, name, (int)c->state, x);
    if (c->implicit) return filter_implicit(b, name, &network, x);
    return static_taps(b, c, name, b->spec->max_time, tensor_last(x));
}

/* The kinds whose taps belong to a run, not to a token: the op adds the bias itself. */
static tensor *fixed(block *b, const conv_config *c, tensor *x, tensor *w, tensor *bias) {
    if (!bias) return APPLY_WITH(b->g, conv, IN(x, w), .dilation = (int)c->dilation);
    return APPLY_WITH(b->g, conv, IN(x, w, bias), .dilation = (int)c->dilation);
}

tensor *conv_filter(block *b, const conv_config *c, const char *name, tensor *x, tensor *bias,
                    int groups) {
    if (!x) return NULL;
    const int width = (int)c->width;
    const char *why = conv_check(c, "", tensor_last(x));
    if (why) return block_refuse(b, "layer %d, %s: %s.", b->layer, name, why);
    tensor *y = NULL;
    switch ((conv_kind)c->kind) {
    case CONV_SCALAR: return fixed(b, c, x, static_taps(b, c, name, width, groups), bias);
    case CONV_DEPTHWISE:
        return fixed(b, c, x, static_taps(b, c, name, width, tensor_last(x)), bias);
    case CONV_LONG:
    case CONV_SSM: return fixed(b, c, x, long_taps(b, c, name, x), bias);
    case CONV_MIXHEAD: y = mixhead(b, c, name, x, groups); break;
    case CONV_DYNAMIC_LOWRANK: y = dynamic_lowrank(b, c, name, x); break;
    case CONV_DYNAMIC_HEAD: y = dynamic_head(b, c, name, x); break;
    case CONV_SOFTMAX:
    case CONV_DYNAMIC_SOFTMAX: y = softmax(b, c, name, x, groups); break;
    }
    return bias ? APPLY(b->g, bias, IN(y, bias)) : y;
}

tensor *conv_apply(block *b, const conv_config *c, const char *name, tensor *x, int groups) {
    if (!x) return NULL;
    tensor *bias = NULL;
    if (c->bias) {
        char full[96];
        snprintf(full, sizeof full, "%s.bias", name);
        bias = block_param(b, full, (init){INIT_CONST, 0}, false, DIM(tensor_last(x)));
    }
    tensor *y = conv_filter(b, c, name, x, bias, groups);
    if (c->activation) y = APPLY(b->g, silu, IN(y));
    return c->residual ? APPLY(b->g, add, IN(x, y)) : y;
}

const char *conv_check(const conv_config *c, const char *prefix, long cols) {
    static _Thread_local char text[200];
    const bool softmaxed = c->kind == CONV_SOFTMAX || c->kind == CONV_DYNAMIC_SOFTMAX;
    if (softmaxed && c->init == CONV_INIT_IDENTITY) {
        snprintf(text, sizeof text,
                 "%sinit: identity has no finite logits; a softmax takes uniform, normal or zero",
                 prefix);
        return text;
    }
    if (c->kind == CONV_DYNAMIC_HEAD && cols > c->head_size && cols % c->head_size) {
        snprintf(text, sizeof text, "%shead_size: %ld does not divide %ld channels", prefix,
                 c->head_size, cols);
        return text;
    }
    return NULL;
}

double conv_state_size(const conv_config *c, long cols, long time) {
    const long lags = (c->width - 1) * c->dilation;
    if (c->kind == CONV_SSM) return (double)(c->state * cols);
    if (c->kind == CONV_LONG) return (double)(time * cols);
    return (double)(lags * cols);
}
