/* fill.c - a constant for every position: y = .scale, .heads (0: 1) numbers per row of x.
 *
 * Input: x [R,...,C], for its rows only. Output [R,...,heads]. No gradient. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    int dim[MAX_RANK];
    REQUIRE(n->arg.heads >= 0, "the number of channels is negative");
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = n->arg.heads ? n->arg.heads : 1;
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->fill_fwd(n->out->x, n->arg.scale, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    (void)n; /* nothing depends on x */
    (void)k;
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}, .arg = {.scale = 1}},
    {.in = {{2, {1, 1}}}, .arg = {.scale = -.5, .heads = 3}},
    {.in = {{2, {33, 2}}}, .arg = {.scale = 2, .heads = 129}},
};

const op K(op_fill) = {
    .name = "fill",
    .math = "y = a",
    .min_in = 1,
    .max_in = 1,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
