/* layernorm.c - y = (x - mean) rstd w + bias (Ba, Kiros, Hinton 2016), rstd = 1 / sqrt(var + eps).
 *
 * Inputs: x [R,...,C], w [R,D], bias [R,D] with D dividing C: every group of D channels is a row of
 * its own. Output as x; aux: mean, rstd [R, rows, C/D, 2]. Reads arg.eps; var divides by D. With u
 * = dy w, z = (x - mean) rstd: dx = rstd (u - mean(u) - z mean(u z)), dw = sum over rows of dy z,
 * dbias = sum over rows of dy. Cost 8 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    REQUIRE(x->rank >= 2, "x is not [runs, ..., cols]");
    for (int i = 1; i < 3; i++)
        REQUIRE(n->in[i]->rank == 2 && n->in[i]->dim[0] == x->dim[0] &&
                    n->in[i]->dim[1] == n->in[1]->dim[1],
                "w or bias is not [runs, cols]");
    REQUIRE(tensor_last(x) % n->in[1]->dim[1] == 0, "the size of w does not divide the cols of x");
    REQUIRE(n->arg.eps > 0, "eps is not positive");
    tensor_like(n->out, x);
    const int groups = tensor_last(x) / n->in[1]->dim[1];
    tensor_shape(n->aux, 4, (int[]){x->dim[0], tensor_rows(x), groups, 2});
    return NULL;
}

static int row_count(const node *n) { return (int)(n->aux->n / (size_t)n->aux->dim[0] / 2); }

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->layernorm_fwd(n->out->x, n->aux->x, x->x, n->in[1]->x, n->in[2]->x, x->dim[0], row_count(n),
                     n->in[1]->dim[1], n->arg.eps);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->layernorm_bwd(x->g, w->g, n->in[2]->g, n->out->g, x->x, w->x, n->aux->x, x->dim[0],
                     row_count(n), w->dim[1]);
}

static double flops(const node *n) { return 8 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {1, {5}}, {1, {5}}}, .arg = {.eps = 1e-5}},
    {.in = {{1, {1}}, {1, {1}}, {1, {1}}}, .arg = {.eps = 1e-2}},
    {.in = {{3, {1, 3, 33}, .lo = 4, .hi = 6}, {1, {33}}, {1, {33}}}, .arg = {.eps = 1e-5}},
    {.in = {{3, {3, 11, 129}}, {1, {129}}, {1, {129}}}, .arg = {.eps = 1e-5}},
    {.in = {{3, {2, 3, 12}}, {1, {4}}, {1, {4}}}, .arg = {.eps = 1e-5}}, /* groups */
    /* rows and columns around the teams, blocks and chunks of norm.cuh */
    {.in = {{2, {259, 4}}, {1, {4}}, {1, {4}}}, .arg = {.eps = 0.1}},
    {.in = {{2, {67, 16}}, {1, {16}}, {1, {16}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {17, 64}}, {1, {64}}, {1, {64}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {9, 512}}, {1, {512}}, {1, {512}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {17, 1027}}, {1, {1027}}, {1, {1027}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {2, 4104}}, {1, {4104}}, {1, {4104}}}, .arg = {.eps = 1e-5}},
};

const op K(op_layernorm) = {
    .name = "layernorm",
    .math = "y = (x - mean) w / sqrt(var + eps) + bias",
    .min_in = 3,
    .max_in = 3,
    .reads = READS_IN(0) | READS_IN(1) | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
