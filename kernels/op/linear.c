/* linear.c - y[r,i,o] = sum_k x[r,i,k] w[r,k,o] (+ bias[r,o]).
 *
 * Inputs: x [R,...,in], w [R,in,out], optionally bias [R,out]. Output [R,...,out].
 * dx = dy w^T, dw = x^T dy, dbias = sum over rows of dy. Cost 2 rows in out. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(w->rank == 3, "w is not [runs, in, out]");
    REQUIRE(w->dim[0] == x->dim[0], "x and w have different numbers of runs");
    REQUIRE(tensor_last(x) == w->dim[1], "the last axis of x is not the input size of w");
    REQUIRE(n->n_in < 3 || (n->in[2]->rank == 2 && n->in[2]->dim[1] == w->dim[2]),
            "bias is not [runs, out]");
    int dim[MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = w->dim[2];
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->linear_fwd(n->out->x, x->x, w->x, in_x(n, 2), x->dim[0], tensor_rows(x), w->dim[1],
                  w->dim[2]);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->linear_bwd(x->g, w->g, in_g(n, 2), n->out->g, x->x, w->x, x->dim[0], tensor_rows(x),
                  w->dim[1], w->dim[2]);
}

static double flops(const node *n) { return 2.0 * (double)n->in[0]->n * n->in[1]->dim[2]; }

static const op_case cases[] = {
    {.in = {{2, {3, 5}}, {2, {5, 4}}}},
    {.in = {{1, {1}}, {2, {1, 1}}}},
    {.in = {{3, {3, 11, 33}}, {2, {33, 17}}, {1, {17}}}},
    {.in = {{3, {2, 9, 64}}, {2, {64, 129}}, {1, {129}}}},
    {.in = {{3, {1, 129, 3}}, {2, {3, 33}}}},
    {.in = {{2, {5, 300}}, {2, {300, 7}}, {1, {7}}}},        /* forward in two blocks of k */
    {.in = {{3, {2, 150, 3}}, {2, {3, 5}}, {1, {5}}}},       /* dw in two blocks of k */
    {.in = {{2, {1, 33}}, {2, {33, 65}}, {1, {65}}}},        /* one row; a column over a panel */
    {.in = {{3, {1, 127, 17}}, {2, {17, 125}}, {1, {125}}}}, /* GPU: a large tile, not full */
    {.in = {{2, {61, 5}}, {2, {5, 64}}}},                    /* GPU: a medium tile */
    {.in = {{2, {5, 400}}, {2, {400, 7}}, {1, {7}}}},        /* GPU: forward in parts of k */
    {.in = {{3, {2, 300, 3}}, {2, {3, 8}}, {1, {8}}}},       /* GPU: dw and dbias in parts */
};

const op K(op_linear) = {
    .name = "linear",
    .math = "y = x w (+ bias)",
    .min_in = 2,
    .max_in = 3,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
