/* block.c - see block.h. */
#include "block.h"

#include "conv.h"
#include "kernels/core/op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

tensor *block_refuse(block *b, const char *format, ...) {
    char text[512];
    va_list more;
    va_start(more, format);
    vsnprintf(text, sizeof text, format, more);
    va_end(more);
    error_set(&b->g->error, STATUS_USAGE, "%s", text);
    return NULL;
}

tensor *block_param(block *b, const char *name, init start, bool decay, int rank, const int *dim) {
    char full[128];
    snprintf(full, sizeof full, "layer.%d.%s.%s", b->layer, b->part, name);
    int with_runs[MAX_RANK] = {b->runs};
    CHECK(rank < MAX_RANK);
    for (int i = 0; i < rank; i++) with_runs[i + 1] = dim[i];
    return graph_param(b->g, full, start, decay, rank + 1, with_runs);
}

tensor *block_formula(block *b, const char *name,
                      double (*formula)(struct rng *draw, const tensor *t, size_t j), int rank,
                      const int *dim) {
    tensor *t = block_param(b, name, (init){INIT_FORMULA, 0}, false, rank, dim);
    t->formula = formula;
    return t;
}

double block_output_std(const block *b) {
    const model_config *m = &b->spec->common;
    return m->init_std / (m->init_residual ? sqrt(2.0 * (double)m->layers) : 1);
}

double block_left_eps(const block *b) { return b->spec->common.linear == LINEAR_PLAIN ? 0 : 1e-5; }

/* Projections of one stream (queries, keys, values) share its copy in 8 bits. */
tensor *block_left(block *b, tensor *x) {
    if (b->spec->common.linear == LINEAR_PLAIN || !x) return x;
    if (x != b->fine) {
        b->coarse = APPLY_WITH(b->g, quant8, IN(x), .eps = block_left_eps(b));
        b->fine = x;
    }
    return b->coarse;
}

tensor *block_right(block *b, tensor *w) {
    return b->spec->common.linear == LINEAR_PLAIN ? w : APPLY(b->g, ternary, IN(w));
}

static tensor *times(block *b, tensor *x, tensor *w) {
    return APPLY(b->g, linear, IN(block_left(b, x), block_right(b, w)));
}

tensor *block_matrix(block *b, const char *name, tensor *x, int out, init start) {
    if (!x) return NULL;
    tensor *w = block_param(b, name, start, true, DIM(tensor_last(x), out));
    return block_after_linear(b, name, times(b, x, w));
}

static tensor *project(block *b, const char *name, tensor *x, int out, double std) {
    if (!x) return NULL;
    tensor *w = block_param(b, name, (init){INIT_NORMAL, std}, true, DIM(tensor_last(x), out));
    if (!b->spec->common.bias) return block_after_linear(b, name, times(b, x, w));
    char bias_name[96];
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    tensor *bias = block_param(b, bias_name, (init){INIT_CONST, 0}, false, DIM(out));
    return block_after_linear(b, name,
                              APPLY(b->g, linear, IN(block_left(b, x), block_right(b, w), bias)));
}

tensor *block_linear(block *b, const char *name, tensor *x, int out) {
    return project(b, name, x, out, b->spec->common.init_std);
}

tensor *block_output(block *b, const char *name, tensor *x) {
    return project(b, name, x, b->d_model, block_output_std(b));
}

static tensor *extra_conv(block *b, const conv_config *c, const char *name, tensor *x) {
    if (x) b->state_size += conv_state_size(c, tensor_last(x), b->spec->max_time);
    return conv_apply(b, c, name, x, 1);
}

tensor *block_canon(block *b, unsigned place, const char *name, tensor *x) {
    const model_config *m = &b->spec->common;
    if (!(m->canon & place)) return x;
    const conv_config c = {.kind = CONV_DEPTHWISE,
                           .init = m->canon_init,
                           .width = m->canon_width,
                           .dilation = 1,
                           .residual = true};
    b->canon |= place;
    return extra_conv(b, &c, name, x);
}

void block_canon_b(block *b, tensor **q, tensor **k, tensor **v) {
    *q = block_canon(b, CANON_B, "canon_q", *q);
    *k = block_canon(b, CANON_B, "canon_k", *k);
    *v = block_canon(b, CANON_B, "canon_v", *v);
}

tensor *block_after_linear(block *b, const char *name, tensor *x) {
    const model_config *m = &b->spec->common;
    if (!m->after_linear) return x;
    char conv_name[96];
    conv_config c = m->linear_conv;
    c.kind = m->after_linear - 1; /* none is the first choice */
    snprintf(conv_name, sizeof conv_name, "%s.conv", name);
    return extra_conv(b, &c, conv_name, x);
}

tensor *block_dropout(block *b, tensor *x, int site) {
    if (!b->rate || !x) return x;
    int part = b->part[0] == 'm' ? 0 : 1;
    return APPLY_WITH(b->g, dropout, IN(x, b->rate, b->key, b->tick),
                      .site = 1 + 16 * (2 * b->layer + part) + site);
}
