/* l2norm.c - y = x / sqrt(sum x^2 + eps) over groups of channels.
 *
 * Input: x [R,...,C]; .heads = groups per row (0: 1), so a group has C / heads channels; .eps 0:
 * 1e-6. Output like x; aux: 1 / sqrt(sum x^2 + eps) [R,...,heads], read by backward. No scale is
 * learned here (headscale does that). Cost 3 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int groups_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }
static double eps_of(const node *n) { return n->arg.eps > 0 ? n->arg.eps : 1e-6; }

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    REQUIRE(groups_of(n) > 0 && tensor_last(x) % groups_of(n) == 0,
            "the channels of x do not divide into heads");
    tensor_like(n->out, x);
    int dim[MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = groups_of(n);
    tensor_shape(n->aux, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->l2norm_fwd(n->out->x, n->aux->x, n->in[0]->x, (long)n->aux->n,
                  tensor_last(n->out) / groups_of(n), eps_of(n));
}

static void backward(const node *n, const kernels *k) {
    k->l2norm_bwd(n->in[0]->g, n->out->g, n->in[0]->x, n->aux->x, (long)n->aux->n,
                  tensor_last(n->out) / groups_of(n));
}

static double flops(const node *n) { return 3.0 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}, .lo = 0.5, .hi = 1}}},
    {.in = {{3, {3, 11, 33}}}, .arg = {.heads = 11, .eps = 1e-2}},
    {.in = {{3, {2, 3, 129}}}, .arg = {.heads = 3}},
    {.in = {{2, {33, 64}}}, .arg = {.heads = 1, .eps = 1e-12}},
    /* rows and columns around the teams and blocks of norm.cuh */
    {.in = {{2, {65, 16}}}, .arg = {.heads = 4}},
    {.in = {{2, {9, 128}}}},
    {.in = {{2, {3, 1024}}}},
    {.in = {{1, {4100}}}},
};

const op K(op_l2norm) = {
    .name = "l2norm",
    .math = "y = x / sqrt(sum over the group of x^2 + eps)",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_IN(0) | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
