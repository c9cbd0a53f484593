/* ternary.c - weights of three values, -a, 0 and a, per matrix (BitNet b1.58).
 *
 *   a = mean |w| (at least .eps), y = a clip(round(w / a), -1, 1)
 *
 * Input: w [...,in,out], one matrix per run and per leading index. Output like w. Rounding has no
 * useful derivative: backward passes straight through, dw = dy. Halves round to even. Cost 4 per
 * weight. Source: Ma et al. 2024, arXiv 2402.17764, equations 1 to 3. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static long size_of(const tensor *w) { return (long)w->dim[w->rank - 2] * w->dim[w->rank - 1]; }

static const char *shape(node *n) {
    REQUIRE(n->in[0]->rank >= 3, "w is not [runs, ..., in, out]");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *w = n->in[0];
    k->ternary_fwd(n->out->x, w->x, (int)((long)w->n / size_of(w)), size_of(w),
                   n->arg.eps ? n->arg.eps : 1e-5);
}

static void backward(const node *n, const kernels *k) {
    k->ternary_bwd(n->in[0]->g, n->out->g, (long)n->out->n);
}

static double flops(const node *n) { return 4 * (double)n->out->n; }

static const double zeros[6] = {0};
static const op_case cases[] = {
    {.in = {{2, {3, 5}}}},
    {.in = {{2, {1, 1}}}},
    {.in = {{2, {3, 2}, .value = zeros}}},
    {.in = {{3, {3, 17, 33}}}},
    {.in = {{2, {33, 129}, .lo = -9, .hi = 9}}}, /* GPU: three partial sums */
};

const op K(op_ternary) = {
    .name = "ternary",
    .math = "y = a clip(round(w / a), -1, 1), a = mean |w|",
    .min_in = 1,
    .max_in = 1,
    .flags = OP_SURROGATE,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
