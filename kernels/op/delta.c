/* delta.c - gated delta rule: the state forgets, then learns what it does not know yet.
 *
 *   P_t = e^g_t S_{t-1}, u_t = beta_t (v_t - P_t^T k_t), S_t = P_t + k_t u_t^T, o_t = S_t^T q_t
 *
 * Inputs: q, k [R,B,T,H K], v [R,B,T,H V], beta [R,B,T,H], optionally g [R,B,T,H] (log decay).
 * .heads (0: 1) = H. Output [R,B,T,H V]. Sources: Yang et al. 2024, "Parallelizing linear
 * transformers with the delta rule over sequence length" (no g); Yang et al. 2025, "Gated delta
 * networks". Cost 7 K V per head and token forward. */
#include "kernels/core/kernels.h"
#include "kernels/core/work.h"
#include "keyed.h"

static const char *shape(node *n) {
    const tensor *q = n->in[0];
    const char *misfit = keyed_misfit(n);
    if (misfit) return misfit;
    REQUIRE(keyed_key(n) <= DELTA_MAX_KEY, "a head has more than 1024 key channels");
    for (int i = 3; i < n->n_in; i++)
        REQUIRE(keyed_per_token(n, i, keyed_heads(n)),
                "beta or g is not one number per head and token");
    tensor_like(n->out, n->in[2]);
    n->work_n = delta_work(q->dim[2], keyed_key(n), keyed_value(n));
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->delta_fwd(n->out->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, in_x(n, 4), n->work,
                 dim[0], dim[1], dim[2], keyed_heads(n), keyed_key(n), keyed_value(n));
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[0]->dim;
    k->delta_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->in[3]->g, in_g(n, 4), n->out->g,
                 n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, in_x(n, 4), n->work, dim[0],
                 dim[1], dim[2], keyed_heads(n), keyed_key(n), keyed_value(n));
}

static double flops(const node *n) { return 7.0 * (double)n->out->n * keyed_key(n); }

#define BETA(...)                                                                                  \
    { 3, {__VA_ARGS__}, .lo = .05, .hi = 1 }
static const op_case cases[] = {
    {.in = {ROWS(2, 3, 6), ROWS(2, 3, 6), ROWS(2, 3, 4), BETA(2, 3, 2)}, .arg = {.heads = 2}},
    {.in = {ROWS(1, 1, 1), ROWS(1, 1, 1), ROWS(1, 1, 1), BETA(1, 1, 1), LOG_DECAY(1, 1, 1)}},
    {.in = {ROWS(1, 33, 3), ROWS(1, 33, 3), ROWS(1, 33, 5), BETA(1, 33, 1), LOG_DECAY(1, 33, 1)}},
    {.in = {ROWS(2, 13, 8), ROWS(2, 13, 8), ROWS(2, 13, 12), BETA(2, 13, 2), LOG_DECAY(2, 13, 2)},
     .arg = {.heads = 2}},
    {.in = {ROWS(1, 65, 2), ROWS(1, 65, 2), ROWS(1, 65, 2), BETA(1, 65, 1)}},
    {.in = {ROWS(1, 5, 9), ROWS(1, 5, 9), ROWS(1, 5, 33), BETA(1, 5, 1), LOG_DECAY(1, 5, 1)}},
    {.in = {ROWS(1, 9, 20), ROWS(1, 9, 20), ROWS(1, 9, 18), BETA(1, 9, 1), LOG_DECAY(1, 9, 1)}},
    {.in = {ROWS(1, 3, 70), ROWS(1, 3, 70), ROWS(1, 3, 3), BETA(1, 3, 1)}},
    {.in = {ROWS(1, 3, 130), ROWS(1, 3, 130), ROWS(1, 3, 2), BETA(1, 3, 1), LOG_DECAY(1, 3, 1)}},
    {.in = {ROWS(1, 3, 2), ROWS(1, 3, 2), ROWS(1, 3, 260), BETA(1, 3, 1), LOG_DECAY(1, 3, 1)}},
    {.in = {ROWS(1, 35, 6), ROWS(1, 35, 6), ROWS(1, 35, 10), BETA(1, 35, 2), STRONG(1, 35, 2)},
     .arg = {.heads = 2}},
    {.in = {ROWS(1, 34, 4), ROWS(1, 34, 4), ROWS(1, 34, 6), BETA(1, 34, 2), LOG_DECAY(1, 34, 2)},
     .arg = {.heads = 2}},
    {.in = {ROWS(45, 2, 33), ROWS(45, 2, 33), ROWS(45, 2, 34), BETA(45, 2, 1)}},
};

const op K(op_delta) = {
    .name = "delta",
    .math = "o_t = S_t^T q_t, S_t = P_t + k_t beta_t (v_t - P_t^T k_t)^T, P_t = e^g_t S_{t-1}",
    .min_in = 4,
    .max_in = 5,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_IN(4),
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
