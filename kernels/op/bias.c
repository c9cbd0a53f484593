/* bias.c - y = x + bias, one per channel.
 *
 * Inputs: x [R,...,C], bias [R,C]. Output like x. dx = dy, dbias = sum over rows of dy. Cost 1 per
 * element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *bias = n->in[1];
    REQUIRE(bias->rank == 2 && bias->dim[0] == x->dim[0] && bias->dim[1] == tensor_last(x),
            "bias is not [runs, channels of x]");
    tensor_like(n->out, x);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->bias_fwd(n->out->x, x->x, n->in[1]->x, x->dim[0], tensor_rows(x), tensor_last(x));
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->bias_bwd(x->g, n->in[1]->g, n->out->g, x->dim[0], tensor_rows(x), tensor_last(x));
}

static double flops(const node *n) { return (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {1, {5}}}},
    {.in = {{1, {1}}, {1, {1}}}},
    {.in = {{2, {33, 129}}, {1, {129}}}},
    {.in = {{2, {35, 12}}, {1, {12}}}}, /* fours of channels, slabs of 16 rows on a GPU */
    {.in = {{2, {17, 516}}, {1, {516}}}},
};

const op K(op_bias) = {
    .name = "bias",
    .math = "y = x + bias",
    .min_in = 2,
    .max_in = 2,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
