/* dry_run.c - a sweep on paper: cells, packs, exact memory, time from measured speed.
 *
 * Speed: a few training steps are timed for each kind of model (task, length, vocabulary, mixer,
 * width, depth), at most MAX_MEASURED kinds; further kinds are given the mean rate. */
#include "bench_model.h"
#include "cli.h"
#include "report/text.h"
#include "rounds.h"
#include "schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* In a process of its own: a device is opened once, for one kind of numerics. */
static status measure(double *rate, const pack *p, const device_set *d, error *e) {
    arena *a = arena_new();
    job j;
    job_data data;
    const task_facts *f;
    step_time t;
    status s = plan_job(&j, &f, a, p, e);
    if (!s) s = job_open_data(&data, &j, 0, e);
    if (!s)
        s = bench_side_by_side(&t, &j, d->backend, data.trained, device_id(d, 0), MEASURE_S, 1, e);
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
        const char *set = config_get(c, keys[i]);
        name = arena_printf(est->arena, "%s %s", name, set ? set : "-");
    }
    for (int i = 0; i < est->n; i++)
        if (!strcmp(est->kind[i].name, name)) return &est->kind[i];
    ARENA_GROW(est->arena, est->kind, est->n, est->cap);
    est->kind[est->n] = (kind){.name = name};
    return &est->kind[est->n++];
}

/* Seconds of one worker for all packs that fit into the memory. */
static status estimate_time(double *seconds, arena *a, const sweep_plan *plan, const device_set *d,
                            double room, error *e) {
    estimate est = {.arena = a};
    double unmeasured = 0, cost = 0;
    *seconds = 0;
    for (int i = 0; i < plan->n; i++) {
        if (plan->pack[i].mem_bytes > room) continue;
        kind *k = kind_of(&est, &plan->pack[i]);
        if (k->rate <= 0 && est.measured < MAX_MEASURED) {
            est.measured++;
            if (measure(&k->rate, &plan->pack[i], d, e)) return e->code;
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
        for (int k = 0; k < p->n; k++) {
            printf("%5d  %.12s  %8.2f MiB  %s", i + 1, p->cell[k]->config->id,
                   p->mem_bytes / 0x1p20, p->cell[k]->label);
            if (p->n > 1) printf("  (pack of %d)", p->n);
            printf("\n");
        }
    }
    if (plan->n > MAX_SHOWN)
        printf("  ... and %d more pack%s\n", plan->n - MAX_SHOWN, plural_s(plan->n - MAX_SHOWN));
}

static void print_devices(const device_set *d, int each) {
    for (int i = 0; i < d->n && !d->is_processor; i++)
        printf("device %d: %s, %s: %.2f of %.2f GiB free, %.2f GiB for packs, %d worker%s\n", i,
               d->info[i].name, d->info[i].id, d->info[i].mem_free_bytes / 0x1p30,
               d->info[i].mem_bytes / 0x1p30, device_room(d, i) / 0x1p30, each, plural_s(each));
}

static void print_plan(const grid *g, const sweep_plan *plan, const device_set *d, int each,
                       double seconds, double room) {
    const int workers = each * d->n;
    const pack *largest = NULL;
    int too_large = 0;
    for (int i = 0; i < plan->n; i++) {
        if (!largest || plan->pack[i].mem_bytes > largest->mem_bytes) largest = &plan->pack[i];
        too_large += plan->pack[i].mem_bytes > room;
    }
    printf("experiment %s: %ld cell%s (%d merged, %d excluded), %ld already done, %ld failed "
           "before, %d pack%s to run on %s\n",
           g->experiment, plan->cells, plural_s(plan->cells), g->merged, g->excluded, plan->already,
           plan->failed_before, plan->n, plural_s(plan->n), d->backend->name);
    print_devices(d, each);
    if (!plan->n) return;
    printf(" pack  run           memory        cell\n");
    print_packs(plan);
    arena *a = arena_new();
    printf("largest pack %.2f MiB for %d run%s; about %s on %d worker%s (measured just now)\n",
           largest->mem_bytes / 0x1p20, largest->n, plural_s(largest->n),
           text_duration(a, seconds / workers), workers, plural_s(workers));
    arena_free(a);
    if (too_large)
        printf("%d pack%s more than the %.2f GiB that this %s has free: %s will fail\n", too_large,
               too_large == 1 ? " needs" : "s need", room / 0x1p30,
               d->is_processor ? "machine" : "kind of device", too_large == 1 ? "it" : "they");
}

/* Those already stopped are left out; the others may all get to their end. */
static status judge(halving_cell *cell, const halving *h, const grid *g, store *results, error *e) {
    arena *a = arena_new();
    run_state *state = ARENA_NEW(a, run_state, g->n);
    for (int i = 0; i < g->n && results && !e->code; i++) {
        store_run run;
        if (!store_run_get(results, g->cell[i].config->id, &run, e)) state[i] = run.state;
    }
    if (!e->code) halving_judge(cell, h, results, state, g->halving->n_at, e);
    for (int i = 0; i < g->n; i++)
        if (cell[i].verdict == HALVING_WAITS) cell[i].verdict = HALVING_TRAIN;
    arena_free(a);
    return e->code;
}

status schedule_dry_run(const grid *g, const schedule_options *options, error *e) {
    arena *a = arena_new();
    store *results = NULL;
    sweep_plan plan;
    device_set d;
    double seconds = 0, room = 0;
    status s = devices_find(&d, a, options->device, e);
    const int each = s ? 0 : workers_each(&d, options->workers);
    int *share_of = options->share.count ? ARENA_NEW(a, int, g->n) : NULL;
    if (!s && share_of) s = share_deal_grid(share_of, g, options->only, options->share.count, e);
    plan_options planning = {.only = options->only,
                             .retry_failed = options->retry_failed,
                             .stale = options->stale,
                             .pack = options->pack,
                             .workers = each,
                             .share_of = share_of,
                             .share = options->share.index};
    const char *db =
        share_of ? share_db(a, options->db, g->experiment, options->share) : options->db;
    if (!s) s = store_open_if_any(&results, db, e);
    const halving *h = NULL;
    halving_cell *cell = ARENA_NEW(a, halving_cell, g->n);
    if (!s && g->halving && !(h = halving_new(a, g, e))) s = e->code;
    if (!s && h) s = rounds_refuse(g, options, e);
    if (!s && h) s = judge(cell, h, g, results, e);
    if (h) planning.halving = cell;
    if (!s) s = plan_sweep(&plan, a, g, results, &d, &planning, e);
    for (int i = 0; i < d.n && !s; i++) room = fmax(room, device_room(&d, i));
    if (!s) s = estimate_time(&seconds, a, &plan, &d, room, e);
    char stale[256];
    if (!s) print_plan(g, &plan, &d, each, seconds, room);
    if (h && !s) {
        char sentence[512];
        halving_text(sentence, h);
        printf("%ld stopped before; time and packs are those of training all others to their "
               "end\n%s\n",
               plan.stopped, sentence);
    }
    if (!s && plan_stale_text(stale, &plan, options->stale)) printf("%s\n", stale);
    store_close(results);
    arena_free(a);
    return s;
}
