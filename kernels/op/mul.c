/* mul.c - y = a b elementwise, equal shapes; da = dy b, db = dy a. Gates. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    REQUIRE(n->in[0]->n == n->in[1]->n, "a and b have different sizes");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->mul_fwd(n->out->x, n->in[0]->x, n->in[1]->x, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->mul_bwd(n->in[0]->g, n->in[1]->g, n->out->g, n->in[0]->x, n->in[1]->x, (long)n->out->n);
}

static double flops(const node *n) { return (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {3, {2, 3, 5}}}},
    {.in = {{1, {1}}, {1, {1}}}},
    {.in = {{2, {33, 129}}, {2, {33, 129}}}},
};

const op K(op_mul) = {
    .name = "mul",
    .math = "y = a b",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
