/* groupsoftmax.c - softmax over each group of .steps channels (taps of a filter, chosen experts).
 *
 * Input: x [R,...,C], .steps divides C (0: all of C). Output like x. dx = y (dy - dy . y). Cost 6
 * per element, an exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int dim_of(const node *n) { return n->arg.steps ? n->arg.steps : tensor_last(n->in[0]); }

static const char *shape(node *n) {
    REQUIRE(dim_of(n) > 0 && tensor_last(n->in[0]) % dim_of(n) == 0,
            "the channels of x do not divide into groups");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->groupsoftmax_fwd(n->out->x, n->in[0]->x, (long)n->out->n / dim_of(n), dim_of(n));
}

static void backward(const node *n, const kernels *k) {
    k->groupsoftmax_bwd(n->in[0]->g, n->out->g, n->out->x, (long)n->out->n / dim_of(n), dim_of(n));
}

static double flops(const node *n) { return 6 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}}, .arg = {.steps = 3}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -9, .hi = 9}}},
    {.in = {{2, {33, 12}, .lo = -90, .hi = 90}}, .arg = {.steps = 4}},
    {.in = {{2, {9, 64}}}, .arg = {.steps = 16}}, /* teams of the GPU: 1 to 512 threads, pieces */
    {.in = {{2, {3, 700}}}},
    {.in = {{2, {2, 4100}}}},
};

const op K(op_groupsoftmax) = {
    .name = "groupsoftmax",
    .math = "y_g = softmax(x_g)",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_OUT,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
