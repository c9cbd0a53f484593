/* favor.c - positive random features of the softmax kernel (Choromanski et al. 2021, FAVOR+):
 * phi(x)_m = M^-1/2 (exp(w_m . u - |u|^2 / 2) + eps), u = x d^-1/4, so that the mean of
 * phi(x) . phi(z) over normal w is exp(x . z / sqrt(d)) (eps = 0).
 *
 * Inputs: x [R,...,H d], w [R,M,d] (directions, shared by the heads; fixed: no gradient reaches
 * them). Output [R,...,H M]. .eps keeps denominators away from zero. No maximum is subtracted, as
 * one over keys would look ahead: the exponent is |w|^2 / 2 - |u - w|^2 / 2, at most |w|^2 / 2,
 * about d / 2 +- sqrt(d / 2), whatever x is. Cost 2 d + 2 per feature, an exponential counted as
 * one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int dim_of(const node *n) { return tensor_last(n->in[1]); }
static int features_of(const node *n) { return n->in[1]->dim[1]; }
static long rows_of(const node *n) { return (long)n->in[0]->n / n->in[0]->dim[0] / dim_of(n); }

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    int dim[MAX_RANK];
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0], "w is not [runs, features, channels]");
    REQUIRE(tensor_last(x) % dim_of(n) == 0, "the channels of x do not divide into heads");
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    dim[x->rank - 1] = tensor_last(x) / dim_of(n) * features_of(n);
    tensor_shape(n->out, x->rank, dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->favor_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->in[0]->dim[0], rows_of(n), dim_of(n),
                 features_of(n), n->arg.eps);
}

static void backward(const node *n, const kernels *k) {
    k->favor_bwd(n->in[0]->g, n->out->g, n->out->x, n->in[0]->x, n->in[1]->x, n->in[0]->dim[0],
                 rows_of(n), dim_of(n), features_of(n), n->arg.eps);
}

static double flops(const node *n) { return (2.0 * dim_of(n) + 2) * (double)n->out->n; }

#define FIXED(...)                                                                                 \
    { 2, {__VA_ARGS__}, .fixed = true }
static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, FIXED(5, 3)}, .arg = {.eps = 1e-6}},
    {.in = {{1, {1}}, FIXED(1, 1)}},
    {.in = {{2, {33, 129}}, FIXED(7, 43)}, .arg = {.eps = 1e-3}},
    {.in = {{2, {9, 33}}, FIXED(129, 33)}, .arg = {.eps = 1e-6}},
};

const op K(op_favor) = {
    .name = "favor",
    .math = "y_m = M^-1/2 (exp(w_m.u - |u|^2 / 2) + eps), u = x d^-1/4",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1) | READS_OUT,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
