/* repeat.c - each head of channels .steps times: keys and values that several query heads share
 * (grouped-query attention, Ainslie et al. 2023).
 *
 * Input: x [R,...,C], .heads = G groups of C / G channels. Output [R,...,C steps]: group g stands
 * at heads g steps ... g steps + steps - 1. dx sums over the copies, in order. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    int dim[MAX_RANK];
    REQUIRE(n->arg.heads > 0 && tensor_last(x) % n->arg.heads == 0,
            "the channels of x do not divide into heads");
    REQUIRE(n->arg.steps > 0, "there are no copies");
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] *= n->arg.steps;
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->repeat_fwd(n->out->x, x->x, (long)x->dim[0] * tensor_rows(x), n->arg.heads,
                  tensor_last(x) / n->arg.heads, n->arg.steps);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->repeat_bwd(x->g, n->out->g, (long)x->dim[0] * tensor_rows(x), n->arg.heads,
                  tensor_last(x) / n->arg.heads, n->arg.steps);
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}}, .arg = {.heads = 2, .steps = 2}},
    {.in = {{1, {1}}}, .arg = {.heads = 1, .steps = 1}},
    {.in = {{2, {33, 129}}}, .arg = {.heads = 3, .steps = 3}},
    {.in = {{2, {35, 48}}}, .arg = {.heads = 4, .steps = 5}}, /* fours of channels on a GPU */
};

const op K(op_repeat) = {
    .name = "repeat",
    .math = "y_{g,j} = x_g, j < steps",
    .min_in = 1,
    .max_in = 1,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
