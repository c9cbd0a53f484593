/* charge.c - adds a loss of its own to training, without changing what the model computes.
 *
 * Inputs: x, loss. Output y = x. The tape has one root, the cross-entropy; a second loss joins it
 * in backward: dx = dy, and every element of loss gets the gradient .scale, as if .scale times its
 * sum were added to the loss of the tape. Evaluation sees none of it. Cost: one copy. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    REQUIRE(n->in[0]->dim[0] == n->in[1]->dim[0], "x and loss have different numbers of runs");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->charge_fwd(n->out->x, n->in[0]->x, (long)n->out->n);
}

static void backward(const node *n, const kernels *k) {
    k->charge_bwd(n->in[0]->g, n->in[1]->g, n->out->g, (long)n->out->n, (long)n->in[1]->n,
                  n->arg.scale);
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {1, {2}}}, .arg = {.scale = 0.25}},
    {.in = {{1, {1}}, {1, {1}}}, .arg = {.scale = 0.001}},
    {.in = {{2, {33, 129}}, {1, {33}}}, .arg = {.scale = -3}},
};

const op K(op_charge) = {
    .name = "charge",
    .math = "y = x; the loss of the tape grows by scale sum(loss)",
    .min_in = 2,
    .max_in = 2,
    .flags = OP_SURROGATE,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
