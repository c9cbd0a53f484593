/* model.c - the skeleton around mixers: embedding, residual blocks, head; see model.h. */
#include "model.h"

#include "block.h"
#include "conv.h"
#include "kernels/core/op.h"

#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(model_config, member)
static const field fields[] = {
    {"layers", FIELD_INT, AT(layers), "1", 1, MODEL_MAX_LAYERS, .help = "number of blocks"},
    {"d_model", FIELD_INT, AT(d_model), "64", 1, 65536, .help = "channels of the residual stream"},
    {"mixer", FIELD_TEXT, AT(mixer), "attention", .help = "sequence mixer of every block"},
    {"mixers", FIELD_TEXTS, AT(mixers), "[]",
     .help = "mixers of the layers in turn, for hybrids; repeated to the depth"},
    {"ffn", FIELD_TEXT, AT(ffn), "none", .help = "feed-forward part of every block"},
    {"norm", FIELD_CHOICE, AT(norm), "rmsnorm", .choices = "rmsnorm|layernorm",
     .help = "normalisation before mixer, ffn and head"},
    {"position", FIELD_CHOICE, AT(position), "none",
     .choices = "none|rope|learned|sinusoidal|alibi",
     .help = "how positions enter; rope and alibi act inside attention only"},
    {"linear", FIELD_CHOICE, AT(linear), "plain", .choices = "plain|bit158",
     .help = "linear layers of mixers and ffns; bit158: ternary weights, 8-bit inputs"},
    {"bias", FIELD_BOOL, AT(bias), "false", .help = "biases in linear layers"},
    {"tie_head", FIELD_BOOL, AT(tie_head), "true", .help = "output head = embedding table"},
    {"init_residual", FIELD_BOOL, AT(init_residual), "true",
     .help = "output projections start smaller by sqrt(2 layers)"},
    {"init_std", FIELD_REAL, AT(init_std), "0.02", 0, 10,
     .help = "standard deviation of embeddings and linear weights"},
    {"init_scale", FIELD_REAL, AT(init_scale), "1", 0, 100, .per_run = true,
     .help = "factor on every random initial value"},
    {"dropout", FIELD_REAL, AT(dropout), "0", 0, 0.95, .per_run = true,
     .help = "dropout rate after mixer and ffn"},
    {"embed_dropout", FIELD_REAL, AT(embed_dropout), "0", 0, 0.95, .per_run = true,
     .help = "dropout rate after the embedding"},
    {"canon", FIELD_SET, AT(canon), "[]", .choices = "a|b|c|d",
     .help = "Canon layers: residual convolutions of the normed input of the mixer (a) and of the "
             "ffn (c), of q, k and v (b), of the inner layers of the ffn (d)"},
    {"canon_width", FIELD_INT, AT(canon_width), "4", 1, 64, .help = "taps of Canon layers"},
    {"canon_init", FIELD_CHOICE, AT(canon_init), "zero", .choices = CONV_INITS,
     .help = "start of Canon taps; at zero, a model starts as the one without them"},
    {"after_linear", FIELD_CHOICE, AT(after_linear), "none", .choices = "none|" CONV_KINDS,
     .help = "convolution after every linear layer of mixers and ffns, of this conv.kind"},
    CONV_SHAPE_FIELDS("linear_conv.", model_config, linear_conv, "true"),
};
const field_table model_fields = FIELD_TABLE(fields);

#define ENTRY(name) extern const mixer mixer_##name;
#include "mixer.def"
#undef ENTRY
#define ENTRY(name) extern const ffn ffn_##name;
#include "ffn.def"
#undef ENTRY
#define ENTRY(name) &mixer_##name,
const mixer *const mixers[] = {
#include "mixer.def"
};
#undef ENTRY
#define ENTRY(name) &ffn_##name,
const ffn *const ffns[] = {
#include "ffn.def"
};
#undef ENTRY
const int n_mixers = sizeof mixers / sizeof *mixers, n_ffns = sizeof ffns / sizeof *ffns;

const mixer *mixer_find(const char *name) {
    for (int i = 0; i < n_mixers; i++)
        if (!strcmp(mixers[i]->name, name)) return mixers[i];
    return NULL;
}

const ffn *ffn_find(const char *name) {
    for (int i = 0; i < n_ffns; i++)
        if (!strcmp(ffns[i]->name, name)) return ffns[i];
    return NULL;
}

static tensor *normalise(graph *g, const model_config *c, const char *name, tensor *x) {
    if (!x) return NULL;
    const int runs = g->runs, cols = tensor_last(x);
    char bias_name[96];
    tensor *w = graph_param(g, name, (init){INIT_CONST, 1}, false, DIM(runs, cols));
    if (c->norm == NORM_RMS) return APPLY_WITH(g, rmsnorm, IN(x, w), .eps = 1e-5);
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    tensor *bias = graph_param(g, bias_name, (init){INIT_CONST, 0}, false, DIM(runs, cols));
    return APPLY_WITH(g, layernorm, IN(x, w, bias), .eps = 1e-5);
}

const chosen_mixer *model_layer(const model_spec *spec, int layer) {
    return &spec->pattern[layer % spec->n_pattern];
}

static tensor *residual(block *b, const char *part, tensor *x) {
    const model_spec *spec = b->spec;
    char name[64];
    b->part = part;
    snprintf(name, sizeof name, "layer.%d.%s.norm", b->layer, part);
    tensor *h = b->input = normalise(b->g, &spec->common, name, x);
    const chosen_mixer *m = model_layer(spec, b->layer);
    const bool mixes = part[0] == 'm';
    h = block_canon(b, mixes ? CANON_A : CANON_C, "canon", h);
    h = mixes ? m->mixer->build(b, m->config, h) : spec->ffn->build(b, spec->ffn_config, h);
    return APPLY(b->g, add, IN(x, block_dropout(b, h, 15)));
}

static void add_inputs(model *m, int runs, int batch, int time, bool dropout) {
    graph *g = m->g;
    m->ids = graph_input(g, TENSOR_INT, "ids", DIM(runs, batch, time));
    if (!dropout) return;
    m->rate = graph_input(g, TENSOR_REAL, "dropout", DIM(runs));
    m->embed_rate = graph_input(g, TENSOR_REAL, "embed_dropout", DIM(runs));
    m->key = graph_input(g, TENSOR_INT, "dropout_key", DIM(runs, 2));
    m->tick = graph_input(g, TENSOR_INT, "tick", DIM(3));
}

static tensor *embed(model *m, const model_spec *spec, tensor *table) {
    graph *g = m->g;
    const model_config *c = &spec->common;
    tensor *x = APPLY(g, embed, IN(m->ids, table));
    if (c->position == POSITION_SINUSOIDAL) x = APPLY(g, position, IN(x));
    if (c->position == POSITION_LEARNED) {
        tensor *rows = graph_param(g, "position", (init){INIT_NORMAL, c->init_std}, true,
                                   DIM(g->runs, spec->max_time, (int)c->d_model));
        x = APPLY(g, position, IN(x, rows));
    }
    return m->rate ? APPLY_WITH(g, dropout, IN(x, m->embed_rate, m->key, m->tick), .site = 0) : x;
}

status model_build(model *out, arena *a, const backend *device, const model_spec *spec, int runs,
                   int batch, int time, bool dropout, head_mode head, error *e) {
    const model_config *c = &spec->common;
    const int cols = (int)c->d_model;
    graph *g = graph_new(a, device, runs);
    *out = (model){.g = g};
    add_inputs(out, runs, batch, time, dropout);
    const init normal = {INIT_NORMAL, c->init_std};
    tensor *table = graph_param(g, "embed", normal, true, DIM(runs, spec->vocab, cols));
    tensor *x = embed(out, spec, table);
    block b = {.g = g,
               .spec = spec,
               .runs = runs,
               .batch = batch,
               .time = time,
               .d_model = cols,
               .part = "",
               .rate = out->rate,
               .key = out->key,
               .tick = out->tick};
    for (b.layer = 0; b.layer < c->layers; b.layer++) {
        x = residual(&b, "mixer", x);
        if (spec->ffn->build) x = residual(&b, "ffn", x);
    }
    out->state_size = b.state_size;
    if (c->canon & ~b.canon)
        block_refuse(&b, "model.canon: %s.",
                     c->canon & ~b.canon & CANON_B
                         ? "place b needs a mixer with queries, keys and values, as attention"
                         : "places c and d need a feed-forward part; set model.ffn");
    x = normalise(g, c, "head.norm", x);
    tensor *w =
        c->tie_head ? table : graph_param(g, "head", normal, true, DIM(runs, spec->vocab, cols));
    if (head == HEAD_LOGITS) {
        out->logits = APPLY(g, logits, IN(x, w));
    } else {
        out->label = graph_input(g, TENSOR_INT, "label", DIM(runs, batch, time));
        out->scale = graph_input(g, TENSOR_REAL, "scale", DIM(runs));
        out->nll = APPLY(g, head, IN(x, w, out->label, out->scale));
        if (out->nll) out->pred = graph_node_of(g, out->nll)->aux;
    }
    if (g->error.code) return error_set(e, g->error.code, "%s", g->error.text);
    return STATUS_OK;
}

const char *model_check(const model_spec *spec) {
    conv_config c = spec->common.linear_conv;
    c.kind = spec->common.after_linear - 1;
    if (spec->common.canon & (CANON_C | CANON_D) && !spec->ffn->build)
        return "model.canon: places c and d need a feed-forward part; set model.ffn";
    return spec->common.after_linear ? conv_check(&c, "model.linear_conv.", spec->common.d_model)
                                     : NULL;
}

static model_cost cost_of(const graph *g, int time) {
    const double forward = graph_flops(g) / time;
    return (model_cost){.params = (long)g->param_n,
                        .forward_flops_per_token = forward,
                        .flops_per_token = 3 * forward};
}

static double state_of(const model_spec *spec, int layer) {
    const chosen_mixer *m = model_layer(spec, layer);
    if (!m->mixer->state_size) return 0;
    return m->mixer->state_size(m->config, &spec->common, spec->max_time);
}

status model_measure(model_cost *out, const model_spec *spec, int time, error *e) {
    arena *a = arena_new();
    model m;
    status s = model_build(&m, a, backend_at(0), spec, 1, 1, time, false, HEAD_LOSS, e);
    if (s == STATUS_OK) {
        *out = cost_of(m.g, time);
        out->state_size = m.state_size;
        for (int i = 0; i < spec->common.layers; i++) out->state_size += state_of(spec, i);
    }
    arena_free(a);
    return s;
}

status model_measure_mixer(model_cost *out, const model_spec *spec, int time, error *e) {
    arena *a = arena_new();
    graph *g = graph_new(a, backend_at(0), 1);
    const int cols = (int)spec->common.d_model;
    block b = {.g = g,
               .spec = spec,
               .runs = 1,
               .batch = 1,
               .time = time,
               .d_model = cols,
               .part = "mixer"};
    const chosen_mixer *m = model_layer(spec, 0);
    b.input = graph_input(g, TENSOR_REAL, "x", DIM(1, 1, time, cols));
    m->mixer->build(&b, m->config, b.input);
    status s = g->error.code;
    if (s) error_set(e, s, "%s", g->error.text);
    if (!s) *out = cost_of(g, time);
    if (!s) out->state_size = state_of(spec, 0);
    arena_free(a);
    return s;
}
