/* command_bench.c - mixgrid bench: training speed of the reference models on this machine.
 *
 * Reference model: 2 layers, pre-norm LayerNorm, learned positions, biases, GELU ffn of 4 d, tied
 * head, labels on a quarter of the positions or on all; cat adds depthwise convolutions of width 4
 * with bias on q, k, v. GFLOP count 3 x forward, attention over the full T x T. */
#include "bench_model.h"
#include "catalog.h"
#include "cli.h"
#include "results/provenance.h"
#include "results/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct shape {
    const char *mixer;
    int d_model, time, vocab, heads, batch;
    bool full; /* labels on all positions instead of a quarter */
} shape;

static const shape shapes[] = {
    {"attention", 64, 64, 256, 1, 64, false},   {"attention", 64, 256, 256, 1, 64, false},
    {"attention", 64, 64, 8192, 1, 64, false},  {"attention", 64, 256, 8192, 1, 64, false},
    {"attention", 128, 64, 256, 1, 64, false},  {"attention", 128, 256, 256, 1, 64, false},
    {"attention", 128, 64, 8192, 1, 64, false}, {"attention", 128, 256, 8192, 1, 64, false},
    {"attention", 64, 256, 256, 4, 64, true},   {"attention", 128, 256, 256, 4, 64, true},
    {"cat", 32, 32, 256, 1, 32, false},         {"cat", 64, 64, 256, 1, 64, false},
    {"cat", 64, 256, 256, 1, 64, false},        {"cat", 64, 64, 8192, 1, 64, false},
    {"cat", 64, 64, 8192, 1, 64, true},         {"cat", 64, 256, 8192, 1, 64, false},
    {"cat", 128, 64, 256, 1, 64, false},        {"cat", 128, 256, 256, 1, 64, false},
    {"cat", 128, 64, 8192, 1, 64, false},       {"cat", 128, 256, 8192, 1, 64, false},
};

/* "cat d64 T256 V8192 H1 B64 quarter": what --only looks at and the database keeps. */
static const char *shape_text(arena *a, const shape *s) {
    return arena_printf(a, "%s d%d T%d V%d H%d B%d %s", s->mixer, s->d_model, s->time, s->vocab,
                        s->heads, s->batch, s->full ? "full" : "quarter");
}

static status read_job(job *j, arena *a, const shape *s, long threads, error *e) {
    const char *setting[16] = {"task.name=nar",          "model.layers=2",  "model.norm=layernorm",
                               "model.position=learned", "model.bias=true", "model.ffn=gelu"};
    int n = 6;
    setting[n++] = arena_printf(a, "model.mixer=%s", s->mixer);
    setting[n++] = arena_printf(a, "model.d_model=%d", s->d_model);
    setting[n++] = arena_printf(a, "train.batch=%d", s->batch);
    setting[n++] = arena_printf(a, "model.heads=%d", s->heads);
    setting[n++] = arena_printf(a, "train.threads=%ld", threads);
    if (!strcmp(s->mixer, "cat")) {
        setting[n++] = "model.conv.kind=depthwise";
        setting[n++] = "model.conv.width=4";
        setting[n++] = "model.conv.bias=true";
    }
    diag *d = diag_new(a);
    const config *c = config_from_settings(a, catalog_schema(), setting, n, d);
    if (!c) return diag_first(d, e);
    job_bind(j, a, &c, 1);
    j->model.vocab = s->vocab;
    j->model.max_time = s->time;
    return STATUS_OK;
}

typedef struct bench {
    const backend *backend;
    store *store; /* NULL: only printed */
    const char *environment_json, *only;
    long milliseconds;
} bench;

static status keep(const bench *w, const char *shape_text, const char *name, double number,
                   const char *unit, error *e) {
    if (!w->store) return STATUS_OK;
    const store_bench row = {(double)time(NULL), number, name, shape_text, w->backend->name, unit,
                             w->environment_json};
    return store_bench_add(w->store, &row, e);
}

static status bench_shape(const bench *w, const shape *s, const char *text, error *e) {
    arena *a = arena_new();
    job one, threaded;
    step_time alone, two, pair;
    double peak = 1;
    const double seconds = 1e-3 * (double)w->milliseconds;
    status result = read_job(&one, a, s, 1, e);
    if (!result) result = read_job(&threaded, a, s, 2, e);
    const task_set *set =
        result ? NULL : bench_noise(a, s->time, s->vocab, s->full ? s->time : s->time / 4, e);
    if (!set) result = e->code;
    if (!result) result = bench_peak(&peak, w->backend, e);
    if (!result) result = bench_steps(&alone, &one, w->backend, set, seconds, e);
    if (!result) result = bench_steps(&two, &threaded, w->backend, set, seconds, e);
    if (!result) result = bench_side_by_side(&pair, &one, w->backend, set, NULL, seconds, 2, e);
    if (!result) {
        const double rate = alone.flops / alone.median_s;
        printf("%-36s | %8.2f %8.1f %7.1f %4.0f%% | %8.2f %7.1f | %8.2f %7.1f\n", text,
               1e3 * alone.median_s, 1 / alone.median_s, 1e-9 * rate, 100 * rate / peak,
               1e3 * two.median_s, 1e-9 * two.flops / two.median_s, 1e3 * pair.median_s,
               2e-9 * pair.flops / pair.median_s);
        fflush(stdout);
        const struct {
            const char *name, *unit;
            double value;
        } rows[] = {
            {"step, 1 thread", "s", alone.median_s},
            {"step, 2 threads", "s", two.median_s},
            {"step, 2 runs at a time", "s", pair.median_s},
            {"rate, 1 thread", "FLOP/s", rate},
            {"matrix product", "FLOP/s", peak},
        };
        for (size_t i = 0; i < sizeof rows / sizeof *rows && !result; i++)
            result = keep(w, text, rows[i].name, rows[i].value, rows[i].unit, e);
    }
    arena_free(a);
    return result;
}

status command_bench(int argc, char **argv, error *e) {
    arena *a = arena_new();
    bench w = {.only = "", .milliseconds = 600};
    const char *device = "auto", *db = NULL;
    const cli_option options[] = {
        {"device", CLI_TEXT, &device, "NAME", "auto, cuda, cuda:0, cpu, cpu-v3, cpu-v4 or f64"},
        {"only", CLI_TEXT, &w.only, "TEXT", "only rows that contain this, such as \"cat d64\""},
        {"ms", CLI_COUNT, &w.milliseconds, "MS", "time for each measurement (default 600)"},
        {"db", CLI_TEXT, &db, "FILE", "also write the figures to the table bench of this database"},
    };
    cli_texts words = {0};
    bool rebuild;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && !(w.backend = backend_open(device, e))) s = e->code;
    if (!s && db && !(w.store = store_open(db, &rebuild, e))) s = e->code;
    if (!s) {
        w.environment_json = provenance_json(a, w.backend->name, w.backend->summary, NULL);
        printf("training steps on %s, medians in ms; share: of the machine's matrix product\n"
               "%-36s | %8s %8s %7s %5s | %8s %7s | %8s %7s\n",
               w.backend->name, "mixer, width, length, vocabulary", "1 thread", "steps/s",
               "GFLOP/s", "share", "2 thread", "GFLOP/s", "2 runs", "GFLOP/s");
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !s; i++) {
        const char *row = shape_text(a, &shapes[i]);
        if (strstr(row, w.only)) s = bench_shape(&w, &shapes[i], row, e);
    }
    store_close(w.store);
    arena_free(a);
    return s;
}
