/* gelu.c - y = x Phi(x), Phi the normal distribution function: the exact form (Hendrycks and
 * Gimpel 2016), not the tanh one. dx = dy (Phi(x) + x phi(x)), phi the normal density.
 * Cost 25 per element: a degree 8 polynomial, an exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->gelu_fwd(n->out->x, n->in[0]->x, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->gelu_bwd(n->in[0]->g, n->out->g, n->in[0]->x, (long)n->out->n);
}

static double flops(const node *n) { return 25 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -6, .hi = 6}}},
    {.in = {{2, {3, 33}, .lo = -12, .hi = 12}}},
};

const op K(op_gelu) = {
    .name = "gelu",
    .math = "y = x Phi(x)",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
