/* quant8.c - activations on a grid of 8 bits per token (BitNet b1.58).
 *
 *   a = max_c |x_c| / 127 (the maximum at least .eps), y = a round(x / a)
 *
 * Input: x [R,...,C]. Output like x. Backward passes straight through, dx = dy. Halves round to
 * even. Cost 4 per element. Source: Ma et al. 2024, arXiv 2402.17764; the grid is symmetric, so
 * -128 is not used. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int cols = tensor_last(n->in[0]);
    k->quant8_fwd(n->out->x, n->in[0]->x, (long)n->out->n / cols, cols,
                  n->arg.eps ? n->arg.eps : 1e-5);
}

static void backward(const node *n, const kernels *k) {
    k->quant8_bwd(n->in[0]->g, n->out->g, (long)n->out->n);
}

static double flops(const node *n) { return 4 * (double)n->out->n; }

static const double zeros[6] = {0};
static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}}}},
    {.in = {{2, {3, 2}, .value = zeros}}},
    {.in = {{2, {33, 129}, .lo = -9, .hi = 9}}},
    {.in = {{2, {9, 64}}}},
    {.in = {{2, {2, 300}}}}, /* GPU: a lane takes several units */
};

const op K(op_quant8) = {
    .name = "quant8",
    .math = "y = a round(x / a), a = max |x| / 127 per token",
    .min_in = 1,
    .max_in = 1,
    .flags = OP_SURROGATE,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
