/* tokenconv.c - causal convolution whose taps differ from token to token (Wu et al. 2019, dynamic
 * convolution): y[t,c] = sum_k taps[t,g(c),k] x[t - k dilation,c].
 *
 * Inputs: x [R,B,T,C], taps [R,B,T,G W]; .heads = G groups of C / G channels share taps. .dilation
 * (0: 1). dtaps[t,g,k] = sum over the channels of g of dy[t] x[t - k dilation]. Cost 2 W per
 * element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int groups_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }
static int dilation_of(const node *n) { return n->arg.dilation ? n->arg.dilation : 1; }
static int width_of(const node *n) { return tensor_last(n->in[1]) / groups_of(n); }

static const char *shape(node *n) {
    const tensor *x = n->in[0], *taps = n->in[1];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(groups_of(n) > 0 && tensor_last(x) % groups_of(n) == 0,
            "the channels of x do not divide into groups");
    REQUIRE(tensor_last(taps) % groups_of(n) == 0 && tensor_rows(taps) == tensor_rows(x) &&
                taps->dim[0] == x->dim[0],
            "taps is not [runs, batch, time, groups width]");
    REQUIRE(dilation_of(n) > 0, "dilation is negative");
    tensor_like(n->out, x);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->tokenconv_fwd(n->out->x, n->in[0]->x, n->in[1]->x, dim[0] * dim[1], dim[2], dim[3],
                     width_of(n), groups_of(n), dilation_of(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->tokenconv_bwd(n->in[0]->g, n->in[1]->g, n->out->g, n->in[0]->x, n->in[1]->x, dim[0] * dim[1],
                     dim[2], dim[3], width_of(n), groups_of(n), dilation_of(n));
}

static double flops(const node *n) { return 2.0 * (double)n->out->n * width_of(n); }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, {3, {2, 3, 6}}}, .arg = {.heads = 2}},
    {.in = {{3, {1, 1, 1}}, {3, {1, 1, 1}}}},
    {.in = {{3, {2, 17, 12}}, {3, {2, 17, 12}}}, .arg = {.heads = 3, .dilation = 2}},
    {.in = {{3, {1, 33, 129}}, {3, {1, 33, 4}}}, .arg = {.heads = 1}},
    {.in = {{3, {1, 3, 33}}, {3, {1, 3, 165}}}, .arg = {.heads = 33}}, /* width > time */
    /* groups of several vectors, and more channels than the lanes of a GPU take at once */
    {.in = {{3, {2, 9, 24}}, {3, {2, 9, 6}}}, .arg = {.heads = 2, .dilation = 3}},
    {.in = {{3, {1, 5, 136}}, {3, {1, 5, 3}}}},
};

const op K(op_tokenconv) = {
    .name = "tokenconv",
    .math = "y[t,c] = sum_k taps[t,g(c),k] x[t - k dilation,c]",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
