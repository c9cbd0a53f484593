/* taylor.c - features whose inner products are the second Taylor polynomial of exp:
 * phi(x) . phi(z) = 1 + s + s^2 / 2, s = x . z / sqrt(d) (Arora et al. 2024, "Based").
 *
 * Input: x [R,...,H d], .heads (0: 1) = H. Output [R,...,H (1 + d + d^2)], per head
 * (1, x_i d^-1/4, x_i x_j / sqrt(2 d)). d up to 31: a head has as many features as linear attention
 * takes key channels. Cost 2 per feature. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int heads_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }
static int dim_of(const node *n) { return tensor_last(n->in[0]) / heads_of(n); }
static long groups_of(const node *n) { return (long)n->in[0]->n / dim_of(n); }

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    int dim[MAX_RANK];
    REQUIRE(heads_of(n) > 0 && tensor_last(x) % heads_of(n) == 0,
            "the channels of x do not divide into heads");
    const int d = dim_of(n);
    REQUIRE(d <= TAYLOR_MAX_DIM, "a head has more than 31 channels");
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = heads_of(n) * (1 + d + d * d);
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->taylor_fwd(n->out->x, n->in[0]->x, groups_of(n), dim_of(n));
}

static void backward(const node *n, const kernels *k) {
    k->taylor_bwd(n->in[0]->g, n->out->g, n->in[0]->x, groups_of(n), dim_of(n));
}

static double flops(const node *n) { return 2 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}}, .arg = {.heads = 2}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 16}}}},
    {.in = {{2, {3, 31}}}},
    {.in = {{3, {2, 5, 51}}}, .arg = {.heads = 3}},
};

const op K(op_taylor) = {
    .name = "taylor",
    .math = "y = (1, x_i d^-1/4, x_i x_j / sqrt(2 d))",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
