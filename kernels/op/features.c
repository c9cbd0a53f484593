/* features.c - fixed functions of time, from which filters are made; see core/functions.h.
 *
 * Input: x [R,B,T,..], for its shape only. Output [R,T,.heads]; .kind: enum features_kind, .steps:
 * the length that counts as 1. FEATURES_FOURIER needs an odd number of channels. No gradient. */
#include "kernels/core/functions.h"
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    REQUIRE(x->rank >= 3, "x is not [runs, batch, time, ...]");
    REQUIRE(n->arg.heads > 0 && n->arg.steps > 0, "no channels, or no length");
    REQUIRE(n->arg.kind >= 0 && n->arg.kind < N_FEATURES, "no features have this number");
    REQUIRE(n->arg.kind != FEATURES_FOURIER || n->arg.heads % 2 == 1,
            "an even number of Fourier features");
    tensor_shape(n->out, 3, (int[]){x->dim[0], x->dim[2], n->arg.heads});
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->out->dim;
    k->features_fwd(n->out->x, n->arg.kind, dim[0], dim[1], dim[2], n->arg.steps);
}

static void backward(const node *n, const kernels *k) {
    (void)n; /* nothing depends on x */
    (void)k;
}

static const op_case cases[] = {
    {.in = {{3, {1, 5, 1}}}, .arg = {.heads = 5, .steps = 5}},
    {.in = {{3, {1, 1, 1}}}, .arg = {.heads = 1, .steps = 1}},
    {.in = {{3, {2, 33, 1}}}, .arg = {.heads = 33, .steps = 20}},
    {.in = {{3, {2, 33, 1}}}, .arg = {.heads = 12, .steps = 33, .kind = FEATURES_WINDOW}},
    {.in = {{3, {1, 3, 1}}}, .arg = {.heads = 1, .steps = 3, .kind = FEATURES_WINDOW}},
};

const op K(op_features) = {
    .name = "features",
    .math = "y_c = f_c(t / length)",
    .min_in = 1,
    .max_in = 1,
    .shapes = READS_IN(0),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
