/* embed.c - y[r,b,t,:] = table[r,ids[r,b,t],:].
 *
 * Inputs: ids int [R,B,T], each in [0, V); table [R,V,C]. Output [R,B,T,C]. dtable adds dy at the
 * ids, in the order of rows. An id outside the table stops the program. No arithmetic forward. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *ids = n->in[0], *table = n->in[1];
    REQUIRE(ids->kind == TENSOR_INT && ids->rank >= 1 && ids->rank < MAX_RANK,
            "ids is not an int input [runs, batch, time]");
    REQUIRE(table->rank == 3 && table->dim[0] == ids->dim[0],
            "table is not [runs, vocab, channels]");
    int dim[MAX_RANK];
    for (int i = 0; i < ids->rank; i++) dim[i] = ids->dim[i];
    dim[ids->rank] = table->dim[2];
    tensor_shape(n->out, ids->rank + 1, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *table = n->in[1];
    k->embed_fwd(n->out->x, table->x, n->in[0]->x, table->dim[0], tensor_rows(n->out),
                 table->dim[1], table->dim[2]);
}

static void backward(const node *n, const kernels *k) {
    const tensor *table = n->in[1];
    k->embed_bwd(table->g, n->out->g, n->in[0]->x, table->dim[0], tensor_rows(n->out),
                 table->dim[1], table->dim[2]);
}

static const op_case cases[] = {
    {.in = {{2, {2, 3}, .below = 7}, {2, {7, 5}}}},
    {.in = {{2, {1, 1}, .below = 1}, {2, {1, 1}}}},
    {.in = {{2, {3, 33}, .below = 3}, {2, {3, 33}}}},
    {.in = {{2, {1, 5}, .below = 129}, {2, {129, 3}}}},
    {.in = {{2, {3, 129}, .below = 300}, {2, {300, 4}}}}, /* more ids than fit a digit of 8 bits */
    {.in = {{2, {5, 129}, .below = 2}, {2, {2, 36}}}},    /* each id hundreds of times */
    {.in = {{1, {33}, .below = 70000}, {2, {70000, 1}}}}, /* three digits, few of the ids occur */
};

const op K(op_embed) = {
    .name = "embed",
    .math = "y = table[ids]",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
