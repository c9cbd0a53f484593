/* balance.c - what uneven use of experts and large router logits cost, per sequence.
 *
 *   loss = E sum_e P_e F_e + 0.1 mean_t logsumexp(z_t)^2
 *   P_e = mean_t softmax(z_t)_e, F_e = share of expert e among the T K choices
 *
 * Inputs: z [R,B,T,E], choice int [R,B,T,K] (aux of `route`). Output [R,B]: a loss of its own for
 * each sequence, so that it depends neither on the micro-batch nor on the batch. F is constant
 * where it is differentiable at all: dz_te = dloss / T p_te (E (F_e - F . p_t) + 0.2
 * logsumexp(z_t)). Source: Fedus et al. 2021 (equation 4) and Zoph et al. 2022 (z-loss). Cost 10
 * per logit. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static const char *shape(node *n) {
    const tensor *z = n->in[0], *choice = n->in[1];
    REQUIRE(z->rank == 4, "z is not [runs, batch, time, experts]");
    REQUIRE(tensor_last(z) <= MOST_EXPERTS, "there are more than 256 experts");
    REQUIRE(choice->kind == TENSOR_INT && choice->rank == 4, "choice is not ints [R,B,T,K]");
    for (int i = 0; i < 3; i++)
        REQUIRE(choice->dim[i] == z->dim[i], "choice and z have different rows");
    tensor_shape(n->out, 2, z->dim);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *z = n->in[0];
    k->balance_fwd(n->out->x, z->x, n->in[1]->x, z->dim[0] * z->dim[1], z->dim[2], z->dim[3],
                   tensor_last(n->in[1]));
}

static void backward(const node *n, const kernels *k) {
    const tensor *z = n->in[0];
    k->balance_bwd(z->g, n->out->g, z->x, n->in[1]->x, z->dim[0] * z->dim[1], z->dim[2], z->dim[3],
                   tensor_last(n->in[1]));
}

static double flops(const node *n) { return 10 * (double)n->in[0]->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 6}}, {3, {2, 3, 2}, .below = 6}}},
    {.in = {{3, {1, 1, 1}}, {3, {1, 1, 1}, .below = 1}}},
    {.in = {{3, {3, 33, 8}, .lo = -9, .hi = 9}, {3, {3, 33, 3}, .below = 8}}},
    {.in = {{3, {1, 3, 129}}, {3, {1, 3, 5}, .below = 129}}},
    {.in = {{3, {2, 65, 33}}, {3, {2, 65, 1}, .below = 33}}},
};

const op K(op_balance) = {
    .name = "balance",
    .math = "loss = E sum_e P_e F_e + 0.1 mean_t logsumexp(z_t)^2",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
