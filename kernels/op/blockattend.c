/* blockattend.c - softmax attention over the query's own block and gated earlier blocks, each with
 * the token that follows it: o_t = sum_j u_j e^(s_j) v_j / sum_j u_j e^(s_j).
 *
 * Inputs: q, k, v [R,B,T,C], gate [R,B,T,H blocks], all >= 0, blocks = T / S rounded up; gates of
 * the own and later blocks are not read. .heads (0: 1), .steps = S, .scale (0: 1 / sqrt(D)).
 * Output [R,B,T,C]; aux: log of the denominators [R,B,H,T]. u_j = 1 in the own block up to t, the
 * gate in earlier ones, and for the first token of block b, which also follows block b - 1, the
 * union 1 - (1 - g_b) (1 - g_(b-1)). So gates 1 are attention over all, gates in between scale the
 * weights of a block before they are normalised, and gates 0 close it: its tokens cost nothing, and
 * its gate gets no gradient (the contract, not a derivative).
 * Cost stated 4 B T^2 C, or 4 C (k + 1) S per token where .window = k says how many blocks a query
 * opens at most; it says it for this only. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int heads_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }

static const char *shape(node *n) {
    const tensor *q = n->in[0], *gate = n->in[3];
    REQUIRE(q->rank == 4, "q is not [runs, batch, time, channels]");
    for (int i = 1; i < 3; i++)
        for (int d = 0; d < 4; d++)
            REQUIRE(n->in[i]->rank == 4 && n->in[i]->dim[d] == q->dim[d],
                    "q, k and v have different shapes");
    REQUIRE(heads_of(n) > 0 && tensor_last(q) % heads_of(n) == 0,
            "the channels of q do not divide into heads");
    REQUIRE(tensor_last(q) / heads_of(n) <= BLOCKATTEND_MAX_DIM,
            "a head has more than 1024 channels");
    REQUIRE(n->arg.steps > 0, "blocks have no tokens");
    REQUIRE(gate->dim[0] == q->dim[0] && tensor_rows(gate) == tensor_rows(q) &&
                tensor_last(gate) == heads_of(n) * block_count(q->dim[2], n->arg.steps),
            "gate is not [runs, batch, time, heads blocks]");
    tensor_like(n->out, q);
    tensor_shape(n->aux, 4, (int[]){q->dim[0], q->dim[1], heads_of(n), q->dim[2]});
    n->work_n = blockattend_work(q->dim[2]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->blockattend_fwd(n->out->x, n->aux->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x,
                       n->work, dim[0] * dim[1], dim[2], heads, dim[3] / heads, n->arg.steps,
                       n->arg.scale);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->blockattend_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->in[3]->g, n->out->g, n->out->x,
                       n->aux->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->work,
                       dim[0] * dim[1], dim[2], heads, dim[3] / heads, n->arg.steps, n->arg.scale);
}

static double flops(const node *n) {
    const double time = n->in[0]->dim[2], few = (n->arg.window + 1.0) * n->arg.steps;
    return 4 * (double)n->out->n * (n->arg.window && few < time ? few : time);
}

#define QKV(...)                                                                                   \
    {3, {__VA_ARGS__}}, {3, {__VA_ARGS__}}, {                                                      \
        3, { __VA_ARGS__ }                                                                         \
    }
#define OPEN(...)                                                                                  \
    { 3, {__VA_ARGS__}, .lo = 0.1, .hi = 1.2 }
/* Some of these are closed. */
#define HARD(numbers, ...)                                                                         \
    { 3, {__VA_ARGS__}, .value = (numbers), .fixed = true }
/* T = 7, S = 2: nothing, the first, the second, both, the third and the first half open */
static const double some[7 * 4] = {0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0,  0, 0, 1,
                                   0, 0, 1, 1, 0, 0, 0, 0, 1, 0, .5, 0, 1, 0};
static const op_case cases[] = {
    {.in = {QKV(2, 7, 6), OPEN(2, 7, 8)}, .arg = {.heads = 2, .steps = 2}},
    {.in = {QKV(1, 7, 3), HARD(some, 1, 7, 4)}, .arg = {.steps = 2}},
    {.in = {QKV(1, 1, 1), OPEN(1, 1, 1)}, .arg = {.steps = 1}},
    {.in = {QKV(1, 3, 5), OPEN(1, 3, 1)}, .arg = {.steps = 9, .scale = 0.7}}, /* one block */
    {.in = {QKV(2, 13, 2), OPEN(2, 13, 13)}, .arg = {.steps = 1}},
    {.in = {QKV(1, 73, 33), OPEN(1, 73, 3)}, .arg = {.steps = 35}}, /* more than a warp */
};

const op K(op_blockattend) = {
    .name = "blockattend",
    .math = "o_t = sum_j u_j e^(scale q_t.k_j) v_j / sum_j u_j e^(scale q_t.k_j), u from gates",
    .min_in = 4,
    .max_in = 4,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_OUT | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
