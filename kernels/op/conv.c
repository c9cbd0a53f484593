/* conv.c - causal convolution along time:
 * y[r,b,t,c] = sum_k w[r,k,g(c)] x[r,b,t - k dilation,c] (+ bias[r,c]), zero before the start.
 *
 * Inputs: x [R,B,T,C], w [R,W,groups], optionally bias [R,C]; g(c) = c / (C / groups). groups = C
 * is the depthwise convolution, groups = heads gives one scalar tap per head and lag. Reads
 * arg.dilation (0 means 1). W in 1..64, or any for groups = C: a long
 * filter, that may be computed by other nodes. Lags may reach beyond T.
 * dx[t] = sum_k w[k] dy[t + k dilation], dw[k,g] = sum over b, t and the channels of g of
 * dy[t] x[t - k dilation], dbias = sum over b, t of dy. Cost 2 W per element.
 * A CPU applies long filters by their transform (conv_transforms() in work.h): cost log2 T,
 * rounding errors relative to the norm of a channel, and a NaN or infinity anywhere in a channel of
 * a sequence reaches all of it. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int dilation(const node *n) { return n->arg.dilation ? n->arg.dilation : 1; }

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, cols]");
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0], "w is not [runs, width, groups]");
    REQUIRE(w->dim[1] <= 64 || w->dim[2] == x->dim[3],
            "more than 64 taps, and not one filter per channel");
    REQUIRE(x->dim[3] % w->dim[2] == 0, "the channels of x are not a multiple of the groups of w");
    REQUIRE(n->n_in < 3 || (n->in[2]->rank == 2 && n->in[2]->dim[1] == x->dim[3]),
            "bias is not [runs, cols of x]");
    REQUIRE(n->arg.dilation >= 0, "dilation is negative");
    tensor_like(n->out, x);
    n->work_n = conv_work(x->dim[2], w->dim[1], x->dim[3], w->dim[2], dilation(n));
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->conv_fwd(n->out->x, x->x, w->x, in_x(n, 2), n->work, x->dim[0], x->dim[1], x->dim[2],
                x->dim[3], w->dim[1], w->dim[2], dilation(n));
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->conv_bwd(x->g, w->g, in_g(n, 2), n->out->g, x->x, w->x, n->work, x->dim[0], x->dim[1],
                x->dim[2], x->dim[3], w->dim[1], w->dim[2], dilation(n));
}

static double flops(const node *n) { return 2.0 * (double)n->in[0]->n * n->in[1]->dim[1]; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {2, {2, 5}}}},
    {.in = {{3, {1, 1, 1}}, {2, {1, 1}}, {1, {1}}}},
    {.in = {{3, {1, 3, 33}}, {2, {4, 33}}, {1, {33}}}}, /* width > time */
    {.in = {{3, {2, 33, 9}}, {2, {3, 9}}}},
    {.in = {{3, {2, 33, 12}}, {2, {4, 3}}, {1, {12}}}, .arg = {.dilation = 2}},
    {.in = {{3, {1, 33, 6}}, {2, {3, 1}}}, .arg = {.dilation = 5}},
    {.in = {{3, {1, 129, 3}}, {2, {64, 3}}, {1, {3}}}},
    {.in = {{3, {1, 33, 4}}, {2, {33, 2}}}},
    {.in = {{3, {1, 9, 129}}, {2, {5, 129}}, {1, {129}}}, .arg = {.dilation = 5}},
    {.in = {{3, {1, 3, 2}}, {2, {3, 2}}}, .arg = {.dilation = 7}}, /* dilation > time */
    {.in = {{3, {2, 70, 3}}, {2, {70, 3}}}},                       /* as long as the sequence */
    {.in = {{3, {1, 6, 387}}, {2, {2, 129}}}}, /* more channels than a chunk of the kernel */
    /* tiles of the GPU: 4 channels, pieces of 8 rows, 16 rows by 8 lags, taps of 32 rows by 16 lags
     */
    {.in = {{3, {1, 9, 132}}, {2, {2, 132}}, {1, {132}}}},
    {.in = {{3, {2, 17, 16}}, {2, {3, 16}}}},
    {.in = {{3, {1, 37, 8}}, {2, {8, 8}}, {1, {8}}}},
    {.in = {{3, {1, 37, 3}}, {2, {8, 3}}}, .arg = {.dilation = 2}},
    {.in = {{3, {2, 40, 36}}, {2, {3, 1}}}},
    {.in = {{3, {2, 47, 5}}, {2, {17, 5}}, {1, {5}}}},
    {.in = {{3, {1, 70, 40}}, {2, {7, 4}}, {1, {40}}}, .arg = {.dilation = 2}},
    {.in = {{3, {2, 9, 3}}, {2, {1, 3}}, {1, {3}}}},
    {.in = {{3, {5, 9, 3}}, {2, {20, 3}}, {1, {3}}}}, /* several sequences to a row of sums */
    {.in = {{3, {3, 20, 3}}, {2, {20, 3}}}, .arg = {.dilation = 3}},
    {.in = {{3, {2, 523, 2}}, {2, {523, 2}}}}, /* longer than a piece */
    /* transforms of a CPU: 2, 3, 4 and 6 blocks, more channels than lanes, filters of any length */
    {.in = {{3, {2, 128, 3}}, {2, {200, 3}}}},
    {.in = {{3, {1, 190, 2}}, {2, {190, 2}}, {1, {2}}}},
    {.in = {{3, {2, 256, 17}}, {2, {100, 17}}, {1, {17}}}},
    {.in = {{3, {1, 300, 1}}, {2, {300, 1}}}},
};

const op K(op_conv) = {
    .name = "conv",
    .math = "y[t,c] = sum_k w[k,g(c)] x[t - k dilation,c] (+ bias[c])",
    .min_in = 2,
    .max_in = 3,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
