/* head.c - the end of a tape: logits and cross-entropy at scored positions only.
 *
 * z = x w^T, nll = logsumexp(z) - z[label], pred = argmax z. The logits of all rows never exist at
 * once: a tile of scored rows is computed, used and forgotten. As the op ends the tape, backward
 * recomputes nothing: in training it computes the outputs and the gradients in one pass.
 *
 * Inputs: x [R,B,T,C], w [R,V,C] (the embedding table when tied), label int [R,B,T] (-1: not
 * scored), scale [R] = weight of one position in the loss (1 / scored positions of the batch).
 * Output: nll [R,B,T]; aux: pred int [R,B,T]. Cost 2 rows C V if all rows are scored. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static const char *shape(node *n) {
    const tensor *x = n->in[0], *w = n->in[1], *label = n->in[2], *scale = n->in[3];
    REQUIRE(w->rank == 3 && w->dim[0] == x->dim[0], "w is not [runs, vocab, cols]");
    REQUIRE(tensor_last(w) == tensor_last(x), "x and w have different numbers of channels");
    REQUIRE(label->kind == TENSOR_INT && label->n == x->n / (size_t)tensor_last(x),
            "label is not one int per row of x");
    REQUIRE(scale->n == (size_t)x->dim[0], "scale is not [runs]");
    tensor_shape(n->out, x->rank - 1, x->dim);
    tensor_shape(n->aux, x->rank - 1, x->dim);
    n->aux->kind = TENSOR_INT;
    n->work_n = head_work(tensor_rows(x), tensor_last(x), w->dim[1]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->head_fwd(n->out->x, n->aux->x, x->x, w->x, n->in[2]->x, n->work, x->dim[0], tensor_rows(x),
                tensor_last(x), w->dim[1]);
}

static void backward(const node *n, const kernels *k) {
    const tensor *x = n->in[0], *w = n->in[1];
    k->head_bwd(n->out->x, n->aux->x, x->g, w->g, x->x, w->x, n->in[2]->x, n->in[3]->x, n->work,
                x->dim[0], tensor_rows(x), tensor_last(x), w->dim[1]);
}

static double flops(const node *n) { return 2.0 * (double)n->in[0]->n * n->in[1]->dim[1]; }

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}, {2, {7, 5}}, {2, {2, 3}, .below = 7, .from = -1}, {0, {0}}}},
    {.in = {{3, {1, 1, 1}}, {2, {1, 1}}, {2, {1, 1}, .below = 1, .from = 0}, {0, {0}}}},
    {.in = {{3, {3, 11, 33}}, {2, {129, 33}}, {2, {3, 11}, .below = 129, .from = -1}, {0, {0}}}},
    /* two tiles of rows, two blocks of words, every row scored */
    {.in = {{3, {1, 70, 3}}, {2, {300, 3}}, {2, {1, 70}, .below = 300, .from = 0}, {0, {0}}}},
    /* GPU: the block of a row takes two steps */
    {.in = {{3, {1, 3, 2}}, {2, {1100, 2}}, {2, {1, 3}, .below = 1100, .from = -1}, {0, {0}}}},
    /* GPU: three blocks list the rows; half are scored, so that the last chunks are empty */
    {.in = {{3, {1, 150, 1}}, {2, {80, 1}}, {2, {1, 150}, .below = 1, .from = -1}, {0, {0}}}},
};

const op K(op_head) = {
    .name = "head",
    .math = "nll = logsumexp(x w^T) - (x w^T)[label]",
    .min_in = 4,
    .max_in = 4,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3),
    .flags = OP_ROOT,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
