/* tally.c - what a step measures: loss, scored positions and hits, summed per run.
 *
 * Inputs: nll [R,...] and pred int of head, label int (-1: not scored), all of one size. Output
 * [R,3] = sum of nll, number scored, number right. No gradient. Cost 1 per position. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *nll = n->in[0];
    for (int i = 1; i < 3; i++)
        REQUIRE(n->in[i]->kind == TENSOR_INT && n->in[i]->n == nll->n,
                "pred or label is not one int per nll");
    tensor_shape(n->out, 2, (int[]){nll->dim[0], 3});
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *nll = n->in[0];
    const int runs = nll->dim[0];
    k->tally_fwd(n->out->x, nll->x, n->in[1]->x, n->in[2]->x, runs, (int)(nll->n / (size_t)runs));
}

static double flops(const node *n) { return (double)n->in[0]->n; }

#define POSITIONS(...)                                                                             \
    .in = {{2, {__VA_ARGS__}, .fixed = true},                                                      \
           {2, {__VA_ARGS__}, .below = 3, .from = -1},                                             \
           {2, {__VA_ARGS__}, .below = 3, .from = -1}}
static const op_case cases[] = {{POSITIONS(2, 3)}, {POSITIONS(1, 1)}, {POSITIONS(9, 129)}};

const op K(op_tally) = {
    .name = "tally",
    .math = "sum = {sum nll, #(label >= 0), #(pred = label >= 0)}",
    .min_in = 3,
    .max_in = 3,
    .flags = OP_UPDATE,
    .shape = shape,
    .fwd = forward,
    .flops = flops,
    OP_CASES(cases),
};
