/* route.c - the .steps largest of each row of logits, and softmax weights over these alone.
 *
 * Input: z [R,...,E]. Output: weight [R,...,K], K = .steps, largest first, the lower index first
 * among equals; aux: choice int [R,...,K], the expert of each. The choice is piecewise constant, so
 * gradients go through the weights only: dz_choice(k) = w_k (dw_k - dw . w). Cost K E + 6 K per
 * row. Source: Shazeer et al. 2017, with the softmax after the choice as in Jiang et al. 2024. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *z = n->in[0];
    int dim[MAX_RANK];
    REQUIRE(n->arg.steps >= 1 && n->arg.steps <= tensor_last(z),
            "the number of chosen experts is not from 1 to all");
    for (int i = 0; i < z->rank; i++) dim[i] = z->dim[i];
    dim[z->rank - 1] = n->arg.steps;
    tensor_shape(n->out, z->rank, dim);
    tensor_shape(n->aux, z->rank, dim);
    n->aux->kind = TENSOR_INT;
    return NULL;
}

static long rows_of(const node *n) { return (long)n->in[0]->n / tensor_last(n->in[0]); }

static void forward(const node *n, const kernels *k) {
    k->route_fwd(n->out->x, n->aux->x, n->in[0]->x, rows_of(n), tensor_last(n->in[0]),
                 n->arg.steps);
}

static void backward(const node *n, const kernels *k) {
    k->route_bwd(n->in[0]->g, n->out->g, n->out->x, n->aux->x, rows_of(n), tensor_last(n->in[0]),
                 n->arg.steps);
}

static double flops(const node *n) { return (double)n->out->n * (tensor_last(n->in[0]) + 6); }

/* Logits of a row with neighbours at least 0.02 apart, so that no difference moves a choice. */
#define APART(a) a, a + .3, a - 1.2, a + 2.1, a - .7, a + .9
static const double apart[] = {APART(0), APART(.04), APART(-2), APART(1), APART(.5), APART(3)};
static const double equal[] = {1, 1, 1, 0, 2, 0, -3, 2, 2};

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}, .value = apart}}, .arg = {.steps = 2}},
    {.in = {{2, {6, 6}, .value = apart}}, .arg = {.steps = 1}},
    {.in = {{1, {1}}}, .arg = {.steps = 1}},
    {.in = {{2, {6, 6}, .value = apart}}, .arg = {.steps = 6}},
    {.in = {{2, {3, 3}, .value = equal, .fixed = true}}, .arg = {.steps = 2}},
    {.in = {{2, {33, 129}, .lo = -9, .hi = 9, .fixed = true}}, .arg = {.steps = 3}},
    {.in = {{2, {300, 4}, .lo = -90, .hi = 90}}, .arg = {.steps = 2}}, /* GPU: three blocks */
};

const op K(op_route) = {
    .name = "route",
    .math = "choice = top k of z; w = softmax(z[choice])",
    .min_in = 1,
    .max_in = 1,
    .reads = READS_OUT | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
