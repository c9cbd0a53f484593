/* swiglu.c - y = silu(a) b (Shazeer 2020), equal shapes. With s = sigmoid(a):
 * da = dy b s (1 + a (1 - s)), db = dy a s. Cost 6 per element, an exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    REQUIRE(n->in[0]->n == n->in[1]->n, "a and b have different sizes");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->swiglu_fwd(n->out->x, n->in[0]->x, n->in[1]->x, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->swiglu_bwd(n->in[0]->g, n->in[1]->g, n->out->g, n->in[0]->x, n->in[1]->x, (long)n->out->n);
}

static double flops(const node *n) { return 6 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {3, {2, 3, 5}}}},
    {.in = {{1, {1}}, {1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -9, .hi = 9}, {2, {33, 129}}}},
};

const op K(op_swiglu) = {
    .name = "swiglu",
    .math = "y = a sigmoid(a) b",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
