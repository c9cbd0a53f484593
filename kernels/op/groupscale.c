/* groupscale.c - each group of channels times a factor of its own at every position (gates and
 * normalisers per head).
 *
 * Inputs: x [R,...,C], s [R,...,H] with the same rows; H divides C. Output like x. dx = dy s,
 * ds = dy . x over the group. Cost 1 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *s = n->in[1];
    REQUIRE(x->dim[0] == s->dim[0] && tensor_rows(x) == tensor_rows(s), "x and s differ in rows");
    REQUIRE(tensor_last(x) % tensor_last(s) == 0, "the channels of x do not divide into groups");
    tensor_like(n->out, x);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *s = n->in[1];
    k->groupscale_fwd(n->out->x, x->x, s->x, (long)s->n, tensor_last(x) / tensor_last(s));
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *s = n->in[1];
    k->groupscale_bwd(x->g, s->g, n->out->g, x->x, s->x, (long)s->n,
                      tensor_last(x) / tensor_last(s));
}

static double flops(const node *n) { return (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, {3, {2, 3, 2}}}},
    {.in = {{1, {1}}, {1, {1}}}},
    {.in = {{2, {33, 129}}, {2, {33, 3}}}},
    {.in = {{2, {9, 130}}, {2, {9, 1}}}},
    /* teams of the GPU: 1 to 512 threads, then pieces */
    {.in = {{2, {9, 5}}, {2, {9, 5}}}},
    {.in = {{2, {3, 64}}, {2, {3, 4}}}},
    {.in = {{2, {3, 700}}, {2, {3, 1}}}},
    {.in = {{2, {2, 4100}}, {2, {2, 1}}}},
};

const op K(op_groupscale) = {
    .name = "groupscale",
    .math = "y_g = x_g s_g",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
