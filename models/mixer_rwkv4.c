/* mixer_rwkv4.c - time mixing of RWKV-4 (Peng et al. 2023), the RWKV that recall papers compare.
 *
 *   z_i = x + mu_i (x_{t-1} - x) for i in r, k, v; r = sigmoid(z_r W_r), k = z_k W_k, v = z_v W_v
 *   out = (r * wkv(e^decay, u, k, v)) W_o, wkv per channel as in the op of that name
 *
 * The decays e^decay of a layer start from e^-5 to e^3 over the channels, as in the reference code;
 * u starts at log 0.3 with a zigzag of 1/2. A depth of one layer is allowed. Use ffn: rwkv with it.
 * Parameters 4 C^2 + 5 C; state 4 C (three sums and the previous token). */
#include "kernels/core/functions.h"
#include "kernels/core/op.h"
#include "rwkv.h"

#include <math.h>

/* Element c of C: -5 + 8 (c / (C - 1))^0.7, the first layer of the reference. */
static double decay_start(struct rng *draw, const tensor *t, size_t j) {
    const int cols = tensor_last(t);
    (void)draw;
    return cols > 1 ? -5 + 8 * pow((double)j / (cols - 1), 0.7) : -1;
}

static double bonus_start(struct rng *draw, const tensor *t, size_t j) {
    (void)draw;
    (void)t;
    return log(0.3) + 0.5 * (double)((long)((j + 1) % 3) - 1);
}

static tensor *build(block *b, const void *settings, tensor *x) {
    graph *g = b->g;
    (void)settings;
    tensor *before = APPLY(g, shift, IN(x));
    tensor *r = block_linear(b, "wr", token_blend(b, "mu_r", x, before), b->d_model),
           *k = block_linear(b, "wk", token_blend(b, "mu_k", x, before), b->d_model),
           *v = block_linear(b, "wv", token_blend(b, "mu_v", x, before), b->d_model);
    tensor *decay = block_formula(b, "decay", decay_start, DIM(b->d_model)),
           *u = block_formula(b, "bonus", bonus_start, DIM(b->d_model));
    decay = APPLY_WITH(g, map, IN(decay), .kind = MAP_EXP);
    tensor *y = APPLY(g, wkv, IN(decay, u, k, v));
    r = APPLY_WITH(g, map, IN(r), .kind = MAP_SIGMOID);
    return block_output(b, "wo", APPLY(g, mul, IN(r, y)));
}

static double state_size(const void *settings, const model_config *m, long time) {
    (void)settings;
    (void)time;
    return 4 * (double)m->d_model;
}

MIXER(rwkv4) = {
    .name = "rwkv4",
    .summary = "RWKV-4: fading weighted averages per channel",
    .source = "Peng et al. 2023, arXiv 2305.13048",
    .build = build,
    .state_size = state_size,
};
