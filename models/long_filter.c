/* long_filter.c - see long_filter.h. */
#include "long_filter.h"

#include "decay.h"
#include "kernels/core/functions.h"
#include "kernels/core/op.h"

#include <math.h>
#include <stdio.h>

enum { SINE_LAYERS = 3 }; /* as in the code of Hyena's authors */

static tensor *layer(block *b, const char *name, int number, tensor *x, int out) {
    char weight_name[96], bias_name[96];
    if (!x) return NULL;
    const init start = {INIT_UNIFORM, 1 / sqrt(tensor_last(x))};
    snprintf(weight_name, sizeof weight_name, "%s_w%d", name, number);
    snprintf(bias_name, sizeof bias_name, "%s_w%d.bias", name, number);
    tensor *w = block_param(b, weight_name, start, false, DIM(tensor_last(x), out)),
           *bias = block_param(b, bias_name, start, false, DIM(out));
    return APPLY(b->g, linear, IN(x, w, bias));
}

tensor *filter_implicit(block *b, const char *name, const implicit_filter *f, tensor *x) {
    if (!x) return NULL;
    char full[96];
    graph *g = b->g;
    const int length = f->length ? f->length : b->spec->max_time, cols = tensor_last(x);
    tensor *h = APPLY_WITH(g, features, IN(x), .heads = f->features, .steps = length);
    snprintf(full, sizeof full, "%s_freq", name);
    tensor *freq = block_param(b, full, (init){INIT_CONST, 1}, false, DIM(f->width));
    for (int i = 1; i <= SINE_LAYERS; i++) {
        h = layer(b, name, i, h, f->width);
        h = APPLY(g, headscale, IN(h, freq));
        h = APPLY_WITH(g, map, IN(h), .kind = MAP_SIN);
    }
    snprintf(full, sizeof full, "%s_w%d", name, SINE_LAYERS + 1); /* no bias */
    tensor *last =
        block_param(b, full, (init){INIT_UNIFORM, 1 / sqrt(f->width)}, false, DIM(f->width, cols));
    h = APPLY(g, linear, IN(h, last));
    tensor *window =
        APPLY_WITH(g, features, IN(x), .heads = cols, .steps = length, .kind = FEATURES_WINDOW);
    return APPLY(g, mul, IN(h, window));
}

tensor *filter_exponential(block *b, const char *name, int state, tensor *x) {
    if (!x) return NULL;
    char full[96];
    const int cols = tensor_last(x);
    snprintf(full, sizeof full, "%s_c", name);
    tensor *w = block_param(b, full, (init){INIT_NORMAL, 1 / sqrt(state)}, false, DIM(cols, state));
    snprintf(full, sizeof full, "%s_rate", name);
    tensor *rate = block_formula(b, full, time_step_start, DIM(cols, state));
    rate = APPLY_WITH(b->g, map, IN(rate), .kind = MAP_SOFTPLUS);
    return APPLY(b->g, expfilter, IN(x, w, rate));
}

tensor *plain_conv(block *b, const char *name, tensor *x, int width) {
    char bias_name[96];
    if (!x) return NULL;
    const init start = {INIT_UNIFORM, 1 / sqrt(width)};
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    tensor *w = block_param(b, name, start, false, DIM(width, tensor_last(x))),
           *bias = block_param(b, bias_name, start, false, DIM(tensor_last(x)));
    return APPLY(b->g, conv, IN(x, w, bias));
}
