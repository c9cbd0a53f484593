/* unary.h - the table entry of an op y = f(x), element by element, whose backward reads x: its file
 * says f and its derivative, the cases, and UNARY(name, math, flops per element). */
#pragma once
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

#define UNARY(NAME, MATH, FLOPS)                                                                   \
    static const char *shape(node *n) {                                                            \
        tensor_like(n->out, n->in[0]);                                                             \
        return NULL;                                                                               \
    }                                                                                              \
    static void forward(const node *n, const kernels *k) {                                         \
        k->NAME##_fwd(n->out->x, n->in[0]->x, (long)n->out->n);                                    \
    }                                                                                              \
    static void backward(const node *n, const kernels *k) {                                        \
        k->NAME##_bwd(n->in[0]->g, n->out->g, n->in[0]->x, (long)n->out->n);                       \
    }                                                                                              \
    static double flops(const node *n) { return (FLOPS) * (double)n->out->n; }                     \
    const op K(op_##NAME) = {                                                                      \
        .name = #NAME,                                                                             \
        .math = MATH,                                                                              \
        .min_in = 1,                                                                               \
        .max_in = 1,                                                                               \
        .reads = READS_IN(0),                                                                      \
        .shape = shape,                                                                            \
        .fwd = forward,                                                                            \
        .bwd = backward,                                                                           \
        .flops = flops,                                                                            \
        OP_CASES(cases),                                                                           \
    }
