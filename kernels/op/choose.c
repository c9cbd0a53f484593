/* choose.c - the largest of each group as ones, the rest as zeros, with a straight-through gradient
 * (Bengio et al. 2013) where a second input asks for it.
 *
 * Inputs: p [R,...,C]; optionally value, like p. .heads (0: 1) = groups of channels; .count (0: 1)
 * is .steps. y = 1 at the `count` largest of a group that are > 0, the lower index wins ties. The
 * choice is piecewise constant, so p has no gradient. With value: y = 1 + (value - p) at these
 * places, a function whose derivative by value is exact; a graph gives the same tensor as p and as
 * value, and so gets y = 1 with the gradient of the chosen value. Cost: none in sums or products.
 */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static int count_of(const node *n) { return n->arg.steps ? n->arg.steps : 1; }
static int dim_of(const node *n) {
    return tensor_last(n->in[0]) / (n->arg.heads ? n->arg.heads : 1);
}

static const char *shape(node *n) {
    const tensor *p = n->in[0];
    REQUIRE(n->arg.heads >= 0 && tensor_last(p) % (n->arg.heads ? n->arg.heads : 1) == 0,
            "the channels of p do not divide into groups");
    REQUIRE(count_of(n) > 0, "nothing is to be chosen");
    REQUIRE(n->n_in < 2 || (n->in[1]->n == p->n && tensor_last(n->in[1]) == tensor_last(p)),
            "p and value have different shapes");
    tensor_like(n->out, p);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    k->choose_fwd(n->out->x, n->in[0]->x, in_x(n, 1), (long)n->out->n / dim_of(n), dim_of(n),
                  count_of(n));
}

static void backward(const node *n, const kernels *k) {
    k->choose_bwd(in_g(n, 1), n->out->g, n->out->x, (long)n->out->n / dim_of(n), dim_of(n));
}

static const op_case cases[] = {
    {.in = {{2, {3, 6}}}, .arg = {.heads = 2}},
    {.in = {{2, {5, 9}, .fixed = true}, {2, {5, 9}}}, .arg = {.heads = 3, .steps = 2}},
    {.in = {{1, {1}, .fixed = true}, {1, {1}}}},
    {.in = {{2, {7, 70}, .fixed = true}, {2, {7, 70}}}, .arg = {.heads = 2, .steps = 40}},
    {.in = {{2, {300, 2}, .fixed = true}, {2, {300, 2}}}, .arg = {.steps = 9}},
};

const op K(op_choose) = {
    .name = "choose",
    .math = "y = 1 (+ value - p) at the largest p > 0 of a group, else 0",
    .min_in = 1,
    .max_in = 2,
    .reads = READS_OUT,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    OP_CASES(cases),
};
