/* mixer_deltanet.c - the delta rule over the sequence (Yang et al. 2024).
 *
 *   q, k = l2norm(silu(conv(x W))), v = silu(conv(x W_v)), beta = sigmoid(x W_beta) per head
 *   u_t = beta_t (v_t - S_{t-1}^T k_t), S_t = S_{t-1} + k_t u_t^T, o_t = S_t^T q_t / sqrt(D)
 *   out = W_o (silu(x W_g) * rmsnorm_head(o))
 *
 * conv_width 0: no convolution (and no silu before the norm of q and k). Parameters 5 C^2 + H C +
 * 3 W C + D; state C D + 3 (W - 1) C. */
#include "delta_net.h"

DELTA_FIELDS(fields);

static tensor *build(block *b, const void *settings, tensor *x) {
    return delta_net(b, settings, x, NULL);
}

MIXER(deltanet) = {
    .name = "deltanet",
    .summary = "a state that learns by the delta rule",
    .source = "Yang et al. 2024, arXiv 2406.06484",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(delta_config),
    .check = delta_check,
    .build = build,
    .state_size = delta_state_size,
};
