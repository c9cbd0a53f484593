/* scan.c - selective scan of Mamba (Gu and Dao 2023, section 3.2):
 * h_t = e^(dt_t a) h_{t-1} + dt_t x_t b_t, y_t = c_t . h_t + d x_t, with a state of N per channel.
 *
 * Inputs: x, dt [R,B,T,E], a [R,E,N] (negative), b, c [R,B,T,N], d [R,E]. Output like x. Cost 8 N
 * per channel and token forward, the exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *a = n->in[2], *b = n->in[3], *c = n->in[4], *d = n->in[5];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    REQUIRE(n->in[1]->n == x->n, "dt is not like x");
    REQUIRE(a->rank == 3 && a->dim[0] == x->dim[0] && a->dim[1] == x->dim[3],
            "a is not [runs, channels, state]");
    REQUIRE(b->n == c->n && tensor_last(b) == a->dim[2] && tensor_last(c) == a->dim[2] &&
                b->n / (size_t)a->dim[2] == x->n / (size_t)x->dim[3],
            "b or c is not [runs, batch, time, state]");
    REQUIRE(d->n == (size_t)(x->dim[0] * x->dim[3]), "d is not [runs, channels]");
    tensor_like(n->out, x);
    n->work_n = scan_work(x->dim[2], a->dim[2]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->scan_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->in[4]->x,
                n->in[5]->x, n->work, dim[0], dim[1], dim[2], dim[3], n->in[2]->dim[2]);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->scan_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->in[3]->g, n->in[4]->g, n->in[5]->g,
                n->out->g, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->in[4]->x,
                n->in[5]->x, n->work, dim[0], dim[1], dim[2], dim[3], n->in[2]->dim[2]);
}

static double flops(const node *n) { return 8.0 * (double)n->out->n * n->in[2]->dim[2]; }

#define X(...)                                                                                     \
    {                                                                                              \
        3, { __VA_ARGS__ }                                                                         \
    }
#define DT(...)                                                                                    \
    { 3, {__VA_ARGS__}, .lo = .01, .hi = 1 }
#define A(...)                                                                                     \
    { 2, {__VA_ARGS__}, .lo = -4, .hi = -.1 }
#define D(...)                                                                                     \
    {                                                                                              \
        1, { __VA_ARGS__ }                                                                         \
    }
static const op_case cases[] = {
    {.in = {X(2, 3, 5), DT(2, 3, 5), A(5, 4), X(2, 3, 4), X(2, 3, 4), D(5)}},
    {.in = {X(1, 1, 1), DT(1, 1, 1), A(1, 1), X(1, 1, 1), X(1, 1, 1), D(1)}},
    {.in = {X(1, 33, 3), DT(1, 33, 3), A(3, 16), X(1, 33, 16), X(1, 33, 16), D(3)}},
    {.in = {X(1, 65, 2), DT(1, 65, 2), A(2, 3), X(1, 65, 3), X(1, 65, 3), D(2)}},
    {.in = {X(1, 5, 33), DT(1, 5, 33), A(33, 9), X(1, 5, 9), X(1, 5, 9), D(33)}},
    {.in = {X(1, 9, 18), DT(1, 9, 18), A(18, 40), X(1, 9, 40), X(1, 9, 40), D(18)}},
    {.in = {X(2, 17, 66), DT(2, 17, 66), A(66, 3), X(2, 17, 3), X(2, 17, 3), D(66)}},
};

const op K(op_scan) = {
    .name = "scan",
    .math = "h_t = e^(dt a) h_{t-1} + dt x b, y_t = c . h_t + d x",
    .min_in = 6,
    .max_in = 6,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_IN(4) | READS_IN(5),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
