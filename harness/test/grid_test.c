/* grid_test.c - order and number of cells, when, exclude, zip, seeds, sampling, W&B files, labels,
 * the description for reports, and every error of a grid file with its place. */
#include "toy_schema.h"

#include <jansson.h>
#include <time.h>

static arena *memory;
static diag *found;

static int start(void **state) {
    (void)state;
    memory = arena_new();
    return 0;
}

static int stop(void **state) {
    (void)state;
    arena_free(memory);
    return 0;
}

static const grid *read_grid(const char *text) {
    found = diag_new(memory);
    return grid_read(memory, &toy, text, (long)strlen(text), "g.yaml", NULL, 0, found);
}

static const grid *good(const char *text) {
    const grid *g = read_grid(text);
    assert_string_equal(toy_messages(memory, found), "");
    assert_non_null(g);
    return g;
}

/* `text` follows two lines: an experiment, and defaults with task mqar. */
#define HEAD "experiment: e\ndefaults: {task.name: mqar}\n"

static void refuses(const char *text, const char *messages) {
    assert_null(read_grid(text));
    assert_string_equal(toy_messages(memory, found), messages);
}

/* The labels of all cells, one a line. */
static void has_cells(const grid *g, const char *labels) {
    text_buffer b = {.arena = memory};
    buffer_add(&b, "");
    for (int i = 0; i < g->n; i++) {
        buffer_add(&b, g->cell[i].label);
        buffer_add(&b, "\n");
    }
    assert_string_equal(b.text, labels);
}

static void nested_and_dotted_keys(void **state) {
    (void)state;
    const grid *a =
        good("experiment: e\ndefaults:\n  task: {name: mqar}\n  model:\n    mixer: cat\n"
             "    conv:\n      width: 5\n  eval:\n");
    const grid *b = good("experiment: e\ndefaults: {task.name: mqar, model.mixer: cat, "
                         "model.conv.width: 5}\n");
    const grid *c = good("experiment: f\ndefaults:\n  task.name: mqar\n  model: {mixer: cat, "
                         "conv.width: 0x5}\n");
    assert_int_equal(a->n, 1);
    assert_string_equal(a->cell[0].config->id, b->cell[0].config->id);
    assert_string_equal(a->cell[0].config->id, c->cell[0].config->id);
    has_cells(a, "seed=0\n");
}

static void order_of_cells(void **state) {
    (void)state;
    const grid *g = good(HEAD "seeds: 2\n"
                              "grid:\n  model.mixer: [cat, attention]\n  train.lr: [1e-2, 0.1]\n");
    has_cells(g, "mixer=cat lr=0.01 seed=0\nmixer=cat lr=0.01 seed=1\n"
                 "mixer=cat lr=0.1 seed=0\nmixer=cat lr=0.1 seed=1\n"
                 "mixer=attention lr=0.01 seed=0\nmixer=attention lr=0.01 seed=1\n"
                 "mixer=attention lr=0.1 seed=0\nmixer=attention lr=0.1 seed=1\n");
    assert_string_equal(g->cell[1].axes_json,
                        "{\"model.mixer\":\"cat\",\"train.lr\":0.01,\"train.seed\":1}");
    assert_int_equal(g->n_axes, 3);
    assert_string_equal(g->axis[2], "train.seed");
    has_cells(good(HEAD "zip: [{model.d_model: [8, 16], train.steps: [1, 2]}]\n"
                        "grid: {train.lr: [1, 2]}\n"),
              "d_model=8 steps=1 lr=1 seed=0\nd_model=8 steps=1 lr=2 seed=0\n"
              "d_model=16 steps=2 lr=1 seed=0\nd_model=16 steps=2 lr=2 seed=0\n");
}

static void axis_functions(void **state) {
    (void)state;
    has_cells(good(HEAD "grid: {train.lr: logspace(1e-4, 1e-2, 3)}\n"),
              "lr=0.0001 seed=0\nlr=0.001 seed=0\nlr=0.01 seed=0\n");
    has_cells(good(HEAD "grid:\n  train.lr: linspace(0, 1, 3)\n"),
              "lr=0 seed=0\nlr=0.5 seed=0\nlr=1 seed=0\n");
    has_cells(good(HEAD "grid:\n  train.steps: range(1, 10, 4)\n"),
              "steps=1 seed=0\nsteps=5 seed=0\nsteps=9 seed=0\n");
    has_cells(good(HEAD "grid:\n  train.lr: range(0.1, 0.4, 0.1)\n"),
              "lr=0.1 seed=0\nlr=0.2 seed=0\nlr=0.3 seed=0\n");
    has_cells(good(HEAD "grid:\n  train.steps: [7, range(3, 1, -1), choice(9, 8)]\n"),
              "steps=7 seed=0\nsteps=3 seed=0\nsteps=2 seed=0\nsteps=9 seed=0\nsteps=8 seed=0\n");
    has_cells(good(HEAD "seeds: range(3, 5)\n"), "seed=3\nseed=4\n");
    has_cells(good(HEAD "seeds: [7, 5]\n"), "seed=7\nseed=5\n");
}

static void list_values(void **state) {
    (void)state;
    has_cells(good("experiment: e\ndefaults: {task.name: mqar, model.mixer: cat}\n"
                   "grid: {model.conv.on: [[q], [k, q], v, []]}\n"),
              "on=[q] seed=0\non=[q,k] seed=0\non=[v] seed=0\non=[] seed=0\n");
    has_cells(good(HEAD "grid: {eval.lengths: [[1, 2], 3]}\n"),
              "lengths=[1,2] seed=0\nlengths=[3] seed=0\n");
}

static void clauses_of_when(void **state) {
    (void)state;
    has_cells(good(HEAD "grid: {model.mixer: [attention, cat, mamba]}\nseeds: 2\n"
                        "when:\n"
                        "  - {if: {model.mixer: cat}, set: {model.conv.width: [2, 4]}}\n"
                        "  - {if: {model.mixer: [mamba, cat]}, set: {model.conv.kind: scalar}}\n"),
              "mixer=attention seed=0\nmixer=attention seed=1\n"
              "mixer=cat width=2 seed=0\nmixer=cat width=2 seed=1\n"
              "mixer=cat width=4 seed=0\nmixer=cat width=4 seed=1\n"
              "mixer=mamba seed=0\nmixer=mamba seed=1\n");
    /* A clause sees what earlier ones set, defaults included; sets outrank axes. */
    has_cells(good(HEAD "grid: {train.lr: [1, 2], model.mixer: [cat, mamba]}\n"
                        "when:\n"
                        "  - {if: {train.lr: 1.0, model.ffn: none}, set: {train.steps: 7}}\n"
                        "  - {if: {train.steps: 7, model.conv.width: 3}, set: {train.lr: 5}}\n"),
              "lr=5 mixer=cat seed=0\nlr=1 mixer=mamba seed=0\n"
              "lr=2 mixer=cat seed=0\nlr=2 mixer=mamba seed=0\n");
    /* For a field that takes lists, a list is one value and a list of lists several. */
    has_cells(good(HEAD "grid: {model.mixer: [attention, cat]}\n"
                        "when: [{if: {model.mixer: cat}, set: {model.conv.on: [q, k]}}]\n"),
              "mixer=attention seed=0\nmixer=cat seed=0\n");
    has_cells(good(HEAD "grid: {model.mixer: [attention, cat]}\n"
                        "when: [{if: {model.mixer: cat}, set: {model.conv.on: [[q], [k]]}},\n"
                        "       {if: {model.conv.on: [q]}, set: {train.lr: 2}}]\n"),
              "mixer=attention seed=0\nmixer=cat on=[q] seed=0\nmixer=cat on=[k] seed=0\n");
}

/* What the axes decide is no axis; what splits some cells is one, and is named in their labels. */
static void determined_keys(void **state) {
    (void)state;
    const grid *g =
        good("experiment: e\ndefaults: {task.length: 16}\n"
             "grid: {task.name: [nar, mqar], model.mixer: [attention, cat]}\n"
             "when:\n"
             "  - {if: {task.name: nar}, set: {task.n: [1, 2], train.steps: 7}}\n"
             "  - {if: {model.mixer: cat}, set: {model.conv.kind: scalar}}\n"
             "  - {if: {model.mixer: cat, task.name: nar}, set: {model.conv.width: 3}}\n"
             "  - {if: {model.mixer: cat, task.name: mqar},\n"
             "     set: {model.conv.width: [3, 48]}}\n");
    has_cells(g, "task=nar mixer=attention n=1 seed=0\ntask=nar mixer=attention n=2 seed=0\n"
                 "task=nar mixer=cat n=1 seed=0\ntask=nar mixer=cat n=2 seed=0\n"
                 "task=mqar mixer=attention seed=0\ntask=mqar mixer=cat width=3 seed=0\n"
                 "task=mqar mixer=cat width=48 seed=0\n");
    assert_string_equal(g->cell[2].axes_json,
                        "{\"task.name\":\"nar\",\"model.mixer\":\"cat\",\"task.n\":1,"
                        "\"model.conv.width\":3,\"train.seed\":0}");
    assert_non_null(strstr(g->spec_json, "\"determined\":[\"train.steps\",\"model.conv.kind\"],"));
    /* What the user varies stays an axis, though the other one decides it. */
    has_cells(good(HEAD "zip: [{train.lr: [1, 2], train.steps: [7, 8]}]\n"
                        "when: [{if: {train.lr: 1}, set: {model.d_model: 8}}]\n"),
              "lr=1 steps=7 seed=0\nlr=2 steps=8 seed=0\n");
}

static void exclusions(void **state) {
    (void)state;
    const grid *g = good(HEAD "grid: {model.mixer: [cat, mamba], train.lr: [1, 2, 3]}\nseeds: 2\n"
                              "exclude:\n  - {model.mixer: mamba, train.lr: [1.0, 3]}\n"
                              "  - {train.seed: 1, train.lr: 2}\n");
    has_cells(g, "mixer=cat lr=1 seed=0\nmixer=cat lr=1 seed=1\nmixer=cat lr=2 seed=0\n"
                 "mixer=cat lr=3 seed=0\nmixer=cat lr=3 seed=1\nmixer=mamba lr=2 seed=0\n");
    assert_int_equal(g->excluded, 6);
    /* What is excluded need not be possible. */
    has_cells(good("experiment: e\ndefaults: {task.name: nar}\n"
                   "grid: {task.length: [4, 8], task.n: [1, 2]}\n"
                   "exclude: [{task.length: 4, task.n: 2}]\n"),
              "length=4 n=1 seed=0\nlength=8 n=1 seed=0\nlength=8 n=2 seed=0\n");
}

static void one_factor_at_a_time(void **state) {
    (void)state;
    has_cells(good(HEAD "grid: {model.mixer: [attention, mamba]}\n"
                        "baseline_changes: {train.lr: [1, 2], model.d_model: [32]}\n"),
              "mixer=attention lr=0.001 d_model=64 seed=0\nmixer=attention lr=1 d_model=64 seed=0\n"
              "mixer=attention lr=2 d_model=64 seed=0\nmixer=attention lr=0.001 d_model=32 seed=0\n"
              "mixer=mamba lr=0.001 d_model=64 seed=0\nmixer=mamba lr=1 d_model=64 seed=0\n"
              "mixer=mamba lr=2 d_model=64 seed=0\nmixer=mamba lr=0.001 d_model=32 seed=0\n");
    assert_int_equal(good(HEAD "baseline_changes: {train.lr: [1e-3, 1]}\n")->merged, 1);
}

static void equal_cells_are_one(void **state) {
    (void)state;
    const grid *g = good(HEAD "grid: {train.lr: [1e-3, 0.001, 1], train.threads: [1, 2]}\n");
    has_cells(g, "lr=0.001 seed=0\nlr=1 seed=0\n");
    assert_int_equal(g->merged, 4);
    assert_string_equal(config_get(g->cell[0].config, "train.threads"), "1");
}

static void growing_a_grid_keeps_ids(void **state) {
    (void)state;
    const grid *a = good(HEAD "grid: {train.lr: [1, 2]}\nseeds: 2\n");
    const grid *b = good(HEAD "grid: {train.lr: [3, 1, 2], model.mixer: [mamba, attention]}\n"
                              "seeds: 3\n");
    for (int i = 0; i < a->n; i++) {
        int same = 0;
        for (int k = 0; k < b->n; k++)
            same += !strcmp(a->cell[i].config->id, b->cell[k].config->id);
        assert_int_equal(same, 1);
    }
}

static void recipes(void **state) {
    (void)state;
    const grid *g = good(HEAD "recipe: wide\ngrid: {train.lr: [1, 2]}\n");
    assert_string_equal(config_get(g->cell[0].config, "model.d_model"), "128");
    g = good(HEAD "grid: {recipe: [wide, null, gated]}\n"
                  "when: [{if: {recipe: gated}, set: {train.lr: 2}}]\n");
    has_cells(g, "recipe=wide seed=0\nseed=0\nrecipe=gated seed=0\n");
    assert_string_equal(g->cell[0].axes_json, "{\"recipe\":\"wide\",\"train.seed\":0}");
    assert_string_equal(config_get(g->cell[2].config, "train.lr"), "2");
    assert_string_equal(g->cell[1].config->id, good(HEAD)->cell[0].config->id);
    assert_string_equal(config_get(g->cell[2].config, "model.inner"), "256");
}

static void ambiguous_names_grow(void **state) {
    (void)state;
    has_cells(good("experiment: e\ndefaults: {task.name: mqar, model.layers: [cat, mamba]}\n"
                   "grid: {train.seed: [1], train.data_seed: [1, 2],\n"
                   "       model.conv.kind@mamba: [none, scalar]}\n"),
              "data_seed=1 kind@mamba=none seed=1\ndata_seed=1 kind@mamba=scalar seed=1\n"
              "data_seed=2 kind@mamba=none seed=1\ndata_seed=2 kind@mamba=scalar seed=1\n");
    has_cells(good("experiment: e\ndefaults: {task.name: mqar, model.mixer: mamba}\n"
                   "grid: {model.steps: [1, 2], train.steps: [7, 8]}\n"),
              "model.steps=1 train.steps=7 seed=0\nmodel.steps=1 train.steps=8 seed=0\n"
              "model.steps=2 train.steps=7 seed=0\nmodel.steps=2 train.steps=8 seed=0\n");
}

static void random_sampling(void **state) {
    (void)state;
#define RANDOM HEAD "method: {name: random, samples: 20, seed: %d}\n"
#define AXES                                                                                       \
    "grid:\n  train.lr: log_uniform(1e-4, 1)\n  model.d_model: int_uniform(1, 8)\n"                \
    "  model.mixer: [cat, mamba]\n"
    const grid *a = good(arena_printf(memory, RANDOM AXES, 1));
    const grid *again = good(arena_printf(memory, RANDOM AXES, 1));
    const grid *other = good(arena_printf(memory, RANDOM AXES, 2));
    const grid *more = good(arena_printf(memory, RANDOM AXES "  train.clip: uniform(0, 2)\n", 1));
    assert_int_equal(a->n, 20);
    int below = 0, cats = 0;
    for (int i = 0; i < a->n; i++) {
        const config *c = a->cell[i].config;
        const double lr = config_find(c, "train.lr")->value->number;
        assert_true(lr >= 1e-4 && lr <= 1);
        below += lr < 1e-2;
        cats += !strcmp(config_get(c, "model.mixer"), "cat");
        assert_string_equal(c->id, again->cell[i].config->id);
        /* Another axis moves no draw of this one. */
        assert_string_equal(config_get(more->cell[i].config, "train.lr"),
                            config_get(c, "train.lr"));
    }
    assert_true(below > 4 && below < 16 && cats > 3 && cats < 17);
    assert_string_not_equal(a->cell[0].config->id, other->cell[0].config->id);
    refuses(HEAD "method: random\ngrid: {train.lr: uniform(0, 1)}\n",
            "g.yaml:3:9: error: method random needs a number of samples: method: {name: random, "
            "samples: 20, seed: 0}\n");
    refuses(HEAD "grid: {train.lr: uniform(0, 1)}\n",
            "g.yaml:3:18: error: train.lr: uniform(0, 1): distributions need \"method: random\"\n");
    refuses(HEAD "method: bayes\n",
            "g.yaml:3:9: error: method bayes is not supported, because its cells depend on results "
            "and cannot be listed beforehand; use grid or random\n");
    refuses(HEAD "method: {name: random, samples: 0, sead: 1}\n",
            "g.yaml:3:33: error: samples must be an integer from 1 to 250000\n"
            "g.yaml:3:36: error: unknown key sead; method random has name, samples and seed\n");
    refuses(HEAD "method: simulated\n",
            "g.yaml:3:9: error: method is grid, or {name: random, samples: N}\n");
}

static void wandb_files(void **state) {
    (void)state;
    const grid *g = read_grid("program: train.py\nname: w\nmethod: grid\n"
                              "metric: {name: val/acc, goal: maximize}\n"
                              "parameters:\n"
                              "  task.name: {value: mqar}\n"
                              "  train:\n    parameters:\n      lr: {values: [1, 2]}\n"
                              "  model.mixer: {distribution: categorical, values: [cat, mamba]}\n"
                              "  model.d_model: {distribution: constant, value: 32}\n");
    assert_string_equal(toy_messages(memory, found),
                        "g.yaml:1:1: warning: program of a W&B sweep file has no effect here\n"
                        "g.yaml:4:1: warning: metric of a W&B sweep file has no effect here\n");
    assert_string_equal(g->experiment, "w");
    has_cells(g, "lr=1 mixer=cat seed=0\nlr=1 mixer=mamba seed=0\nlr=2 mixer=cat seed=0\n"
                 "lr=2 mixer=mamba seed=0\n");
    assert_string_equal(config_get(g->cell[0].config, "model.d_model"), "32");
    g = good("name: w\nmethod: random\nrun_cap: 9\nparameters:\n  task.name: {value: mqar}\n"
             "  train.lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}\n"
             "  model.d_model: {min: 1, max: 64}\n  model.dropout: {min: 0.0, max: 0.5}\n");
    assert_int_equal(g->n, 9);
    refuses("name: w\nmethod: bayes\nparameters: {task.name: {value: mqar}}\n",
            "g.yaml:2:9: error: method bayes is not supported, because its cells depend on results "
            "and cannot be listed beforehand; use grid or random\n");
    refuses("name: w\nmethod: random\nfoo: 1\nparameters:\n  task.name: {value: mqar}\n"
            "  train.lr: {distribution: q_normal, min: 1, max: 2}\n  lr: {value: 1}\n"
            "  train.steps: {max: 1}\n",
            "g.yaml:2:9: error: method random needs run_cap, the number of samples, from 1 to "
            "250000\n"
            "g.yaml:3:1: error: unknown key foo beside parameters, which makes this a W&B sweep "
            "file\n"
            "g.yaml:6:28: error: distribution q_normal is not supported; there are constant, "
            "categorical, uniform, log_uniform_values and int_uniform\n"
            "g.yaml:7:3: error: unknown key lr; did you mean train.lr?\n"
            "g.yaml:8:3: error: train.steps needs values, value, or min and max\n");
}

static void description(void **state) {
    (void)state;
    const char *text = "# Does width help?\n#   Source: \"a paper\"\n\nexperiment: e\n# later\n"
                       "defaults: {task.name: mqar}\nseeds: [3, 1]\n"
                       "grid: {train.lr: [1e-1, 1]}\n"
                       "select: {over: [train.lr], by: val/token_acc, mode: min}\n"
                       "published: [{mixer: cat, acc: 0.5, n: 3, note: null, big: .inf}]\n"
                       "report: {figures: [{x: train.lr}], tables: []}\n";
    const grid *g = good(text);
    json_t *spec = json_loads(g->spec_json, 0, NULL);
    assert_non_null(spec);
    assert_string_equal(json_string_value(json_object_get(spec, "text")), text);
    assert_string_equal(json_string_value(json_object_get(spec, "description")),
                        "Does width help?\n  Source: \"a paper\"");
    json_decref(spec);
    const char *start_of = strstr(g->spec_json, "\"recipe\"");
    const char *wanted =
        "\"recipe\":null,\"axes\":{\"train.lr\":[0.1,1],\"train.seed\":[3,1]},\"determined\":[],"
        "\"seeds\":[3,1],"
        "\"select\":{\"over\":[\"train.lr\"],\"by\":\"val/token_acc\",\"mode\":\"min\"},"
        "\"published\":[{\"mixer\":\"cat\",\"acc\":0.5,\"n\":3,\"note\":null,\"big\":\"inf\"}],"
        "\"report\":{\"figures\":[{\"x\":\"train.lr\"}],\"tables\":[]},\"text\":";
    assert_non_null(start_of);
    assert_memory_equal(start_of, wanted, strlen(wanted));
    spec = json_loads(good(HEAD)->spec_json, 0, NULL);
    assert_true(json_is_null(json_object_get(spec, "select")));
    assert_int_equal(json_array_size(json_object_get(spec, "published")), 0);
    json_decref(spec);
}

static void errors_of_the_file(void **state) {
    (void)state;
    refuses("- 1\n",
            "g.yaml:1:1: error: a grid file is a map that starts with \"experiment: NAME\"\n");
    refuses("defaults: {task.name: mqar}\n",
            "g.yaml:1:1: error: experiment is missing; start the file with \"experiment: NAME\"\n");
    refuses("experiment: ../x\ndefaults: {task.name: mqar}\n",
            "g.yaml:1:13: error: experiment is a name of up to 100 letters, digits, dots, dashes "
            "and underscores that starts with a letter or digit, not ../x\n");
    refuses(HEAD "defalts: {a: 1}\n", "g.yaml:3:1: error: unknown key defalts; did you mean "
                                      "defaults?\n");
    refuses(HEAD "model.mixer: cat\n",
            "g.yaml:3:1: error: model.mixer is a setting; put it under \"defaults:\", or under "
            "\"grid:\" to vary it\n");
    refuses(HEAD "foo: 1\n",
            "g.yaml:3:1: error: unknown key foo; a grid file has experiment, recipe, defaults, "
            "grid, zip, when, exclude, baseline_changes, seeds, select, early_terminate, "
            "published, report and method\n");
    refuses("experiment: e\ndefaults:\n  task.name: mqar\n  task: {lenght: 8}\n  train.lr: x\n"
            "  model: {mixer: cat, mixer: cat}\n",
            "g.yaml:4:10: error: unknown key task.lenght; did you mean task.length?\n"
            "g.yaml:5:13: error: train.lr must be a number from 0 to 10, not x\n"
            "g.yaml:6:23: error: duplicate key mixer; it was given at line 6 already\n");
    refuses("experiment: e\ndefaults:\n  task.name: mqar\n  task:\n    name: mqar\n",
            "g.yaml:5:5: error: duplicate key task.name; it was given at line 3 already\n");
    refuses("experiment: e\ndefaults: {task.name: mqar, train.lr: {a: 1}, model.conv: 3}\n",
            "g.yaml:2:29: error: train.lr takes a number from 0 to 10, not a map\n"
            "g.yaml:2:47: error: model.conv is a group of settings, not a setting; give one of "
            "them, such as model.conv.width\n");
    refuses("experiment: e\ndefaults: 3\nseeds: 0\n",
            "g.yaml:1:13: error: task.name is missing; give text\n"
            "g.yaml:2:11: error: a map of settings is meant here, not an integer\n"
            "g.yaml:3:8: error: seeds: 0: a number of seeds from 1 to 100000, or a list of them\n");
    refuses("experiment: e\ndefaults: {task.name: nar}\n",
            "g.yaml:2:23: error: task.length is missing; task nar needs it: an integer from 4 to "
            "4096\n");
    refuses("experiment: e\ndefaults: {task.name: nar, task.length: 8}\ngrid: {task.n: [1, 3, 4]}\n"
            "seeds: 5\n",
            "g.yaml:3:20: error: task.n is 3, but task.length 8 allows at most 2\n"
            "g.yaml:3:23: error: task.n is 4, but task.length 8 allows at most 2\n");
}

static void errors_of_axes(void **state) {
    (void)state;
    refuses(HEAD "grid: {train.lr: []}\n",
            "g.yaml:3:18: error: train.lr has an empty list of values, so there are no cells\n");
    refuses(HEAD "grid: {train.lr: [1, 99, x], model.mixer: [cat, kat]}\nseeds: 9\n",
            "g.yaml:3:22: error: train.lr must be a number from 0 to 10, not 99\n"
            "g.yaml:3:26: error: train.lr must be a number from 0 to 10, not x\n"
            "g.yaml:3:49: error: unknown mixer kat; did you mean cat?\n");
    refuses(HEAD "grid: {model.mixer: [attention, cat], model.conv.width: [2, 3]}\n",
            "g.yaml:3:39: error: model.conv.width applies to mixer cat, not to attention; use "
            "\"when:\" to set it for cat only\n");
    refuses(HEAD "grid: {train.lr: [{a: 1}]}\n",
            "g.yaml:3:19: error: train.lr: a map is not a value; use zip to vary settings "
            "together\n");
    refuses(HEAD "grid: {train.lr: [1, 2]}\nzip: [{train.lr: [1, 2]}]\n",
            "g.yaml:4:8: error: train.lr is an axis already, at line 3\n");
    refuses(HEAD "grid: {train.seed: [1, 2]}\nseeds: 3\n",
            "g.yaml:4:8: error: train.seed is an axis already, at line 3\n");
    refuses(HEAD "zip: [{train.lr: [1, 2], train.steps: [1, 2, 3]}]\n",
            "g.yaml:3:26: error: zip: train.steps has 3 values, but train.lr has 2; give both as "
            "many\n");
    refuses(HEAD "zip: 3\n",
            "g.yaml:3:6: error: zip is a list of maps of lists that vary together\n");
    static const char *const calls[][2] = {
        {"range(1, 2, 0)", "the step is 0"},
        {"range(2, 1)", "no value lies in this range"},
        {"range(1e9)", "that is more than 100000 values"},
        {"range(a)", "its arguments are finite numbers"},
        {"range()", "it needs more arguments"},
        {"range(1, 2, 3, 4)", "it has too many arguments"},
        {"logspace(0, 1, 3)", "both ends must be greater than 0"},
        {"linspace(0, 1, 0)", "the third argument is how many values, an integer from 1 to 100000"},
    };
    for (int i = 0; i < 8; i++)
        refuses(arena_printf(memory, HEAD "grid:\n  train.lr: %s\n", calls[i][0]),
                arena_printf(memory, "g.yaml:4:13: error: train.lr: %s: %s\n", calls[i][0],
                             calls[i][1]));
    refuses(HEAD "grid:\n  train.lr: logspase(1, 2, 3)\n",
            "g.yaml:4:13: error: train.lr: unknown function logspase(); there are range, linspace, "
            "logspace, choice, uniform, log_uniform and int_uniform, and text with parentheses is "
            "quoted; did you mean logspace?\n");
    refuses(HEAD "grid: {train.lr: linspace(0, 1, 1000), train.steps: range(1, 1001)}\n",
            "g.yaml:1:13: error: the grid has 1e+06 cells, more than 250000; leave out values\n");
}

static void errors_of_clauses(void **state) {
    (void)state;
    refuses(HEAD "when:\n  - {if: {model.mixer: catt}, set: {train.lr: 1}}\n"
                 "  - {if: {train.seed: 1}, set: {train.lr: 1}}\n"
                 "  - {iff: {train.lr: 1}, set: {train.lr: 1}}\n"
                 "  - {if: {train.lr: 1}, set: {train.ls: 1}}\n"
                 "  - {if: {}, set: {train.lr: 1}}\n"
                 "  - {if: {train.lr: 1}, set: {train.seed: 1}}\n",
            "g.yaml:4:24: error: unknown mixer catt; did you mean cat?\n"
            "g.yaml:5:23: error: when cannot depend on train.seed; seeds vary last\n"
            "g.yaml:6:5: error: a clause of when is {if: {KEY: VALUE}, set: {KEY: VALUE}}\n"
            "g.yaml:6:6: error: unknown key iff; a clause has if and set\n"
            "g.yaml:7:31: error: unknown key train.ls; did you mean train.lr?\n"
            "g.yaml:8:10: error: an empty if always applies; put the settings under "
            "\"defaults:\"\n"
            "g.yaml:9:31: error: when cannot set train.seed; use seeds\n");
    refuses(HEAD "when: 3\nexclude: x\n",
            "g.yaml:3:7: error: when is a list of {if: {KEY: VALUE}, set: {KEY: VALUE}}\n"
            "g.yaml:4:10: error: exclude is a list of {KEY: VALUE}\n");
    refuses(HEAD "grid: {train.lr: [1, 2]}\nexclude: [{train.lr: [1, 2]}]\n",
            "g.yaml:4:11: error: exclude leaves no cell of 2\n");
    refuses(HEAD "exclude: [{}]\n",
            "g.yaml:3:11: error: an empty clause would exclude every cell\n");
    read_grid(HEAD "grid: {train.lr: [1, 2]}\nexclude: [{train.lr: 3}]\n"
                   "when: [{if: {model.mixer: cat}, set: {train.lr: 1}}]\n");
    assert_string_equal(toy_messages(memory, found),
                        "g.yaml:4:11: warning: this clause of exclude matches no cell\n"
                        "g.yaml:5:8: warning: this clause of when matches no cell\n");
}

static void errors_of_reports(void **state) {
    (void)state;
    refuses(HEAD "select: {over: [train.ls], by: test/acc, mode: best, nice: 1}\n"
                 "published: {a: 1}\nreport: {figure: [], tables: 3}\n",
            "g.yaml:3:17: error: unknown key train.ls; did you mean train.lr?\n"
            "g.yaml:3:32: error: select.by is val/METRIC or train/METRIC; choosing on the test set "
            "would make its scores too good\n"
            "g.yaml:3:48: error: select.mode is max or min\n"
            "g.yaml:3:54: error: unknown key nice; select has over, by, mode\n"
            "g.yaml:4:12: error: published is a list of maps, one for each number\n"
            "g.yaml:5:10: error: unknown key figure; report has figures, tables, solve, chance; "
            "did you mean figures?\n"
            "g.yaml:5:30: error: report.tables is a list\n");
    refuses(HEAD "select: {over: train.lr}\nreport: 3\n",
            "g.yaml:3:9: error: select needs over (keys) and by (such as val/token_acc)\n"
            "g.yaml:3:16: warning: select.over names train.lr, which does not vary\n"
            "g.yaml:4:9: error: report is a map, not an integer\n");
}

static void ten_thousand_cells(void **state) {
    (void)state;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const grid *g = good(HEAD "grid:\n  model.mixer: [attention, cat, mamba, cat]\n"
                              "  train.lr: logspace(1e-4, 1e-2, 10)\n"
                              "  model.d_model: range(1, 51)\n"
                              "when: [{if: {model.mixer: cat}, set: {model.conv.width: [2, 3]}}]\n"
                              "exclude: [{model.mixer: mamba, train.seed: 3}]\nseeds: 5\n");
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double wall_s =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    assert_int_equal(g->n, 2500 + 5000 + 2000);
    assert_int_equal(g->merged, 5000);
    printf("%d cells in %.3f s\n", g->n + g->merged, wall_s);
    assert_true(wall_s < 20);
}

/* Any damage to a good file ends in a grid or in an error. */
static void damaged_files(void **state) {
    (void)state;
    const char *text = HEAD "seeds: 2\nzip: [{train.lr: [1, 2], train.steps: range(1, 3)}]\n"
                            "grid: {model.mixer: [cat, mamba]}\n"
                            "when: [{if: {model.mixer: cat}, set: {model.conv.on: [[q], [v]]}}]\n"
                            "exclude: [{train.lr: 2}]\nselect: {over: train.lr, by: val/x}\n";
    const long n = (long)strlen(text);
    for (long i = 0; i < n; i++) {
        static const char bytes[] = "\n :,[]{}0-'\"&*!|#@(x\x80";
        for (size_t k = 0; k < sizeof bytes; k++) {
            char *damaged = arena_text(memory, text);
            damaged[i] = bytes[k];
            found = diag_new(memory);
            const grid *g = grid_read(memory, &toy, damaged, n, "g.yaml", NULL, 0, found);
            assert_true(g ? g->n > 0 : diag_errors(found) > 0);
            arena_free(memory);
            memory = arena_new();
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nested_and_dotted_keys, start, stop),
        cmocka_unit_test_setup_teardown(order_of_cells, start, stop),
        cmocka_unit_test_setup_teardown(axis_functions, start, stop),
        cmocka_unit_test_setup_teardown(list_values, start, stop),
        cmocka_unit_test_setup_teardown(clauses_of_when, start, stop),
        cmocka_unit_test_setup_teardown(determined_keys, start, stop),
        cmocka_unit_test_setup_teardown(exclusions, start, stop),
        cmocka_unit_test_setup_teardown(one_factor_at_a_time, start, stop),
        cmocka_unit_test_setup_teardown(equal_cells_are_one, start, stop),
        cmocka_unit_test_setup_teardown(growing_a_grid_keeps_ids, start, stop),
        cmocka_unit_test_setup_teardown(recipes, start, stop),
        cmocka_unit_test_setup_teardown(ambiguous_names_grow, start, stop),
        cmocka_unit_test_setup_teardown(random_sampling, start, stop),
        cmocka_unit_test_setup_teardown(wandb_files, start, stop),
        cmocka_unit_test_setup_teardown(description, start, stop),
        cmocka_unit_test_setup_teardown(errors_of_the_file, start, stop),
        cmocka_unit_test_setup_teardown(errors_of_axes, start, stop),
        cmocka_unit_test_setup_teardown(errors_of_clauses, start, stop),
        cmocka_unit_test_setup_teardown(errors_of_reports, start, stop),
        cmocka_unit_test_setup_teardown(ten_thousand_cells, start, stop),
        cmocka_unit_test_setup_teardown(damaged_files, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
