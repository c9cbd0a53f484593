/* rmsnorm.c - y = x rstd w, rstd = 1 / sqrt(mean_c x^2 + eps) (Zhang and Sennrich 2019).
 *
 * Inputs: x [R,...,C], w [R,D] with D dividing C: every group of D channels (a head) is a row of
 * its own. Output as x; aux: rstd [R, rows, C/D]. Reads arg.eps. With u = dy w, means over D: dx =
 * rstd u - x rstd^3 mean(u x), dw = sum over rows of dy x rstd. Cost 4 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(x->rank >= 2, "x is not [runs, ..., cols]");
    REQUIRE(w->rank == 2 && w->dim[0] == x->dim[0], "w is not [runs, cols]");
    REQUIRE(tensor_last(x) % w->dim[1] == 0, "the size of w does not divide the cols of x");
    REQUIRE(n->arg.eps > 0, "eps is not positive");
    tensor_like(n->out, x);
    tensor_shape(n->aux, 3, (int[]){x->dim[0], tensor_rows(x), tensor_last(x) / w->dim[1]});
    return NULL;
}

static int row_count(const node *n) { return (int)(n->aux->n / (size_t)n->aux->dim[0]); }

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->rmsnorm_fwd(n->out->x, n->aux->x, x->x, w->x, x->dim[0], row_count(n), w->dim[1],
                   n->arg.eps);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->rmsnorm_bwd(x->g, w->g, n->out->g, x->x, w->x, n->aux->x, x->dim[0], row_count(n),
                   w->dim[1]);
}

static double flops(const node *n) { return 4 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {1, {5}}}, .arg = {.eps = 1e-5}},
    {.in = {{1, {1}}, {1, {1}}}, .arg = {.eps = 1e-2}},
    {.in = {{3, {1, 3, 33}}, {1, {33}}}, .arg = {.eps = 1e-6}},
    {.in = {{3, {3, 11, 129}}, {1, {129}}}, .arg = {.eps = 1e-5}},
    {.in = {{3, {2, 5, 12}}, {1, {4}}}, .arg = {.eps = 1e-5}}, /* three heads */
    /* rows and columns around the teams, blocks and chunks of norm.cuh */
    {.in = {{2, {259, 4}}, {1, {4}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {4100, 5}}, {1, {5}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {35, 32}}, {1, {32}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {17, 256}}, {1, {256}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {9, 510}}, {1, {510}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {17, 516}}, {1, {516}}}, .arg = {.eps = 1e-5}},
    {.in = {{2, {2, 4101}}, {1, {4101}}}, .arg = {.eps = 1e-5}},
};

const op K(op_rmsnorm) = {
    .name = "rmsnorm",
    .math = "y = x w / sqrt(mean x^2 + eps)",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1) | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
