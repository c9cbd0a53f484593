/* mixer_gated_deltanet.c - the delta rule with a state that also fades (Yang et al. 2025).
 *
 *   deltanet with S <- alpha_t S before each token, alpha = exp(-exp(a_log_h) softplus(x W_a +
 *   dt_bias)) per head
 *
 * Rates exp(a_log) start uniform in [1, 16], which keeps log away from 0, time steps log-uniform in
 * [1e-3, 1e-1]. Parameters of deltanet + H C + 2 H. */
#include "decay.h"
#include "delta_net.h"

#include "kernels/core/op.h"

DELTA_FIELDS(fields);

static tensor *build(block *b, const void *settings, tensor *x) {
    const delta_config *c = settings;
    graph *g = b->g;
    const int heads = (int)c->heads;
    tensor *step = block_linear(b, "wa", x, heads);
    step = APPLY(g, bias, IN(step, block_formula(b, "dt_bias", time_step_start, DIM(heads))));
    step = APPLY_WITH(g, map, IN(step), .kind = MAP_SOFTPLUS);
    tensor *rate = block_formula(b, "a_log", log_rate_start, DIM(heads));
    rate = APPLY_WITH(g, map, IN(rate), .kind = MAP_NEG_EXP);
    tensor *decay = APPLY(g, headscale, IN(step, rate));
    return decay ? delta_net(b, c, x, decay) : NULL;
}

MIXER(gated_deltanet) = {
    .name = "gated_deltanet",
    .summary = "the delta rule with a decay per head and token",
    .source = "Yang et al. 2025, arXiv 2412.06464",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(delta_config),
    .check = delta_check,
    .build = build,
    .state_size = delta_state_size,
};
