/* expfilter.c - a long filter as a sum of fading exponentials (diagonal state space model with real
 * poles, Gupta et al. 2022): h[t,c] = sum_n w[c,n] e^(-t rate[c,n]).
 *
 * Inputs: x [R,B,T,..] for its length, w, rate [R,C,N], rate >= 0. Output [R,T,C], for conv. Cost 5
 * N per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1];
    REQUIRE(x->rank >= 3, "x is not [runs, batch, time, ...]");
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0], "w is not [runs, channels, state]");
    REQUIRE(n->in[2]->n == w->n, "rate is not like w");
    tensor_shape(n->out, 3, (int[]){x->dim[0], x->dim[2], w->dim[1]});
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->out->dim;
    k->expfilter_fwd(n->out->x, n->in[1]->x, n->in[2]->x, dim[0], dim[1], dim[2], n->in[1]->dim[2]);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->out->dim;
    k->expfilter_bwd(n->in[1]->g, n->in[2]->g, n->out->g, n->in[1]->x, n->in[2]->x, dim[0], dim[1],
                     dim[2], n->in[1]->dim[2]);
}

static double flops(const node *n) { return 5.0 * (double)n->out->n * n->in[1]->dim[2]; }

#define RATE(...)                                                                                  \
    { 2, {__VA_ARGS__}, .lo = .01, .hi = 1 }
static const op_case cases[] = {
    {.in = {{3, {1, 5, 1}, .fixed = true}, {2, {3, 4}}, RATE(3, 4)}},
    {.in = {{3, {1, 1, 1}, .fixed = true}, {2, {1, 1}}, RATE(1, 1)}},
    {.in = {{3, {2, 129, 1}, .fixed = true}, {2, {2, 33}}, {2, {2, 33}, .lo = .3, .hi = 2}}},
    {.in = {{3, {2, 33, 1}, .fixed = true}, {2, {33, 2}}, RATE(33, 2)}},
    {.in = {{3, {1, 67, 1}, .fixed = true},
            {2, {3, 32}},
            {2, {3, 32}, .lo = .3, .hi = 2}}}, /* blocks of a GPU */
};

const op K(op_expfilter) = {
    .name = "expfilter",
    .math = "h_t = sum_n w_n e^(-t rate_n)",
    .min_in = 3,
    .max_in = 3,
    .reads = READS_IN(1) | READS_IN(2),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
