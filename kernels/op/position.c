/* position.c - adds an absolute position to every row.
 *
 * Inputs: x [R,B,T,C], optionally table [R,max_time,C] with max_time >= T (learned positions).
 * Without a table: sinusoids (Vaswani et al. 2017, section 3.5), sin(t / 10000^(2i/C)) at channel
 * 2i and cos of the same at 2i + 1; nothing to learn, any length. Output like x. dx = dy, dtable =
 * sum over the batch of dy. Cost: one addition per element. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0];
    REQUIRE(x->rank == 4, "x is not [runs, batch, time, channels]");
    if (n->n_in == 2) {
        const tensor *table = n->in[1];
        REQUIRE(table->rank == 3 && table->dim[0] == x->dim[0] && table->dim[2] == x->dim[3],
                "the table is not [runs, longest time, channels]");
        REQUIRE(table->dim[1] >= x->dim[2],
                "the sequence is longer than the table of learned positions");
    }
    tensor_like(n->out, x);
    return NULL;
}

static int max_time(const node *n) { return n->n_in == 2 ? n->in[1]->dim[1] : 0; }

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->position_fwd(n->out->x, n->in[0]->x, in_x(n, 1), dim[0], dim[1], dim[2], dim[3],
                    max_time(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->position_bwd(n->in[0]->g, in_g(n, 1), n->out->g, dim[0], dim[1], dim[2], dim[3],
                    max_time(n));
}

static double flops(const node *n) { return (double)n->out->n; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {2, {4, 5}}}},
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{3, {1, 1, 1}}}},
    {.in = {{3, {1, 1, 1}}, {2, {1, 1}}}},
    {.in = {{3, {3, 33, 6}}, {2, {33, 6}}}},
    {.in = {{3, {1, 3, 515}}}},
    {.in = {{3, {2, 129, 3}}, {2, {130, 3}}}},
    {.in = {{3, {17, 3, 8}}, {2, {4, 8}}}},
    {.in = {{3, {5, 33, 8}}}},
};

const op K(op_position) = {
    .name = "position",
    .math = "y_t = x_t + table_t, or sinusoids of t where there is no table",
    .min_in = 1,
    .max_in = 2,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
