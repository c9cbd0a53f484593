/* linear_attention.c - see linear_attention.h. */
#include "linear_attention.h"

#include "kernels/core/op.h"

#include <math.h>
#include <stdio.h>

tensor *linear_attention(block *b, int heads, tensor *q, tensor *k, tensor *v) {
    graph *g = b->g;
    if (!q || !k || !v) return NULL;
    tensor *one = APPLY_WITH(g, fill, IN(v), .heads = heads, .scale = 1);
    tensor *sum = APPLY_WITH(g, gla, IN(q, k, v), .heads = heads, .kind = GLA_NONE);
    tensor *weight = APPLY_WITH(g, gla, IN(q, k, one), .heads = heads, .kind = GLA_NONE);
    tensor *share = APPLY_WITH(g, map, IN(weight), .kind = MAP_RECIPROCAL, .scale = 1e-6);
    return APPLY(g, groupscale, IN(sum, share));
}

tensor *gated_output(block *b, int heads, tensor *o, tensor *x) {
    if (!o) return NULL;
    tensor *gain =
        block_param(b, "o_norm", (init){INIT_CONST, 1}, false, DIM(tensor_last(o) / heads));
    o = APPLY_WITH(b->g, rmsnorm, IN(o, gain), .eps = 1e-5);
    tensor *gate = block_linear(b, "wg", x, tensor_last(o));
    return block_output(b, "wo", APPLY(b->g, swiglu, IN(gate, o)));
}

static conv_config conv_of(const short_config *c) {
    static const int kinds[] = {CONV_DEPTHWISE, CONV_DYNAMIC_LOWRANK, CONV_DYNAMIC_HEAD};
    return (conv_config){.kind = kinds[c->kind],
                         .width = c->width,
                         .dilation = 1,
                         .rank = c->rank,
                         .head_size = c->head_size};
}

tensor *short_conv_of(block *b, const short_config *c, const char *name, tensor *x, bool bias) {
    if (!x || !c->width) return x;
    const conv_config taps = conv_of(c);
    tensor *shift = NULL;
    if (bias) {
        char bias_name[96];
        snprintf(bias_name, sizeof bias_name, "%s.bias", name);
        const init start = {INIT_UNIFORM, 1 / sqrt((double)c->width)};
        shift = block_param(b, bias_name, start, false, DIM(tensor_last(x)));
    }
    return APPLY(b->g, silu, IN(conv_filter(b, &taps, name, x, shift, 1)));
}

tensor *short_conv(block *b, const char *name, tensor *x, int width, bool bias) {
    return short_conv_of(b, &(short_config){.width = width}, name, x, bias);
}

const char *short_check(const short_config *c, long cols) {
    const conv_config taps = conv_of(c);
    return conv_check(&taps, "model.conv_", cols);
}

const char *heads_check(long heads, const model_config *m) {
    static _Thread_local char text[160];
    if (m->d_model % heads == 0) return NULL;
    snprintf(text, sizeof text, "model.heads: %ld does not divide model.d_model: %ld", heads,
             m->d_model);
    return text;
}
