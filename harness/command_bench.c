/* command_bench.c - mixgrid bench: training speed of the reference models on this machine, or (see
 * bench_mixers.h) of all mixers.
 *
 * Reference model: 2 layers, pre-norm LayerNorm, learned positions, biases, GELU ffn of 4 d, tied
 * head, labels on a quarter of the positions or on all; cat adds depthwise convolutions of width 4
 * with bias on q, k, v. GFLOP count 3 x forward, attention over the full T x T. */
#include "bench_mixers.h"
#include "bench_model.h"
#include "catalog.h"
#include "cli.h"
#include "results/provenance.h"
#include "results/store.h"
#include "schedule.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static status read_job(job *j, arena *a, const shape *s, int threads, int runs, error *e) {
    const char *setting[16] = {"task.name=nar",          "model.layers=2",  "model.norm=layernorm",
                               "model.position=learned", "model.bias=true", "model.ffn=gelu"};
    int n = 6;
    setting[n++] = arena_printf(a, "model.mixer=%s", s->mixer);
    setting[n++] = arena_printf(a, "model.d_model=%d", s->d_model);
    setting[n++] = arena_printf(a, "train.batch=%d", s->batch);
    setting[n++] = arena_printf(a, "model.heads=%d", s->heads);
    setting[n++] = arena_printf(a, "train.threads=%d", threads);
    if (!strcmp(s->mixer, "cat")) {
        setting[n++] = "model.conv.kind=depthwise";
        setting[n++] = "model.conv.width=4";
        setting[n++] = "model.conv.bias=true";
    }
    diag *d = diag_new(a);
    const config **cell = ARENA_NEW(a, const config *, runs);
    for (int r = 0; r < runs; r++) {
        setting[n] = arena_printf(a, "train.seed=%d", r);
        if (!(cell[r] = config_from_settings(a, catalog_schema(), setting, n + 1, d)))
            return diag_first(d, e);
    }
    job_bind(j, a, cell, runs);
    j->model.vocab = s->vocab;
    j->model.max_time = s->time;
    return STATUS_OK;
}

typedef struct way way;
typedef struct bench {
    const backend *backend;
    bool is_gpu;
    const way *ways;      /* [N_WAY] */
    store *store;         /* NULL: only printed */
    const char *journals; /* the folder beside it */
    const char *environment_json, *only;
    long milliseconds;
    double mem_bytes; /* for one model; of a GPU's free memory a tenth is left to the driver */
} bench;

static status keep(const bench *w, const char *shape_text, const char *name, double number,
                   const char *unit, error *e) {
    if (!w->store) return STATUS_OK;
    const store_bench row = {(double)time(NULL), number, name, shape_text, w->backend->name, unit,
                             w->environment_json};
    return store_bench_add(w->store, w->journals, &row, e);
}

/* What is timed: on a processor one run on one and two threads and two runs side by side, on a GPU,
 * which one small run leaves idle, packs. */
struct way {
    const char *title, *name; /* of a column, and in the database */
    int threads, runs, processes;
};
enum { N_WAY = 3 };
static const way on_processor[N_WAY] = {{"1 thread", "step, 1 thread", 1, 1, 1},
                                        {"2 thread", "step, 2 threads", 2, 1, 1},
                                        {"2 runs", "step, 2 runs at a time", 1, 1, 2}};
static const way on_gpu[N_WAY] = {{"1 run", "step, 1 run", 1, 1, 1},
                                  {"pack 8", "step, pack of 8", 1, 8, 1},
                                  {"pack 64", "step, pack of 64", 1, 64, 1}};

static status bench_way(step_time *out, const bench *w, const shape *s, const way *how, error *e) {
    arena *a = arena_new();
    job j;
    const double seconds = 1e-3 * (double)w->milliseconds;
    status result = read_job(&j, a, s, how->threads, how->runs, e);
    const task_set *set =
        result ? NULL : bench_noise(a, s->time, s->vocab, s->full ? s->time : s->time / 4, e);
    if (!set) result = e->code;
    if (!result && how->processes == 1) result = bench_steps(out, &j, w->backend, set, seconds, e);
    if (!result && how->processes > 1)
        result = bench_side_by_side(out, &j, w->backend, set, NULL, seconds, how->processes, e);
    arena_free(a);
    return result;
}

static status bench_shape(const bench *w, const shape *s, const char *row, error *e) {
    double peak = 1, rate[N_WAY];
    step_time t[N_WAY];
    status result = bench_peak(&peak, w->backend, e);
    for (int i = 0; i < N_WAY && !result; i++) {
        result = bench_way(&t[i], w, s, &w->ways[i], e);
        rate[i] = w->ways[i].processes * t[i].flops / t[i].median_s;
    }
    if (result) return result;
    printf("%-36s | %8.2f %8.1f %7.1f %4.0f%% | %8.2f %7.1f | %8.2f %7.1f\n", row,
           1e3 * t[0].median_s, 1 / t[0].median_s, 1e-9 * rate[0], 100 * rate[0] / peak,
           1e3 * t[1].median_s, 1e-9 * rate[1], 1e3 * t[2].median_s, 1e-9 * rate[2]);
    fflush(stdout);
    for (int i = 0; i < N_WAY && !result; i++)
        result = keep(w, row, w->ways[i].name, t[i].median_s, "s", e);
    if (!result)
        result = keep(w, row, w->is_gpu ? "rate, 1 run" : "rate, 1 thread", rate[0], "FLOP/s", e);
    return result ? result : keep(w, row, "matrix product", peak, "FLOP/s", e);
}

typedef struct tables { /* what --mixers and --convs ask for */
    bool mixers, convs;
    const char *lengths, *format; /* NULL, 0: not given */
    long d_model, tokens;
} tables;
static const char all_lengths[] = "64,128,256,512,1024,2048,4096";

static const struct {
    const char *name;
    table_format format;
} formats[] = {{"table", TABLE_TERMINAL}, {"md", TABLE_MARKDOWN}, {"csv", TABLE_CSV}};
enum { N_FORMAT = sizeof formats / sizeof *formats };

/* Before anything is measured. */
static status read_tables(bench_mixers_request *out, arena *a, const tables *t, int *format,
                          error *e) {
    *format = 0;
    if (!t->mixers && !t->convs && (t->lengths || t->format || t->d_model || t->tokens))
        return error_set(
            e, STATUS_USAGE,
            "--lengths, --d-model, --tokens and --format go with --mixers or --convs.");
    while (t->format && *format < N_FORMAT && strcmp(formats[*format].name, t->format)) ++*format;
    if (*format == N_FORMAT)
        return error_set(e, STATUS_USAGE, "--format is table, md or csv, not %s.", t->format);
    if (t->d_model > 65536 || t->tokens > 1 << 20)
        return error_set(e, STATUS_USAGE, "--d-model is at most 65536, --tokens at most %d.",
                         1 << 20);
    int *length = ARENA_NEW(a, int, BENCH_MAX_LENGTHS);
    *out = (bench_mixers_request){
        .length = length, .d_model = t->d_model ? t->d_model : 64, .tokens = t->tokens};
    return bench_lengths(length, &out->n_length, t->lengths ? t->lengths : all_lengths, e);
}

static status print_tables(const bench *w, const tables *asked, bench_mixers_request q, int format,
                           error *e) {
    arena *a = arena_new();
    q.backend = w->backend;
    q.mem_bytes = w->mem_bytes;
    q.store = w->store;
    q.journals = w->journals;
    q.environment_json = w->environment_json;
    q.only = w->only;
    q.seconds = 1e-3 * (double)w->milliseconds;
    if (!q.tokens) q.tokens = w->is_gpu ? 1 << 16 : 1 << 12; /* a GPU has more to fill */
    table *(*const make[])(arena *, const bench_mixers_request *, error *) = {
        asked->mixers ? bench_mixers : NULL, asked->convs ? bench_convs : NULL};
    for (int i = 0; i < 2 && !e->code; i++) {
        const table *t = make[i] ? make[i](a, &q, e) : NULL;
        if (!t) continue;
        text out = text_new(a);
        table_render(&out, t, formats[format].format, isatty(STDOUT_FILENO));
        fputs(out.s, stdout);
        fflush(stdout);
    }
    arena_free(a);
    return e->code;
}

static status print_models(const bench *w, const char *machine, error *e) {
    arena *a = arena_new();
    printf("training steps on %s, medians in ms; share: of the machine's matrix product\n"
           "%-36s | %8s %8s %7s %5s | %8s %7s | %8s %7s\n",
           machine, "mixer, width, length, vocabulary", w->ways[0].title, "steps/s", "GFLOP/s",
           "share", w->ways[1].title, "GFLOP/s", w->ways[2].title, "GFLOP/s");
    status s = STATUS_OK;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && !s; i++) {
        const char *row = shape_text(a, &shapes[i]);
        if (strstr(row, w->only)) s = bench_shape(w, &shapes[i], row, e);
    }
    arena_free(a);
    return s;
}

status command_bench(int argc, char **argv, error *e) {
    arena *a = arena_new();
    bench w = {.only = ""};
    const char *device = "auto", *db = NULL;
    tables asked = {0};
    const cli_option options[] = {
        {"device", CLI_TEXT, &device, "NAME", "auto, cuda, cuda:0, cpu, cpu-v3, cpu-v4 or f64"},
        {"only", CLI_TEXT, &w.only, "TEXT", "only rows that contain this, such as \"cat d64\""},
        {"ms", CLI_COUNT, &w.milliseconds, "MS",
         "time for each measurement (default 600, of --mixers and --convs 300)"},
        {"no-graph", CLI_FLAG, &backend_no_graph, NULL,
         "GPU: record nothing and wait for every kernel (slow)"},
        {"db", CLI_TEXT, &db, "FILE", "also write the figures to the table bench of this database"},
        {"mixers", CLI_FLAG, &asked.mixers, NULL,
         "instead: every mixer over sequence lengths and per operation, alone in a layer"},
        {"convs", CLI_FLAG, &asked.convs, NULL, "instead: every kind of convolution"},
        {"lengths", CLI_TEXT, &asked.lengths, "LIST",
         "of --mixers (default 64,128,256,512,1024,2048,4096)"},
        {"d-model", CLI_COUNT, &asked.d_model, "C",
         "channels of --mixers over lengths (default 64)"},
        {"tokens", CLI_COUNT, &asked.tokens, "N",
         "per step of --mixers and --convs (default 4096, on a GPU 65536)"},
        {"format", CLI_TEXT, &asked.format, "FORMAT", "of --mixers and --convs: table, md or csv"},
    };
    cli_texts words = {0};
    bench_mixers_request request;
    int format;
    bool rebuild;
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s) s = read_tables(&request, a, &asked, &format, e);
    if (!s && !(w.backend = backend_open(device, e))) s = e->code;
    if (!s && db) {
        w.journals = home_of(a, db).journal;
        if (!(w.store = store_open(db, &rebuild, e))) s = e->code;
        if (!s && rebuild) s = store_import_all(w.store, w.journals, NULL, e);
    }
    if (!s) {
        device_info info;
        w.mem_bytes = w.is_gpu ? 0.9 * info.mem_free_bytes : 8e9;
        if (!w.milliseconds) w.milliseconds = asked.mixers || asked.convs ? 300 : 600;
        w.is_gpu = w.backend->devices(&info, 1) > 0 && *info.id;
        w.ways = w.is_gpu ? on_gpu : on_processor;
        w.environment_json =
            provenance_json(a, w.backend->name, w.backend->summary, w.is_gpu ? info.name : NULL,
                            w.backend->libraries ? w.backend->libraries() : NULL);
        s = asked.mixers || asked.convs
                ? print_tables(&w, &asked, request, format, e)
                : print_models(&w, w.is_gpu ? info.name : w.backend->name, e);
    }
    store_close(w.store);
    arena_free(a);
    return s;
}
