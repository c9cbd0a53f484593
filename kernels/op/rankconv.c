/* rankconv.c - causal convolution whose taps are affine in a low-rank code of the token:
 * y[t,c] = sum_k (w[k,c] + sum_e z[t,e] u[e,k,c]) x[t - k dilation,c].
 *
 * Inputs: x [R,B,T,C], z [R,B,T,E], u [R,E,W,C], w [R,W,C]. .dilation (0: 1). Taps [T,W,C] are made
 * for a few tokens at a time, forward and backward, and never stored:
 * dtaps[t,k,c] = dy[t,c] x[t - k dilation,c], dz = dtaps u^T, du = z^T dtaps, dw = sum dtaps.
 * Cost 2 W (E + 1) per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int dilation_of(const node *n) { return n->arg.dilation ? n->arg.dilation : 1; }

static const char *shape(node *n) {
    const tensor *x = n->in[0], *z = n->in[1], *u = n->in[2], *w = n->in[3];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(z->dim[0] == x->dim[0] && tensor_rows(z) == tensor_rows(x), "z differs in rows from x");
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0] && w->dim[2] == x->dim[3],
            "w is not [runs, width, channels]");
    REQUIRE(u->rank == 4 && u->dim[0] == x->dim[0] && u->dim[1] == tensor_last(z) &&
                u->dim[2] == w->dim[1] && u->dim[3] == x->dim[3],
            "u is not [runs, rank, width, channels]");
    REQUIRE(dilation_of(n) > 0, "dilation is negative");
    tensor_like(n->out, x);
    n->work_n = rankconv_work(x->dim[2], x->dim[3], w->dim[1], tensor_last(z));
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->rankconv_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->work, dim[0],
                    dim[1], dim[2], dim[3], n->in[3]->dim[1], tensor_last(n->in[1]),
                    dilation_of(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->rankconv_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->in[3]->g, n->out->g, n->in[0]->x,
                    n->in[1]->x, n->in[2]->x, n->in[3]->x, n->work, dim[0], dim[1], dim[2], dim[3],
                    n->in[3]->dim[1], tensor_last(n->in[1]), dilation_of(n));
}

static double flops(const node *n) {
    return 2.0 * (double)n->out->n * n->in[3]->dim[1] * (tensor_last(n->in[1]) + 1);
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {3, {2, 3, 2}}, {3, {2, 3, 5}}, {2, {3, 5}}}},
    {.in = {{3, {1, 1, 1}}, {3, {1, 1, 1}}, {3, {1, 1, 1}}, {2, {1, 1}}}},
    {.in = {{3, {2, 35, 9}}, {3, {2, 35, 3}}, {3, {3, 2, 9}}, {2, {2, 9}}}, .arg = {.dilation = 3}},
    {.in = {{3, {1, 65, 3}}, {3, {1, 65, 5}}, {3, {5, 4, 3}}, {2, {4, 3}}}},
    {.in = {{3, {1, 3, 33}}, {3, {1, 3, 4}}, {3, {4, 5, 33}}, {2, {5, 33}}}}, /* width > time */
    /* one more than a GPU takes at once: codes of a tile, codes held, channels, rows of a sequence
     */
    {.in = {{3, {2, 33, 5}}, {3, {2, 33, 17}}, {3, {17, 2, 5}}, {2, {2, 5}}}},
    {.in = {{3, {1, 5, 3}}, {3, {1, 5, 65}}, {3, {65, 2, 3}}, {2, {2, 3}}}, .arg = {.dilation = 2}},
    {.in = {{3, {1, 17, 129}}, {3, {1, 17, 2}}, {3, {2, 2, 129}}, {2, {2, 129}}}},
};

const op K(op_rankconv) = {
    .name = "rankconv",
    .math = "y[t,c] = sum_k (w[k,c] + sum_e z[t,e] u[e,k,c]) x[t - k dilation,c]",
    .min_in = 4,
    .max_in = 4,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
