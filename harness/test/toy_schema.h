/* toy_schema.h - a small schema for tests of the configuration: two tasks, three mixers with
 * settings in common, two ffns, two recipes. */
#pragma once
#include "harness/grid.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four headers above first. */
#include <cmocka.h>
#include <string.h>

typedef struct toy_model {
    const char *mixer, *ffn;
    text_list layers;
    long d_model;
    double dropout;
} toy_model;

typedef struct toy_train {
    double lr, clip;
    long steps, seed, data_seed, threads;
    bool shuffle;
    const char *note;
} toy_train;

typedef struct toy_eval {
    int_list lengths;
    real_list points;
} toy_eval;

typedef struct toy_cat {
    long heads, width;
    unsigned on;
    int kind;
} toy_cat;

typedef struct toy_mamba {
    long state, steps;
    int kind;
} toy_mamba;

typedef struct toy_nar {
    long n, length;
} toy_nar;

typedef struct toy_mqar {
    long pairs, length;
} toy_mqar;

static const field toy_task_rows[] = {{"name", FIELD_TEXT, 0, NULL, .help = "the task"}};
static const field toy_model_rows[] = {
    {"mixer", FIELD_TEXT, offsetof(toy_model, mixer), "attention", .help = "mixer of all blocks"},
    {"ffn", FIELD_TEXT, offsetof(toy_model, ffn), "none", .help = "feed-forward part"},
    {"layers", FIELD_TEXTS, offsetof(toy_model, layers), "[]", .help = "mixers, layer by layer"},
    {"d_model", FIELD_INT, offsetof(toy_model, d_model), "64", 1, 4096, .help = "channels"},
    {"dropout", FIELD_REAL, offsetof(toy_model, dropout), "0", 0, 0.95, .help = "dropout rate"},
};
static const field toy_train_rows[] = {
    {"lr", FIELD_REAL, offsetof(toy_train, lr), "1e-3", 0, 10, .help = "learning rate",
     .per_run = true},
    {"clip", FIELD_REAL, offsetof(toy_train, clip), "1", 0, INFINITY, .help = "gradient norm"},
    {"steps", FIELD_INT, offsetof(toy_train, steps), "100", 1, 1e12, .help = "steps"},
    {"seed", FIELD_INT, offsetof(toy_train, seed), "0", 0, 9e15, .help = "seed", .per_run = true},
    {"data_seed", FIELD_INT, offsetof(toy_train, data_seed), "-1", -1, 9e15, .help = "data seed",
     .per_run = true},
    {"threads", FIELD_INT, offsetof(toy_train, threads), "1", 1, 64, .help = "threads",
     .no_id = true},
    {"shuffle", FIELD_BOOL, offsetof(toy_train, shuffle), "true", .help = "new order per epoch"},
    {"note", FIELD_TEXT, offsetof(toy_train, note), "null", .help = "any text"},
};
static const field toy_eval_rows[] = {
    {"lengths", FIELD_INTS, offsetof(toy_eval, lengths), "[]", 1, 4096, .help = "test lengths"},
    {"points", FIELD_REALS, offsetof(toy_eval, points), "[]", 0, 1, .help = "points of a curve"},
};
static const field toy_attention_rows[] = {
    {"heads", FIELD_INT, 0, "1", 1, 64, .help = "heads"},
};
static const field toy_cat_rows[] = {
    {"heads", FIELD_INT, offsetof(toy_cat, heads), "1", 1, 64, .help = "heads"},
    {"conv.width", FIELD_INT, offsetof(toy_cat, width), "3", 1, 64, .help = "taps"},
    {"conv.on", FIELD_SET, offsetof(toy_cat, on), "[q, k, v]", .choices = "q|k|v",
     .help = "what is convolved"},
    {"conv.kind", FIELD_CHOICE, offsetof(toy_cat, kind), "scalar", .choices = "scalar|depthwise",
     .help = "kind of filter"},
};
static const field toy_mamba_rows[] = {
    {"state", FIELD_INT, offsetof(toy_mamba, state), "16", 1, 256, .help = "state size"},
    {"steps", FIELD_INT, offsetof(toy_mamba, steps), "1", 1, 8, .help = "inner steps"},
    {"conv.kind", FIELD_CHOICE, offsetof(toy_mamba, kind), "depthwise",
     .choices = "none|depthwise|scalar", .help = "kind of filter"},
};
static const field toy_swiglu_rows[] = {{"inner", FIELD_INT, 0, "0", 0, 65536, .help = "width"}};
static const field toy_nar_rows[] = {
    {"n", FIELD_INT, offsetof(toy_nar, n), "1", 1, 8, .help = "length of the key"},
    {"length", FIELD_INT, offsetof(toy_nar, length), NULL, 4, 4096, .help = "tokens"},
};
static const field toy_mqar_rows[] = {
    {"pairs", FIELD_INT, offsetof(toy_mqar, pairs), "4", 1, 64, .help = "pairs"},
    {"length", FIELD_INT, offsetof(toy_mqar, length), "64", 4, 4096, .help = "tokens"},
};

static const field_table toy_task = FIELD_TABLE(toy_task_rows);
static const field_table toy_model_table = FIELD_TABLE(toy_model_rows);
static const field_table toy_train_table = FIELD_TABLE(toy_train_rows);
static const field_table toy_eval_table = FIELD_TABLE(toy_eval_rows);
static const schema_section toy_sections[] = {
    {"task", &toy_task, 1},
    {"model", &toy_model_table, 1},
    {"train", &toy_train_table, 1},
    {"eval", &toy_eval_table, 1},
};
static const schema_option toy_tasks[] = {
    {"nar", "recall of n-grams", FIELD_TABLE(toy_nar_rows)},
    {"mqar", "recall of pairs", FIELD_TABLE(toy_mqar_rows)},
};
static const schema_option toy_mixers[] = {
    {"attention", "softmax", FIELD_TABLE(toy_attention_rows)},
    {"cat", "convolved softmax", FIELD_TABLE(toy_cat_rows)},
    {"mamba", "state space", FIELD_TABLE(toy_mamba_rows)},
};
static const schema_option toy_ffns[] = {
    {"none", "nothing", {0}},
    {"swiglu", "gated", FIELD_TABLE(toy_swiglu_rows)},
};
static const schema_selector toy_selectors[] = {
    {"task", "task.name", NULL, toy_tasks, 2},
    {"mixer", "model.mixer", "model.layers", toy_mixers, 3},
    {"ffn", "model.ffn", NULL, toy_ffns, 2},
};
static const char *const toy_wide[] = {"model.d_model=128", "model.conv.width=5", "train.lr=1e-2"};
static const char *const toy_gated[] = {"model.ffn=swiglu", "model.inner=256"};
static const schema_recipe toy_recipes[] = {
    {"wide", "more channels", toy_wide, 3},
    {"gated", "a gated ffn", toy_gated, 2},
};

/* The data seed follows the seed. */
static inline void toy_fill(draft *d) {
    if (!draft_given(d, "train.data_seed"))
        draft_set(d, "train.data_seed", draft_get(d, "train.seed"));
}

static inline const char *toy_check(const config *c, arena *a, const char **key) {
    const char *name = config_get(c, "task.name");
    if (strcmp(name, "nar")) return NULL;
    toy_nar task;
    memset(&task, 0, sizeof task);
    config_bind(&task, c, "task", "nar", &toy_tasks[0].fields, a);
    if (task.length >= 4 * task.n) return NULL;
    *key = "task.n";
    return arena_printf(a, "task.n is %ld, but task.length %ld allows at most %ld", task.n,
                        task.length, task.length / 4);
}

static const schema toy = {
    .section = toy_sections,
    .n_sections = 4,
    .selector = toy_selectors,
    .n_selectors = 3,
    .recipe = toy_recipes,
    .n_recipes = 2,
    .seed_key = "train.seed",
    .fill = toy_fill,
    .check = toy_check,
};

/* All of a diag's messages, one a line. */
static inline const char *toy_messages(arena *a, diag *d) {
    text_buffer b = {.arena = a};
    buffer_add(&b, "");
    for (int i = 0; diag_line(d, i); i++) {
        buffer_add(&b, diag_line(d, i));
        buffer_add(&b, "\n");
    }
    return b.text;
}
