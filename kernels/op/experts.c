/* experts.c - swiglu layers that tokens choose among; only the chosen ones are computed.
 *
 *   y_i = sum_k weight_ik h_ik W2_e, h_ik = silu(x_i Wg_e) * (x_i W1_e), e = choice_ik
 *
 * Inputs: x [R,...,C], weight [R,...,K], choice int [R,...,K] in [0, E), wg [R,E,C,N], w1
 * [R,E,C,N], w2 [R,E,N,C]. Output like x. No expert has a capacity: the rows K places are sorted by
 * expert, stable, so each expert sees its tokens in order, and sums are the same however many
 * others it has. .eps > 0: h takes 8 bits per place before W2, as `quant8` does (gradients pass
 * straight through, as if h had not been rounded, but for W2 and the weights). aux [R,2,places,N]:
 * x Wg and x W1 of each place, in sorted order. Cost 6 K C N + 6 K N per token, for the parameters
 * that are active. Source: Shazeer et al. 2017, 2020. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *weight = n->in[1], *choice = n->in[2], *wg = n->in[3];
    REQUIRE(choice->kind == TENSOR_INT && choice->n == weight->n, "choice is not ints like weight");
    REQUIRE(weight->rank == x->rank && tensor_rows(weight) == tensor_rows(x),
            "weight has other rows than x");
    REQUIRE(wg->rank == 4 && wg->dim[0] == x->dim[0] && wg->dim[2] == tensor_last(x),
            "wg is not [runs, experts, in, inner]");
    REQUIRE(wg->dim[1] <= MOST_EXPERTS, "there are more than 256 experts");
    for (int i = 0; i < 2; i++) {
        const tensor *w = n->in[4 + i];
        REQUIRE(w->rank == 4 && w->dim[0] == wg->dim[0] && w->dim[1] == wg->dim[1] &&
                    w->dim[2] == wg->dim[2 + i] && w->dim[3] == wg->dim[3 - i],
                "w1 is not like wg, or w2 not its transpose");
    }
    const int places = tensor_rows(x) * tensor_last(weight);
    tensor_like(n->out, x);
    tensor_shape(n->aux, 4, (int[]){x->dim[0], 2, places, wg->dim[3]});
    n->work_n = experts_work(places, wg->dim[1], wg->dim[2], wg->dim[3]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *wg = n->in[3];
    k->experts_fwd(n->out->x, n->aux->x, x->x, n->in[1]->x, n->in[2]->x, wg->x, n->in[4]->x,
                   n->in[5]->x, n->work, x->dim[0], tensor_rows(x), tensor_last(n->in[1]),
                   wg->dim[1], wg->dim[2], wg->dim[3], n->arg.eps);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *wg = n->in[3];
    k->experts_bwd(x->g, n->in[1]->g, wg->g, n->in[4]->g, n->in[5]->g, n->out->g, n->aux->x, x->x,
                   n->in[1]->x, n->in[2]->x, wg->x, n->in[4]->x, n->in[5]->x, n->work, x->dim[0],
                   tensor_rows(x), tensor_last(n->in[1]), wg->dim[1], wg->dim[2], wg->dim[3],
                   n->arg.eps);
}

static double flops(const node *n) {
    const double places = (double)n->in[1]->n, inner = n->in[3]->dim[3];
    return places * (6.0 * tensor_last(n->in[0]) * inner + 6 * inner);
}

/* rows: {batch, time}; all tensors of a case. */
#define INPUTS(b, t, k, e, c, n)                                                                   \
    .in = {{3, {b, t, c}}, {3, {b, t, k}}, {3, {b, t, k}, .below = e},                             \
           {3, {e, c, n}}, {3, {e, c, n}}, {3, {e, n, c}}}
#define CASE(b, t, k, e, c, n)                                                                     \
    { INPUTS(b, t, k, e, c, n) }
#define ROUNDED(b, t, k, e, c, n)                                                                  \
    { INPUTS(b, t, k, e, c, n), .arg = {.eps = 1e-5}, .stepped = true }
static const op_case cases[] = {
    CASE(2, 3, 2, 4, 5, 3),    CASE(1, 1, 1, 1, 1, 1),
    CASE(1, 3, 2, 7, 3, 5),                             /* experts without tokens */
    CASE(3, 11, 2, 3, 17, 33), CASE(1, 70, 1, 2, 5, 3), /* GPU: several tiles of an expert */
    CASE(1, 150, 1, 1, 3, 2),                           /* one expert for all */
    CASE(1, 9, 2, 2, 65, 35),                           /* GPU: tiles and steps that are not full */
    ROUNDED(2, 5, 2, 3, 9, 7), ROUNDED(1, 70, 1, 2, 8, 36),
};

const op K(op_experts) = {
    .name = "experts",
    .math = "y = sum_k weight_k W2_e (silu(Wg_e x) * W1_e x), e = choice_k",
    .min_in = 6,
    .max_in = 6,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_IN(4) | READS_IN(5) |
             READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
