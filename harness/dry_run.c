/* dry_run.c - a sweep on paper: cells, packs, exact memory, time from measured speed.
 *
 * Speed: a few training steps are timed for each kind of model (task, length, vocabulary, mixer,
 * width, depth), at most MAX_MEASURED kinds; further kinds are given the mean rate. */
#include "bench_model.h"
#include "plan_sweep.h"
#include "schedule.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_MEASURED = 8, MAX_SHOWN = 60 };
static const double MEASURE_S = 0.15;

typedef struct kind {
    const char *name;
    double rate; /* planned floating-point operations per second; 0: not measured */
} kind;

typedef struct estimate {
    arena *arena;
    kind *kind;
    int n, cap, measured;
} estimate;

static status measure(double *rate, const pack *p, const backend *b, error *e) {
    arena *a = arena_new();
    job j;
    job_data data;
    const task_facts *f;
    step_time t;
    status s = plan_job(&j, &f, a, p, e);
    if (!s) s = job_open_data(&data, &j, 0, e);
    if (!s) s = bench_steps(&t, &j, b, data.trained, MEASURE_S, e);
    if (!s) *rate = t.flops / t.median_s;
    arena_free(a);
    return s;
}

static kind *kind_of(estimate *est, const pack *p) {
    const config *c = p->cell[0]->config;
    static const char *const keys[] = {
        "task.name",     "task.length",  "task.vocab", "task.corpus",      "model.mixer",
        "model.d_model", "model.layers", "model.ffn",  "model.conv.width", "model.conv.kind"};
    const char *name = "";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = config_get(c, keys[i]);
        name = arena_printf(est->arena, "%s %s", name, text ? text : "-");
    }
    for (int i = 0; i < est->n; i++)
        if (!strcmp(est->kind[i].name, name)) return &est->kind[i];
    ARENA_GROW(est->arena, est->kind, est->n, est->cap);
    est->kind[est->n] = (kind){.name = name};
    return &est->kind[est->n++];
}

/* Seconds of one worker for all packs that fit into the memory. */
static status estimate_time(double *seconds, arena *a, const sweep_plan *plan, const backend *b,
                            double available, error *e) {
    estimate est = {.arena = a};
    double unmeasured = 0, cost = 0;
    *seconds = 0;
    for (int i = 0; i < plan->n; i++) {
        if (plan->pack[i].mem_bytes > available) continue;
        kind *k = kind_of(&est, &plan->pack[i]);
        if (k->rate <= 0 && est.measured < MAX_MEASURED) {
            est.measured++;
            if (measure(&k->rate, &plan->pack[i], b, e)) return e->code;
        }
        if (k->rate > 0) {
            cost += plan->pack[i].cost;
            *seconds += plan->pack[i].cost / k->rate;
        } else {
            unmeasured += plan->pack[i].cost;
        }
    }
    if (cost > 0) *seconds += unmeasured * *seconds / cost;
    return STATUS_OK;
}

static void print_packs(const sweep_plan *plan) {
    for (int i = 0; i < plan->n && i < MAX_SHOWN; i++) {
        const pack *p = &plan->pack[i];
        for (int k = 0; k < p->n; k++)
            printf("%5d  %.12s  %8.2f MiB  %s%s\n", i + 1, p->cell[k]->config->id,
                   p->mem_bytes / 0x1p20, p->cell[k]->label, p->n > 1 ? "  (pack)" : "");
    }
    if (plan->n > MAX_SHOWN) printf("  ... and %d more packs\n", plan->n - MAX_SHOWN);
}

status schedule_dry_run(const grid *g, const schedule_options *options, error *e) {
    arena *a = arena_new();
    store *results = NULL;
    sweep_plan plan;
    double seconds = 0, most = 0;
    const double available = memory_available();
    const backend *b = backend_find(options->device, e);
    const plan_options planning = {options->only, options->retry_failed, options->pack};
    status s = b ? STATUS_OK : e->code;
    if (!s && access(options->db, F_OK) == 0 && !(results = store_open_readonly(options->db, e)))
        s = e->code;
    if (!s) s = plan_sweep(&plan, a, g, results, b, &planning, e);
    if (!s) s = estimate_time(&seconds, a, &plan, b, available, e);
    if (!s) {
        const long processors = sysconf(_SC_NPROCESSORS_ONLN);
        const int workers = options->workers ? options->workers : (int)processors;
        int too_large = 0;
        for (int i = 0; i < plan.n; i++) {
            if (plan.pack[i].mem_bytes > most) most = plan.pack[i].mem_bytes;
            too_large += plan.pack[i].mem_bytes > available;
        }
        printf("experiment %s: %ld cells (%d merged, %d excluded), %ld already done, %ld failed "
               "before, %d packs to run on %s\n",
               g->experiment, plan.cells, g->merged, g->excluded, plan.already, plan.failed_before,
               plan.n, b->name);
        printf(" pack  run           memory        cell\n");
        print_packs(&plan);
        printf("largest pack %.2f MiB; about %.0f s on %d workers (measured just now)\n",
               most / 0x1p20, seconds / workers, workers);
        if (too_large)
            printf("%d packs need more than the %.2f GiB that this machine has free: they will "
                   "fail\n",
                   too_large, available / 0x1p30);
    }
    store_close(results);
    arena_free(a);
    return s;
}
