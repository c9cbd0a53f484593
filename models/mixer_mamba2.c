/* mixer_mamba2.c - state space duality (Dao and Gu 2024, "Mamba-2").
 *
 *   z = x W_z, [u, B, C] = silu(conv(x [W_x, W_b, W_c])), dt = softplus(x W_dt + b_dt) per head
 *   S_t = e^(dt_t A_h) S_{t-1} + dt_t B_t u_t^T, y_t = S_t^T C_t + D_h u_t
 *   out = rmsnorm(y silu(z)) W_o
 *
 * E = expand C channels in heads of `head_dim`; one B and C of N channels for all heads; A_h
 * scalar. conv_width 0: no convolution. Parameters 3 E C + 2 N C + H C + (E + 2 N)(W + 1) + 3 H +
 * E; state E N + (E + 2 N)(W - 1). */
#include "decay.h"
#include "linear_attention.h"

#include "kernels/core/op.h"

#include <stdio.h>

typedef struct config {
    long expand, state, head_dim;
    short_config conv;
} config;

static const field fields[] = {
    {"expand", FIELD_INT, offsetof(config, expand), "2", 1, 16,
     .help = "inner channels over those of the model"},
    {"state", FIELD_INT, offsetof(config, state), "128", 1, 1024,
     .help = "rows of the state of a head"},
    {"head_dim", FIELD_INT, offsetof(config, head_dim), "0", 0, 1024,
     .help = "channels of a head; 0: 64, or all where there are fewer"},
    SHORT_FIELDS(config, conv),
};

static long dim_of(const config *c, long inner) {
    if (c->head_dim) return c->head_dim;
    return inner < 64 ? inner : 64;
}

static const char *check(const void *settings, const model_config *m) {
    static _Thread_local char text[160];
    const config *c = settings;
    const long inner = c->expand * m->d_model, dim = dim_of(c, inner);
    if (short_check(&c->conv, inner)) return short_check(&c->conv, inner);
    if (inner % dim == 0) return short_check(&c->conv, c->state);
    snprintf(text, sizeof text,
             "model.head_dim: %ld does not divide the inner width, expand x d_model = %ld", dim,
             inner);
    return text;
}

/* A projection, then silu, after a convolution where there is one. */
static tensor *stream(block *b, const config *c, const char *weight, const char *conv, tensor *x,
                      int cols) {
    tensor *y = block_matrix(b, weight, x, cols, (init){INIT_NORMAL, b->spec->common.init_std});
    if (c->conv.width) return short_conv_of(b, &c->conv, conv, y, true);
    return APPLY(b->g, silu, IN(y));
}

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    const int inner = (int)c->expand * b->d_model, heads = inner / (int)dim_of(c, inner);
    const init normal = {INIT_NORMAL, b->spec->common.init_std};
    tensor *z = block_matrix(b, "wz", x, inner, normal);
    tensor *u = stream(b, c, "wx", "conv_x", x, inner),
           *in = stream(b, c, "wb", "conv_b", x, (int)c->state),
           *out = stream(b, c, "wc", "conv_c", x, (int)c->state);
    tensor *dt = block_matrix(b, "wdt", x, heads, normal);
    dt = APPLY(g, bias, IN(dt, block_formula(b, "dt_bias", time_step_start, DIM(heads))));
    dt = APPLY_WITH(g, map, IN(dt), .kind = MAP_SOFTPLUS);
    tensor *rate = block_formula(b, "a_log", log_rate_start, DIM(heads));
    rate = APPLY_WITH(g, map, IN(rate), .kind = MAP_NEG_EXP);
    tensor *decay = APPLY(g, headscale, IN(dt, rate)), *value = APPLY(g, groupscale, IN(u, dt));
    in = APPLY_WITH(g, repeat, IN(in), .heads = 1, .steps = heads);
    out = APPLY_WITH(g, repeat, IN(out), .heads = 1, .steps = heads);
    tensor *y = APPLY_WITH(g, gla, IN(out, in, value, decay), .heads = heads, .kind = GLA_HEAD);
    tensor *skip = block_param(b, "d", (init){INIT_CONST, 1}, false, DIM(heads));
    y = APPLY(g, add, IN(y, APPLY(g, headscale, IN(u, skip))));
    tensor *gain = block_param(b, "norm_gated", (init){INIT_CONST, 1}, false, DIM(inner));
    y = APPLY_WITH(g, rmsnorm, IN(APPLY(g, swiglu, IN(z, y)), gain), .eps = 1e-5);
    return block_output(b, "wo", y);
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    (void)time;
    const double inner = (double)(c->expand * m->d_model), state = (double)c->state;
    return inner * state + (c->conv.width ? (inner + 2 * state) * (double)(c->conv.width - 1) : 0);
}

MIXER(mamba2) = {
    .name = "mamba2",
    .summary = "state space duality: a scalar decay per head and token",
    .source = "Dao and Gu 2024, arXiv 2405.21060",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .check = check,
    .build = build,
    .state_size = state_size,
};
