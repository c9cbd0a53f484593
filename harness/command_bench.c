/* command_bench.c - mixgrid bench: training speed of the reference models on this machine.
 *
 * Reference model: 2 layers, pre-norm LayerNorm, learned positions, biases, GELU ffn of 4 d, tied
 * head, batch 64, labels on a quarter of the positions; cat adds depthwise convolutions of width 4
 * with bias on q, k, v. GFLOP count 3 x forward, attention over the full T x T. */
#include "bench_model.h"
#include "catalog.h"
#include "cli.h"

#include <stdio.h>
#include <string.h>

typedef struct shape {
    const char *mixer;
    int d_model, time, vocab;
} shape;

static const shape shapes[] = {
    {"attention", 64, 64, 256},   {"attention", 64, 256, 256},   {"attention", 64, 64, 8192},
    {"attention", 64, 256, 8192}, {"attention", 128, 64, 256},   {"attention", 128, 256, 256},
    {"attention", 128, 64, 8192}, {"attention", 128, 256, 8192}, {"cat", 64, 64, 256},
    {"cat", 64, 256, 256},        {"cat", 64, 64, 8192},         {"cat", 64, 256, 8192},
    {"cat", 128, 64, 256},        {"cat", 128, 256, 256},        {"cat", 128, 64, 8192},
    {"cat", 128, 256, 8192},
};

static status read_job(job *j, arena *a, const shape *s, long batch, long threads, error *e) {
    const char *setting[16] = {"task.name=nar",          "model.layers=2",  "model.norm=layernorm",
                               "model.position=learned", "model.bias=true", "model.ffn=gelu"};
    int n = 6;
    setting[n++] = arena_printf(a, "model.mixer=%s", s->mixer);
    setting[n++] = arena_printf(a, "model.d_model=%d", s->d_model);
    setting[n++] = arena_printf(a, "train.batch=%ld", batch);
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

static status bench_shape(const shape *s, const backend *b, long batch, double seconds, error *e) {
    arena *a = arena_new();
    job one, threaded;
    step_time alone, pair, two;
    status result = read_job(&one, a, s, batch, 1, e);
    if (!result) result = read_job(&threaded, a, s, batch, 2, e);
    const task_set *set = result ? NULL : bench_noise(a, s->time, s->vocab, s->time / 4, e);
    if (!result && !set) result = e->code;
    if (!result) result = bench_steps(&alone, &one, b, set, seconds, e);
    if (!result) result = bench_steps(&two, &threaded, b, set, seconds, e);
    if (!result) result = bench_side_by_side(&pair, &one, b, set, seconds, 2, e);
    if (!result)
        printf("%-10s %5d %5d %6d | %8.2f %8.1f %8.1f | %8.2f %8.1f | %8.2f %8.1f\n", s->mixer,
               s->d_model, s->time, s->vocab, 1e3 * alone.median_s, 1 / alone.median_s,
               1e-9 * alone.flops / alone.median_s, 1e3 * two.median_s,
               1e-9 * two.flops / two.median_s, 1e3 * pair.median_s,
               2e-9 * pair.flops / pair.median_s);
    fflush(stdout);
    arena_free(a);
    return result;
}

status command_bench(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *device = "auto", *only = "";
    long batch = 64, milliseconds = 600;
    const cli_option options[] = {
        {"device", CLI_TEXT, &device, "NAME", "auto, cpu, cpu-v3, cpu-v4 or f64"},
        {"only", CLI_TEXT, &only, "TEXT", "rows whose \"mixer d_model time vocab\" contains this"},
        {"batch", CLI_COUNT, &batch, "B", "sequences a step (default 64)"},
        {"ms", CLI_COUNT, &milliseconds, "MS", "time for each measurement (default 600)"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    const backend *b = s ? NULL : backend_find(device, e);
    if (!s && !b) s = e->code;
    if (!s)
        printf(
            "training steps on %s, batch %ld, medians; side by side: two processes of one thread\n"
            "%-10s %5s %5s %6s | %8s %8s %8s | %8s %8s | %8s %8s\n",
            b->name, batch, "mixer", "d", "T", "V", "1 thread", "steps/s", "GFLOP/s", "2 thread",
            "GFLOP/s", "2 runs", "GFLOP/s");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !s; i++) {
        const char *row = arena_printf(a, "%s %d %d %d", shapes[i].mixer, shapes[i].d_model,
                                       shapes[i].time, shapes[i].vocab);
        if (strstr(row, only))
            s = bench_shape(&shapes[i], b, batch, 1e-3 * (double)milliseconds, e);
    }
    arena_free(a);
    return s;
}
