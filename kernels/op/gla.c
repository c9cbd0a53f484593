/* gla.c - linear attention with decay: o_t = S_t^T q_t, S_t = diag(e^g_t) S_{t-1} + k_t v_t^T.
 *
 * Inputs: q, k [R,B,T,H K], v [R,B,T,H V], then g (where .kind needs it) and u [R,H K] (a bonus for
 * the current token, needs per-channel decay): o_t = (S_{t-1} + diag(u) k_t v_t^T)^T q_t. .heads
 * (0: 1) = H, .kind: enum gla_decay. Output [R,B,T,H V]. Linear in T; nothing is stored per token
 * and state element. Sources: Katharopoulos et al. 2020; Sun et al. 2023 (RetNet); Peng et al. 2024
 * (RWKV-6); Yang et al. 2024 (gated linear attention). Cost 5 K V per head and token forward. */
#include "kernels/core/kernels.h"
#include "kernels/core/work.h"
#include "keyed.h"

static bool has_g(const node *n) { return n->arg.kind >= GLA_HEAD; }

static const char *shape(node *n) {
    const tensor *q = n->in[0];
    const char *misfit = keyed_misfit(n);
    if (misfit) return misfit;
    REQUIRE(keyed_key(n) <= GLA_MAX_KEY, "a head has more than 1024 key channels");
    REQUIRE(n->arg.kind >= GLA_NONE && n->arg.kind <= GLA_CHANNEL, "no decay has this number");
    REQUIRE(n->n_in <= 3 + has_g(n) + (n->arg.kind == GLA_CHANNEL), "too many inputs");
    if (has_g(n)) {
        const int own = n->arg.kind == GLA_HEAD ? keyed_heads(n) : tensor_last(q);
        REQUIRE(n->n_in > 3 && keyed_per_token(n, 3, own),
                "g has not one log decay per head, or per key channel");
    }
    REQUIRE(n->n_in < 5 || n->in[4]->n == (size_t)(q->dim[0] * tensor_last(q)),
            "u is not [runs, heads key]");
    tensor_like(n->out, n->in[2]);
    n->work_n = gla_work(q->dim[2], keyed_key(n), keyed_value(n));
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->gla_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, in_x(n, 3), in_x(n, 4), n->work,
               dim[0], dim[1], dim[2], keyed_heads(n), keyed_key(n), keyed_value(n), n->arg.kind);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->gla_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, in_g(n, 3), in_g(n, 4), n->out->g,
               n->in[0]->x, n->in[1]->x, n->in[2]->x, in_x(n, 3), in_x(n, 4), n->work, dim[0],
               dim[1], dim[2], keyed_heads(n), keyed_key(n), keyed_value(n), n->arg.kind);
}

static double flops(const node *n) {
    return 5.0 * (double)n->out->n * keyed_key(n); /* decay, outer product, read-out */
}

static const op_case cases[] = {
    {.in = {ROWS(2, 3, 6), ROWS(2, 3, 6), ROWS(2, 3, 4)}, .arg = {.heads = 2}},
    {.in = {ROWS(1, 1, 1), ROWS(1, 1, 1), ROWS(1, 1, 1)}},
    {.in = {ROWS(1, 33, 9), ROWS(1, 33, 9), ROWS(1, 33, 33)},
     .arg = {.heads = 3, .kind = GLA_RETNET}},
    {.in = {ROWS(2, 17, 6), ROWS(2, 17, 6), ROWS(2, 17, 10), LOG_DECAY(2, 17, 2)},
     .arg = {.heads = 2, .kind = GLA_HEAD}},
    {.in = {ROWS(1, 65, 4), ROWS(1, 65, 4), ROWS(1, 65, 3), LOG_DECAY(1, 65, 1)},
     .arg = {.kind = GLA_HEAD}},
    {.in = {ROWS(2, 17, 6), ROWS(2, 17, 6), ROWS(2, 17, 8), LOG_DECAY(2, 17, 6)},
     .arg = {.heads = 2, .kind = GLA_CHANNEL}},
    {.in = {ROWS(1, 34, 10), ROWS(1, 34, 10), ROWS(1, 34, 6), LOG_DECAY(1, 34, 10), {1, {10}}},
     .arg = {.heads = 2, .kind = GLA_CHANNEL}},
    {.in = {ROWS(1, 19, 5), ROWS(1, 19, 5), ROWS(1, 19, 7), STRONG(1, 19, 5), {1, {5}}},
     .arg = {.kind = GLA_CHANNEL}},
    {.in = {ROWS(1, 9, 33), ROWS(1, 9, 33), ROWS(1, 9, 65), LOG_DECAY(1, 9, 1)},
     .arg = {.kind = GLA_HEAD}},
    {.in = {ROWS(1, 9, 40), ROWS(1, 9, 40), ROWS(1, 9, 36), LOG_DECAY(1, 9, 40), {1, {40}}},
     .arg = {.kind = GLA_CHANNEL}},
    {.in = {ROWS(1, 5, 130), ROWS(1, 5, 130), ROWS(1, 5, 3), LOG_DECAY(1, 5, 130)},
     .arg = {.kind = GLA_CHANNEL}},
    {.in = {ROWS(1, 3, 300), ROWS(1, 3, 300), ROWS(1, 3, 20), LOG_DECAY(1, 3, 300), {1, {300}}},
     .arg = {.kind = GLA_CHANNEL}},
    {.in = {ROWS(90, 2, 12), ROWS(90, 2, 12), ROWS(90, 2, 18)}, .arg = {.kind = GLA_RETNET}},
    {.in = {ROWS(90, 2, 17), ROWS(90, 2, 17), ROWS(90, 2, 6), LOG_DECAY(90, 2, 17)},
     .arg = {.kind = GLA_CHANNEL}},
};

const op K(op_gla) = {
    .name = "gla",
    .math = "o_t = S_t^T q_t, S_t = diag(e^g_t) S_{t-1} + k_t v_t^T",
    .min_in = 3,
    .max_in = 5,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_IN(4),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
