/* dropout.c - y = keep ? x / (1 - rate) : 0 in training, else y = x (Srivastava et al. 2014).
 *
 * Inputs: x [R,B,...], rate [R] in [0, 1), key int [R,2], tick int [3] = {step, index of the first
 * example within the batch, training}. Reads arg.site, which tells the places of one model apart.
 * The mask is a pure function of key, step, example, site and element (Philox; see kernels.def), so
 * backward makes it again: dx = keep ? dy / (1 - rate) : 0. Cost 1 per element, mask not counted.
 */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *rate = n->in[1], *key = n->in[2], *tick = n->in[3];
    const size_t runs = (size_t)x->dim[0];
    REQUIRE(x->rank >= 2, "x is not [runs, batch, ...]");
    REQUIRE(rate->kind != TENSOR_INT && rate->n == runs, "rate is not one real per run");
    REQUIRE(key->kind == TENSOR_INT && key->n == 2 * runs, "key is not int [runs, 2]");
    REQUIRE(tick->kind == TENSOR_INT && tick->n == 3, "tick is not int [3]");
    tensor_like(n->out, x);
    return NULL;
}

static long example(const tensor *x) { return (long)(x->n / (size_t)x->dim[0]) / x->dim[1]; }

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->dropout_fwd(n->out->x, x->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->arg.site, x->dim[0],
                   x->dim[1], example(x));
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->dropout_bwd(x->g, n->out->g, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->arg.site, x->dim[0],
                   x->dim[1], example(x));
}

static double flops(const node *n) { return (double)n->out->n; }

#define RATE(low, high)                                                                            \
    { 0, {0}, .lo = (low), .hi = (high), .fixed = true }
#define KEY                                                                                        \
    { 1, {2}, .below = 1 << 30 }
#define TICK(step, first, training)                                                                \
    { 1, {3}, .below = 1 << 30, .value = (const double[]){step, first, training}, .shared = true }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, RATE(.2, .8), KEY, TICK(7, 2, 1)}, .arg = {.site = 3}},
    {.in = {{1, {1}}, RATE(.4, .6), KEY, TICK(1, 0, 1)}},
    {.in = {{3, {3, 11, 129}}, RATE(.05, .15), KEY, TICK(900, 64, 1)}, .arg = {.site = 1}},
    {.in = {{3, {2, 33, 8}}, RATE(.2, .8), KEY, TICK(7, 2, 1)}, .arg = {.site = 3}},
    {.in = {{2, {3, 33}}, RATE(.2, .8), KEY, TICK(7, 0, 0)}},     /* not training */
    {.in = {{2, {3, 33}}, RATE(-1e-300, 0), KEY, TICK(7, 0, 1)}}, /* nothing is dropped */
};

const op K(op_dropout) = {
    .name = "dropout",
    .math = "y = keep x / (1 - rate)",
    .min_in = 4,
    .max_in = 4,
    .reads = READS_IN(1) | READS_IN(2) | READS_IN(3),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
