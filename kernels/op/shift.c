/* shift.c - y_t = x_{t - steps}, zero before the start (token shift).
 *
 * Input: x [R,B,T,C], .steps >= 1 (0 means 1). Output like x. dx_t = dy_{t + steps}. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int steps_of(const node *n) { return n->arg.steps ? n->arg.steps : 1; }

static const char *shape(node *n) {
    REQUIRE(n->in[0]->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(steps_of(n) > 0, "steps is negative");
    tensor_like(n->out, n->in[0]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->shift_fwd(n->out->x, n->in[0]->x, dim[0] * dim[1], dim[2], dim[3], steps_of(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->shift_bwd(n->in[0]->g, n->out->g, dim[0] * dim[1], dim[2], dim[3], steps_of(n));
}

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{3, {1, 1, 1}}}},
    {.in = {{3, {2, 33, 129}}}, .arg = {.steps = 3}},
    {.in = {{3, {2, 3, 4}}}, .arg = {.steps = 7}},   /* longer than the sequence */
    {.in = {{3, {3, 35, 12}}}, .arg = {.steps = 2}}, /* fours of channels on a GPU */
};

const op K(op_shift) = {
    .name = "shift",
    .math = "y_t = x_{t - steps}",
    .min_in = 1,
    .max_in = 1,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
