/* lerp.c - y = a + m (b - a): a blend of two streams, m per element or one per channel.
 *
 * Inputs: a, b [R,...,C]; m like a, or [R,C]. Output like a. da = dy (1 - m), db = dy m,
 * dm = dy (b - a), summed over rows where m has none. Cost 3 per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *a = n->in[0], *m = n->in[2];
    REQUIRE(n->in[1]->n == a->n, "a and b have different sizes");
    REQUIRE(m->n == a->n || (m->rank == 2 && m->dim[0] == a->dim[0] && m->dim[1] == tensor_last(a)),
            "m is neither like a nor [runs, channels]");
    tensor_like(n->out, a);
    return NULL;
}

static int rows_of_m(const node *n) {
    return n->in[2]->n == n->in[0]->n ? tensor_rows(n->in[0]) : 1;
}

static void forward(const node *n, const kernels *k) {
    const tensor *a = n->in[0];
    k->lerp_fwd(n->out->x, a->x, n->in[1]->x, n->in[2]->x, a->dim[0], tensor_rows(a),
                tensor_last(a), rows_of_m(n));
}

static void backward(const node *n, const kernels *k) {
    const tensor *a = n->in[0];
    k->lerp_bwd(a->g, n->in[1]->g, n->in[2]->g, n->out->g, a->x, n->in[1]->x, n->in[2]->x,
                a->dim[0], tensor_rows(a), tensor_last(a), rows_of_m(n));
}

static double flops(const node *n) { return 3 * (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {3, {2, 3, 5}}, {3, {2, 3, 5}}}},
    {.in = {{3, {2, 3, 5}}, {3, {2, 3, 5}}, {1, {5}}}},
    {.in = {{1, {1}}, {1, {1}}, {1, {1}}}},
    {.in = {{2, {33, 129}}, {2, {33, 129}}, {1, {129}}}},
    {.in = {{2, {33, 33}}, {2, {33, 33}}, {2, {33, 33}}}},
    {.in = {{2, {35, 12}}, {2, {35, 12}}, {1, {12}}}}, /* fours of channels on a GPU */
};

const op K(op_lerp) = {
    .name = "lerp",
    .math = "y = a + m (b - a)",
    .min_in = 3,
    .max_in = 3,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
