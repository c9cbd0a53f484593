/* silu.c - y = x s, s = sigmoid(x) (swish). dx = dy s (1 + x (1 - s)). Cost 5 per element, an
 * exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->silu_fwd(n->out->x, n->in[0]->x, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->silu_bwd(n->in[0]->g, n->out->g, n->in[0]->x, (long)n->out->n);
}

static double flops(const node *n) { return 5 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -6, .hi = 6}}},
    {.in = {{2, {3, 33}, .lo = -40, .hi = 40}}},
};

const op K(op_silu) = {
    .name = "silu",
    .math = "y = x sigmoid(x)",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
