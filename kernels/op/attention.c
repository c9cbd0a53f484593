/* attention.c - causal softmax attention, o_t = sum_j softmax_j(scale q_t.k_j - slope (t - j)) v_j.
 *
 * Inputs: q, k, v [R,B,T,C]. Output [R,B,T,C]; aux: log-sum-exp of the scores [R,B,H,T].
 * .heads (0: 1) = H splits C into heads of D; .scale 0: 1 / sqrt(D); .window w > 0: key j is seen
 * by t - w < j <= t; .alibi: slope 2^(-8(h+1)/H) (Press et al. 2022), else 0. Cost stated as 4 B
 * T^2 C forward (T min(T, window) with a window): the full square, as is usual, although the
 * kernels skip what the mask hides, about half of it. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static int heads_of(const node *n) { return n->arg.heads ? n->arg.heads : 1; }

static const char *shape(node *n) {
    const tensor *q = n->in[0];
    REQUIRE(q->rank == 4, "q is not [runs, batch, time, channels]");
    for (int i = 1; i < 3; i++)
        for (int d = 0; d < 4; d++)
            REQUIRE(n->in[i]->rank == 4 && n->in[i]->dim[d] == q->dim[d],
                    "q, k and v have different shapes");
    REQUIRE(heads_of(n) > 0 && tensor_last(q) % heads_of(n) == 0,
            "the channels of q do not divide into heads");
    REQUIRE(n->arg.window >= 0, "the window is negative");
    tensor_like(n->out, q);
    tensor_shape(n->aux, 4, (int[]){q->dim[0], q->dim[1], heads_of(n), q->dim[2]});
    n->work_n = attention_work(tensor_last(q) / heads_of(n));
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->attention_fwd(n->out->x, n->aux->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->work, dim[0],
                     dim[1], dim[2], heads, dim[3] / heads, n->arg.window, n->arg.alibi,
                     n->arg.scale);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim, heads = heads_of(n);
    k->attention_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->out->g, n->out->x, n->aux->x,
                     n->in[0]->x, n->in[1]->x, n->in[2]->x, n->work, dim[0], dim[1], dim[2], heads,
                     dim[3] / heads, n->arg.window, n->arg.alibi, n->arg.scale);
}

static double flops(const node *n) {
    const int time = n->in[0]->dim[2], window = n->arg.window;
    return 4.0 * (double)n->out->n * (window > 0 && window < time ? window : time);
}

#define QKV(...) .in = {{3, {__VA_ARGS__}}, {3, {__VA_ARGS__}}, {3, {__VA_ARGS__}}}
static const op_case cases[] = {
    {QKV(2, 3, 5)},
    {QKV(1, 1, 1), .arg = {.heads = 1, .alibi = 1}},
    {QKV(2, 33, 6), .arg = {.heads = 2, .scale = 0.7}},
    {QKV(1, 33, 33), .arg = {.heads = 3, .alibi = 1}},
    {QKV(1, 65, 3), .arg = {.heads = 3, .window = 5}},
    {QKV(1, 129, 1), .arg = {.heads = 1, .window = 64, .alibi = 1}},
    {QKV(1, 67, 2), .arg = {.heads = 1, .window = 1}},
    {QKV(1, 12, 129), .arg = {.heads = 3, .window = 33}},
    {QKV(1, 33, 32), .arg = {.heads = 32}}, /* on a GPU, a pack has larger tiles than a run */
    {QKV(1, 100, 17), .arg = {.heads = 1, .window = 40}},
    {QKV(1, 66, 64), .arg = {.heads = 1, .alibi = 1}},
    {QKV(2, 17, 65), .arg = {.heads = 1}},
    {QKV(1, 33, 128), .arg = {.heads = 1, .window = 9}},
    {QKV(1, 5, 387), .arg = {.heads = 3, .scale = -0.3}},
};

const op K(op_attention) = {
    .name = "attention",
    .math = "o_t = sum_j softmax_j(scale q_t.k_j - slope (t - j)) v_j, t - window < j <= t",
    .min_in = 3,
    .max_in = 3,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_OUT | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
