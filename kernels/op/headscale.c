/* headscale.c - y = x s with one learned factor per head (temperatures, gates of heads).
 *
 * Inputs: x [R,...,C], s [R,heads]; heads divides C. Output like x. dx = dy s, ds = sum over rows
 * and channels of the head of dy x. Cost one multiplication per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *s = n->in[1];
    REQUIRE(s->rank == 2 && s->dim[0] == x->dim[0], "s is not [runs, heads]");
    REQUIRE(tensor_last(x) % s->dim[1] == 0, "the channels of x do not divide into heads");
    REQUIRE(n->arg.heads == 0 || n->arg.heads == s->dim[1], "s has another number of heads");
    tensor_like(n->out, x);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *s = n->in[1];
    k->headscale_fwd(n->out->x, x->x, s->x, x->dim[0], tensor_rows(x), s->dim[1],
                     tensor_last(x) / s->dim[1]);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *s = n->in[1];
    k->headscale_bwd(x->g, s->g, n->out->g, x->x, s->x, x->dim[0], tensor_rows(x), s->dim[1],
                     tensor_last(x) / s->dim[1]);
}

static double flops(const node *n) { return (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, {1, {2}}}},   {.in = {{1, {1}}, {1, {1}}}},
    {.in = {{3, {3, 11, 33}}, {1, {1}}}}, {.in = {{3, {1, 33, 33}}, {1, {33}}}},
    {.in = {{2, {3, 129}}, {1, {3}}}},    {.in = {{3, {3, 11, 24}}, {1, {3}}}},
    {.in = {{2, {4099, 4}}, {1, {1}}}},
};

const op K(op_headscale) = {
    .name = "headscale",
    .math = "y_h = x_h s_h",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
