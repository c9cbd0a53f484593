/* conv.c - see conv.h. */
#include "conv.h"

#include "kernels/core/op.h"

#include <math.h>

tensor *conv_apply(block *b, const conv_config *c, const char *name, tensor *x, int groups) {
    if (!x) return NULL;
    const init starts[] = {
        [CONV_INIT_UNIFORM] = {INIT_UNIFORM, 1 / sqrt((double)c->width)},
        [CONV_INIT_IDENTITY] = {INIT_IDENTITY_TAP, 0},
        [CONV_INIT_NORMAL] = {INIT_NORMAL, 0.02},
    };
    if (c->kind == CONV_DEPTHWISE) groups = tensor_last(x);
    tensor *w = block_param(b, name, starts[c->init], false, DIM((int)c->width, groups));
    tensor *y;
    if (c->bias) {
        char bias_name[96];
        snprintf(bias_name, sizeof bias_name, "%s.bias", name);
        tensor *bias = block_param(b, bias_name, (init){INIT_CONST, 0}, false, DIM(tensor_last(x)));
        y = APPLY_WITH(b->g, conv, IN(x, w, bias), .dilation = (int)c->dilation);
    } else {
        y = APPLY_WITH(b->g, conv, IN(x, w), .dilation = (int)c->dilation);
    }
    if (c->activation) y = APPLY(b->g, silu, IN(y));
    return c->residual ? APPLY(b->g, add, IN(x, y)) : y;
}
