/* mixer_mamba.c - selective state space model (Gu and Dao 2023, "Mamba").
 *
 *   u = silu(conv(x W_x)), z = x W_z, dt = softplus(u W_r W_dt + b_dt), B = u W_B, C = u W_C
 *   h_t = e^(dt_t A) h_{t-1} + dt_t u_t B_t, y_t = C_t . h_t + D u_t, out = (y silu(z)) W_o
 *
 * E = expand C channels with a state of N each; A = -(1 .. N) at the start. conv_width 0: no
 * convolution (two papers disagree on whether Mamba recalls without it). Parameters
 * 3 E C + E (W + 1) + E (2 N + r) + r E + E (N + 2); state E (N + W - 1). */
#include "decay.h"
#include "linear_attention.h"

#include "kernels/core/op.h"

#include <math.h>

typedef struct config {
    long expand, state, width, rank;
} config;

static const field fields[] = {
    {"expand", FIELD_INT, offsetof(config, expand), "2", 1, 16,
     .help = "inner channels over those of the model"},
    {"state", FIELD_INT, offsetof(config, state), "16", 1, 256, .help = "numbers kept per channel"},
    {"conv_width", FIELD_INT, offsetof(config, width), "4", 0, 64,
     .help = "taps of the convolution before the scan, 0: none"},
    {"dt_rank", FIELD_INT, offsetof(config, rank), "0", 0, 4096,
     .help = "rank of the time steps, 0: d_model / 16 rounded up"},
};

static tensor *build(block *b, const void *settings, tensor *x) {
    const config *c = settings;
    graph *g = b->g;
    const int inner = (int)c->expand * b->d_model, state = (int)c->state;
    const int rank = c->rank ? (int)c->rank : (b->d_model + 15) / 16;
    const init normal = {INIT_NORMAL, b->spec->common.init_std};
    tensor *u = block_matrix(b, "wx", x, inner, normal),
           *z = block_matrix(b, "wz", x, inner, normal);
    u = short_conv(b, "conv", u, (int)c->width, true);
    if (!c->width && u) u = APPLY(g, silu, IN(u));
    tensor *dt = block_matrix(b, "wr", u, rank, normal);
    dt = block_matrix(b, "wdt", dt, inner, (init){INIT_UNIFORM, 1 / sqrt(rank)});
    dt = APPLY(g, bias, IN(dt, block_formula(b, "dt_bias", time_step_start, DIM(inner))));
    dt = APPLY_WITH(g, map, IN(dt), .kind = MAP_SOFTPLUS);
    tensor *in = block_matrix(b, "wb", u, state, normal),
           *out = block_matrix(b, "wc", u, state, normal);
    tensor *rate = block_formula(b, "a_log", log_count_start, DIM(inner, state));
    rate = APPLY_WITH(g, map, IN(rate), .kind = MAP_NEG_EXP);
    tensor *skip = block_param(b, "d", (init){INIT_CONST, 1}, false, DIM(inner));
    tensor *y = APPLY(g, scan, IN(u, dt, rate, in, out, skip));
    return block_output(b, "wo", APPLY(g, swiglu, IN(z, y)));
}

static double state_size(const void *settings, const model_config *m, long time) {
    const config *c = settings;
    (void)time;
    const long kept = c->width ? c->width - 1 : 0;
    return (double)(c->expand * m->d_model) * (double)(c->state + kept);
}

MIXER(mamba) = {
    .name = "mamba",
    .summary = "selective state space model",
    .source = "Gu and Dao 2023, arXiv 2312.00752",
    .fields = FIELD_TABLE(fields),
    .config_size = sizeof(config),
    .build = build,
    .state_size = state_size,
};
