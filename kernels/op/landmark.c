/* landmark.c - what each query thinks of the blocks that are complete before its own:
 * p[t,h,b] = softmax over b < t / S of scale q_t . c_(b S + S - 1), 0 for other b (landmark
 * attention, Mohtashami and Jaggi 2023, without the tokens of the own block).
 *
 * Inputs: q, c [R,B,T,C]; c is read at the last token of each block, its landmark. .heads (0: 1),
 * .steps = S, .scale (0: 1 / sqrt(D)). Output [R,B,T,H blocks], blocks = T / S rounded up: rows of
 * the first block are zero. Cost 2 C T / S per token, of which half is masked. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int heads_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }

static const char *shape(node *n) {
    const tensor *q = n->in[0], *c = n->in[1];
    REQUIRE(q->rank == 4, "q is not [runs, batch, time, channels]");
    for (int i = 0; i < 4; i++)
        REQUIRE(c->rank == 4 && c->dim[i] == q->dim[i], "q and c have different shapes");
    REQUIRE(heads_of(n) > 0 && tensor_last(q) % heads_of(n) == 0,
            "the channels of q do not divide into heads");
    REQUIRE(n->arg.steps > 0, "blocks have no tokens");
    const int blocks = block_count(q->dim[2], n->arg.steps);
    tensor_shape(n->out, 4, (int[]){q->dim[0], q->dim[1], q->dim[2], heads_of(n) * blocks});
    n->work_n = landmark_work(q->dim[2], n->arg.steps);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->landmark_fwd(n->out->x, n->in[0]->x, n->in[1]->x, dim[0] * dim[1], dim[2], heads,
                    dim[3] / heads, n->arg.steps, n->arg.scale);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->landmark_bwd(n->in[0]->g, n->in[1]->g, n->out->g, n->out->x, n->in[0]->x, n->in[1]->x,
                    n->work, dim[0] * dim[1], dim[2], heads, dim[3] / heads, n->arg.steps,
                    n->arg.scale);
}

static double flops(const node *n) {
    return 2.0 * (double)n->in[0]->n * block_count(n->in[0]->dim[2], n->arg.steps);
}

#define QC(...) .in = {{3, {__VA_ARGS__}, .lo = -2, .hi = 2}, {3, {__VA_ARGS__}, .lo = -2, .hi = 2}}
static const op_case cases[] = {
    {QC(2, 7, 6), .arg = {.heads = 2, .steps = 2}},
    {QC(1, 1, 1), .arg = {.steps = 1}},
    {QC(1, 3, 5), .arg = {.steps = 9}}, /* no block is complete */
    {QC(2, 12, 3), .arg = {.heads = 3, .steps = 4}},
    {QC(1, 67, 33), .arg = {.steps = 1, .scale = 0.7}}, /* more blocks than a warp has lanes */
};

const op K(op_landmark) = {
    .name = "landmark",
    .math = "p_tb = softmax_b(scale q_t.c_(bS+S-1)), b < t / S",
    .min_in = 2,
    .max_in = 2,
    .reads = READS_IN(0) | READS_IN(1) | READS_OUT,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
