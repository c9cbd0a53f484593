/* model.h - from settings to a tape: embed, blocks of mixer and ffn, norm, head.
 *
 *   x = embed(ids) (+ position); x += mixer(norm(x)); x += ffn(norm(x)) per layer; head(norm(x))
 *
 * A mixer is one file, mixer_NAME.c: settings struct, field table, build(), MIXER(...). An ffn is
 * the same with ffn_NAME.c. Nothing else in the tree names them. Tensor names: models/README.md. */
#pragma once
#include "conv_config.h"
#include "kernels/core/backend.h"
#include "kernels/core/field.h"
#include "kernels/core/graph.h"

enum { MODEL_MAX_LAYERS = 256 };

typedef enum norm_kind { NORM_RMS, NORM_LAYER } norm_kind;
typedef enum linear_kind { LINEAR_PLAIN, LINEAR_BIT158 } linear_kind;
typedef enum position_kind {
    POSITION_NONE,
    POSITION_ROPE,
    POSITION_LEARNED,
    POSITION_SINUSOIDAL,
    POSITION_ALIBI
} position_kind;

/* Places of Canon layers (Allen-Zhu 2025), short residual convolutions: after the norm of the
 * mixer, on its q, k and v, after the norm of the ffn, on the gate and the inner layer of the ffn.
 */
typedef enum canon_place { CANON_A = 1, CANON_B = 2, CANON_C = 4, CANON_D = 8 } canon_place;

/* Section "model": what every mixer shares. */
typedef struct model_config {
    long layers, d_model;
    const char *mixer, *ffn; /* selectors, checked against the registries */
    text_list mixers;        /* takes the place of `mixer`: layer L has number L mod n */
    int norm, position;
    int linear;
    bool bias, tie_head, init_residual;
    double dropout, embed_dropout, init_std, init_scale;
    unsigned canon; /* of enum canon_place */
    long canon_width;
    int canon_init;
    int after_linear; /* 0: none, else 1 + the kind of linear_conv */
    conv_config linear_conv;
} model_config;
extern const field_table model_fields;

typedef struct block block;

typedef struct mixer {
    const char *name, *summary, *source;
    field_table fields; /* of the settings struct, names relative to section "model" */
    size_t config_size;
    /* Settings that cannot work together: half a sentence naming field, value and bound, or NULL.
     */
    const char *(*check)(const void *config, const model_config *model);
    /* x: normed block input [R,B,T,C]; returns what is added to the residual stream. */
    tensor *(*build)(block *b, const void *config, tensor *x);
    /* Numbers kept per sequence and layer while decoding token `time`. */
    double (*state_size)(const void *config, const model_config *model, long time);
} mixer;

typedef struct ffn {
    const char *name, *summary;
    field_table fields;
    size_t config_size;
    const char *(*check)(const void *config, const model_config *model); /* as of a mixer */
    tensor *(*build)(block *b, const void *config, tensor *x);
} ffn;

#define MIXER(id) const mixer mixer_##id
#define FFN(id)   const ffn ffn_##id
extern const mixer *const mixers[];
extern const ffn *const ffns[];
extern const int n_mixers, n_ffns;
const mixer *mixer_find(const char *name); /* NULL: no such mixer */
const ffn *ffn_find(const char *name);

/* A mixer and its settings. */
typedef struct chosen_mixer {
    const mixer *mixer;
    const void *config;
} chosen_mixer;

/* Everything that shapes a tape. */
typedef struct model_spec {
    model_config common;
    const chosen_mixer *pattern; /* [n_pattern] repeated over the layers */
    int n_pattern;
    const ffn *ffn;
    const void *ffn_config;
    int vocab;    /* V */
    int max_time; /* longest T ever evaluated: rows of a learned position table */
    int batch;    /* sequences of a whole training batch, over which losses per sequence average */
} model_spec;

typedef enum head_mode { HEAD_LOSS, HEAD_LOGITS } head_mode;

/* A built tape and the places the host reads and writes. NULL where the tape lacks it. */
typedef struct model {
    graph *g;
    tensor *ids;               /* int [R,B,T] */
    tensor *label;             /* int [R,B,T], -1: not scored */
    tensor *scale;             /* [R] weight of one scored position in the loss */
    tensor *nll;               /* [R,B,T] */
    tensor *pred;              /* int [R,B,T] */
    tensor *logits;            /* [R,B,T,V], HEAD_LOGITS only */
    tensor *rate, *embed_rate; /* [R] dropout */
    tensor *key;               /* int [R,2] dropout key */
    tensor *tick;              /* int [3] step, first example, training */
    double state_size;         /* kept while decoding by convolutions outside mixers */
} model;

/* Builds (does not plan) a tape for R runs, B sequences of T tokens. dropout: some run has a rate >
 * 0, so that the places of dropout exist; a run with rate 0 keeps its bits. */
status model_build(model *out, arena *a, const backend *b, const model_spec *spec, int runs,
                   int batch, int time, bool dropout, head_mode head, error *e);

/* What a table says about a model of one run: parameters, state, cost. */
typedef struct model_cost {
    long params;
    double state_size; /* numbers per sequence after spec->max_time tokens, all layers */
    double forward_flops_per_token, flops_per_token; /* at this T; with backward: 3 x forward */
} model_cost;
const chosen_mixer *model_layer(const model_spec *spec, int layer);
/* Shared settings that cannot work: half a sentence that begins with the setting, or NULL. */
const char *model_check(const model_spec *spec);
status model_measure(model_cost *out, const model_spec *spec, int time, error *e);
/* Of the mixer of layer 0 alone, without norm and residual. */
status model_measure_mixer(model_cost *out, const model_spec *spec, int time, error *e);
