/* rope.c - rotary positions (Su et al. 2021): pairs of channels turn by t theta^(-2i/D).
 *
 * Input: x [R,B,T,C]; output the same. .heads (0: 1) splits C into heads of D channels, D even and
 * at most 512; channels i and i + D/2 of a head are a pair. .theta 0: 10000. As the turn is
 * orthogonal, the gradient is turned back. Position 0 is the first of the sequence. Cost 3 x. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int heads_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }
static double theta_of(const node *n) { return n->arg.theta != 0 ? n->arg.theta : 10000; }

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(heads_of(n) > 0 && tensor_last(x) % heads_of(n) == 0,
            "the channels of x do not divide into heads");
    const int dim = tensor_last(x) / heads_of(n);
    REQUIRE(dim % 2 == 0, "a head has an odd number of channels, rotation needs pairs");
    REQUIRE(dim <= 512, "a head has more than 512 channels");
    REQUIRE(theta_of(n) > 0, "theta is not positive");
    tensor_like(n->out, x);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->rope_fwd(n->out->x, x->x, x->dim[0], x->dim[1], x->dim[2], heads_of(n),
                x->dim[3] / heads_of(n), theta_of(n));
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0];
    k->rope_bwd(x->g, n->out->g, x->dim[0], x->dim[1], x->dim[2], heads_of(n),
                x->dim[3] / heads_of(n), theta_of(n));
}

static double flops(const node *n) { return 3.0 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 4}}}},
    {.in = {{3, {1, 1, 2}}}, .arg = {.heads = 1}},
    {.in = {{3, {3, 33, 12}}}, .arg = {.heads = 2, .theta = 500}},
    {.in = {{3, {2, 129, 66}}}, .arg = {.heads = 3}},
    {.in = {{3, {1, 5, 66}}}, .arg = {.heads = 1}},
    {.in = {{3, {3, 33, 16}}}, .arg = {.heads = 2}},
    {.in = {{3, {1, 3, 512}}}, .arg = {.heads = 1}},
};

const op K(op_rope) = {
    .name = "rope",
    .math =
        "y_t = (x_i cos a - x_j sin a, x_i sin a + x_j cos a), a = t theta^(-2i/D), j = i + D/2",
    .min_in = 1,
    .max_in = 1,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
