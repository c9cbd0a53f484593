/* logits.c - z = x w^T for every position: for probing a model, not for training (see head.c).
 *
 * Inputs: x [R,B,T,C], w [R,V,C]. Output z [R,B,T,V]. dx = dz w, dw = dz^T x. Cost 2 rows C V. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0], "w is not [runs, vocab, cols]");
    REQUIRE(tensor_last(w) == tensor_last(x), "x and w have different numbers of channels");
    int dim[MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = w->dim[1];
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->logits_fwd(n->out->x, x->x, w->x, x->dim[0], tensor_rows(x), tensor_last(x), w->dim[1]);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->logits_bwd(x->g, w->g, n->out->g, x->x, w->x, x->dim[0], tensor_rows(x), tensor_last(x),
                  w->dim[1]);
}

static double flops(const node *n) { return 2.0 * (double)n->in[0]->n * n->in[1]->dim[1]; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {2, {7, 5}}}},
    {.in = {{3, {1, 1, 1}}, {2, {1, 1}}}},
    {.in = {{3, {3, 11, 33}}, {2, {129, 33}}}},
    {.in = {{3, {5, 13, 20}}, {2, {66, 20}}}}, /* GPU: just over two tiles each way */
    {.in = {{3, {1, 3, 2}}, {2, {401, 2}}}},   /* GPU: dx in parts of the vocabulary */
};

const op K(op_logits) = {
    .name = "logits",
    .math = "z = x w^T",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
