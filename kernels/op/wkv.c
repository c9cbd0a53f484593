/* wkv.c - the recurrence of RWKV-4 (Peng et al. 2023, equations 14 to 16), per channel:
 * y_t = (sum_{i<t} e^(-(t-1-i) w + k_i) v_i + e^(u + k_t) v_t) / (the same without v).
 *
 * Inputs: w, u [R,C] (w > 0), k, v [R,B,T,C]. Output like k; aux: log of the denominator, like k.
 * A running maximum of the exponents keeps all terms in range. Cost 20 per element forward, an
 * exponential counted as one. */
#include "kernels/core/kernels.h"
#include "kernels/core/op.h"
#include "kernels/core/work.h"

static const char *shape(node *n) {
    const tensor *w = n->in[0], *u = n->in[1], *k = n->in[2], *v = n->in[3];
    REQUIRE(k->rank == 4 && v->n == k->n, "k and v are not [runs, batch, time, channels]");
    REQUIRE(w->n == (size_t)(k->dim[0] * k->dim[3]) && u->n == w->n,
            "w or u is not [runs, channels]");
    tensor_like(n->out, k);
    tensor_like(n->aux, k);
    n->work_n = wkv_work(k->dim[3]);
    return NULL;
}

static void forward(const node *n, const kernels *k) {
    const int *dim = n->in[2]->dim;
    k->wkv_fwd(n->out->x, n->aux->x, n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->work,
               dim[0], dim[1], dim[2], dim[3]);
}

static void backward(const node *n, const kernels *k) {
    const int *dim = n->in[2]->dim;
    k->wkv_bwd(n->in[0]->g, n->in[1]->g, n->in[2]->g, n->in[3]->g, n->out->g, n->out->x, n->aux->x,
               n->in[0]->x, n->in[1]->x, n->in[2]->x, n->in[3]->x, n->work, dim[0], dim[1], dim[2],
               dim[3]);
}

static double flops(const node *n) { return 20.0 * (double)n->out->n; }

#define K_AND_V(...)                                                                               \
    {3, {__VA_ARGS__}, .lo = -3, .hi = 3}, {                                                       \
        3, { __VA_ARGS__ }                                                                         \
    }
#define W(cols)                                                                                    \
    {1, {cols}, .lo = .01, .hi = 2}, {                                                             \
        1, { cols }                                                                                \
    }
static const op_case cases[] = {
    {.in = {W(5), K_AND_V(2, 3, 5)}},
    {.in = {W(1), K_AND_V(1, 1, 1)}},
    {.in = {W(33), K_AND_V(2, 9, 33)}},
    {.in = {W(3), K_AND_V(1, 129, 3)}},
    {.in = {W(2), {3, {1, 33, 2}, .lo = -60, .hi = 60}, {3, {1, 33, 2}}}}, /* far out of range */
    {.in = {W(65), K_AND_V(2, 6, 65)}},
};

const op K(op_wkv) = {
    .name = "wkv",
    .math = "y_t = sum_i e^(-(t-1-i) w + k_i) v_i / sum_i e^(-(t-1-i) w + k_i), now e^(u + k_t)",
    .min_in = 4,
    .max_in = 4,
    .reads = READS_IN(0) | READS_IN(1) | READS_IN(2) | READS_IN(3) | READS_OUT | READS_AUX,
    .shape = shape,
    .fwd = forward,
    .bwd = backward,
    .flops = flops,
    OP_CASES(cases),
};
