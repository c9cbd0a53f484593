/* mixconv.c - causal convolution whose taps are matrices over heads:
 * y[t,h,:] = sum_k sum_j w[k,h,j] x[t - k dilation,j,:] (multi-head convolution of CAT).
 *
 * Inputs: x [R,B,T,H D], w [R,W,H,H]. .dilation (0: 1). Cost 2 W H per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int dilation_of(const node *n) { return n->arg.dilation ? n->arg.dilation : 1; }

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(w->rank == 4 && w->dim[0] == x->dim[0] && w->dim[2] == w->dim[3],
            "w is not [runs, width, heads, heads]");
    REQUIRE(x->dim[3] % w->dim[2] == 0, "the channels of x do not divide into heads");
    REQUIRE(dilation_of(n) > 0, "dilation is negative");
    tensor_like(n->out, x);
    n->work_n = mixconv_work(w->dim[2], w->dim[1]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, *w = n->in[1]->dim;
    k->mixconv_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->work, dim[0], dim[1], dim[2], w[2],
                   dim[3] / w[2], w[1], dilation_of(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, *w = n->in[1]->dim;
    k->mixconv_bwd(n->in[0]->g, n->in[1]->g, n->out->g, n->in[0]->x, n->in[1]->x, n->work, dim[0],
                   dim[1], dim[2], w[2], dim[3] / w[2], w[1], dilation_of(n));
}

static double flops(const node *n) {
    return 2.0 * (double)n->out->n * n->in[1]->dim[1] * n->in[1]->dim[2];
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, {3, {3, 2, 2}}}},
    {.in = {{3, {1, 1, 1}}, {3, {1, 1, 1}}}},
    {.in = {{3, {2, 17, 12}}, {3, {2, 4, 4}}}, .arg = {.dilation = 3}},
    {.in = {{3, {1, 33, 129}}, {3, {2, 3, 3}}}},
    {.in = {{3, {1, 3, 33}}, {3, {5, 1, 1}}}}, /* width > time */
    /* on a GPU: a tile of heads and one more, more weights than are held at once, two slabs */
    {.in = {{3, {1, 5, 9}}, {3, {2, 9, 9}}}},
    {.in = {{3, {2, 33, 10}}, {3, {2, 2, 2}}}},
};

const op K(op_mixconv) = {
    .name = "mixconv",
    .math = "y[t,h] = sum_k sum_j w[k,h,j] x[t - k dilation,j]",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
