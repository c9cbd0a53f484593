/* schedule.c - the loop of a sweep: packs of missing runs go to idle workers until none is left.
 *
 * One scheduler, several worker processes (worker_process.c), and the scheduler is the only writer
 * of the database: it imports what workers write into their journals. Each turn of the loop starts
 * what there is room for, waits for news a moment, and settles what has ended (settle.c). With
 * early_terminate the loop runs once a round (rounds.c). */
#include "schedule.h"

#include "results/claim.h"
#include "results/clock.h"
#include "results/provenance.h"
#include "stop_signals.h"
#include "sweep_own.h"
#include "verdict.h"

#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { POLL_MS = 100, IMPORT_S = 2 };
enum { ASK_AGAIN_S = 1 }; /* for runs that another scheduler is training */

/* ---- from the queue to a worker ---- */

void sweep_enqueue(sweep *w, pack *p) {
    pack_queue *q = &w->queue;
    ARENA_GROW(w->arena, q->pack, q->n, q->cap);
    q->pack[q->n++] = p;
    q->runs += p->n;
    q->cost += p->cost;
}

/* Pack i is next, the order of the others stays; it leaves the queue. */
static void dequeue(pack_queue *q, int i) {
    pack *p = q->pack[i];
    memmove(&q->pack[q->next + 1], &q->pack[q->next], (size_t)(i - q->next) * sizeof *q->pack);
    q->pack[q->next++] = p;
    q->runs -= p->n;
    q->cost -= p->cost;
}

/* An idle slot on a device that can take this much now; -1: a worker must end first. */
static int slot_for(const sweep *w, double mem_bytes) {
    for (int i = 0; i < w->slots; i++)
        if (!w->slot[i].worker.pid && w->mem_free[w->slot[i].device] >= mem_bytes) return i;
    return -1;
}

/* Claims a pack, which shrinks to what is ours; the runs that another scheduler has are asked for
 * again later. */
static status claim_pack(sweep *w, pack *p, error *e) {
    pack *busy = ARENA_NEW(w->arena, pack, 1), ended;
    const int n = p->n;
    if (claim_pack_take(p, busy, &ended, w->arena, &w->shared, e)) return e->code;
    if (p->n == n) return STATUS_OK;
    for (int k = 0; k < ended.n; k++) {
        store_run run;
        if (store_run_get(w->store, ended.cell[k]->config->id, &run, e)) return e->code;
        if (run.state == RUN_DONE)
            w->out->already++;
        else
            settle_count(w, ended.cell[k], &run, run.wall_s);
    }
    if (p->n && plan_pack(p, w->devices.backend, e)) return e->code;
    if (!busy->n) return STATUS_OK;
    busy->wait_s = clock_steady_s() + ASK_AGAIN_S;
    if (plan_pack(busy, w->devices.backend, e)) return e->code;
    sweep_enqueue(w, busy);
    return STATUS_OK;
}

static status start_worker(sweep *w, int index, pack *p, error *e) {
    slot *s = &w->slot[index];
    const worker_options common = {.home = w->home,
                                   .backend = w->devices.backend,
                                   .device = device_id(&w->devices, s->device),
                                   .environment_json = w->environment_json[s->device],
                                   .patient = w->share_of != NULL};
    if (worker_start(&s->worker, p, &common, w->store, e)) return e->code;
    s->pack = p;
    s->start_s = clock_steady_s();
    w->mem_free[s->device] -= p->mem_bytes;
    const char *label = p->n == 1 ? p->cell[0]->label
                                  : arena_printf(w->arena, "%s (+%d)", p->cell[0]->label, p->n - 1);
    progress_slot(w->view, index, label, p->cost, p->n);
    return STATUS_OK;
}

static status refuse_too_large(sweep *w, const pack *p, error *e) {
    char message[256];
    snprintf(message, sizeof message,
             "needs %.2f GiB of memory, this %s has %.2f GiB free; make the batch, length, "
             "vocabulary or model smaller.",
             p->mem_bytes / 0x1p30, w->devices.is_processor ? "machine" : "kind of device",
             w->room / 0x1p30);
    const verdict v = {.state = RUN_FAILED, .exit_code = STATUS_ENVIRONMENT, .message = message};
    for (int i = 0; i < p->n; i++) {
        const grid_cell *cell = p->cell[i];
        store_run run;
        if (verdict_pass(&v, w->store, w->home.journal, cell, e) ||
            store_run_get(w->store, cell->config->id, &run, e))
            return e->code;
        settle_count(w, cell, &run, 0);
    }
    claim_pack_release(p, &w->shared);
    return STATUS_OK;
}

static status launch(sweep *w, error *e) {
    const int n_queue = w->queue.n; /* what has to wait goes behind it */
    for (int i = w->queue.next; i < n_queue && !stop_signals_count(); i++) {
        pack *p = w->queue.pack[i];
        const bool refused = p->mem_bytes > w->room;
        const int index = refused ? -1 : slot_for(w, p->mem_bytes);
        if (!refused && index < 0) return STATUS_OK;
        if (p->wait_s > clock_steady_s()) continue;
        dequeue(&w->queue, i);
        if (claim_pack(w, p, e)) return e->code;
        if (!p->n) continue;
        if (refused ? refuse_too_large(w, p, e) : start_worker(w, index, p, e)) return e->code;
    }
    return STATUS_OK;
}

/* ---- the loop ---- */

static int running(const sweep *w) {
    int n = 0;
    for (int i = 0; i < w->slots; i++) n += w->slot[i].worker.pid != 0;
    return n;
}

static void pass_on_signals(sweep *w) {
    const int signals = stop_signals_count();
    if (signals == w->signals_passed) return;
    w->signals_passed = signals;
    const bool is_share = w->share_of != NULL; /* see worker_options.patient */
    if (is_share && w->stopping) return;
    if (!w->stopping)
        progress_line(w->view, false, "stopping: workers finish their step and checkpoint%s",
                      is_share ? "" : "; once more to stop at once");
    for (int i = 0; i < w->slots; i++)
        if (w->slot[i].worker.pid) kill(w->slot[i].worker.pid, w->stopping ? SIGKILL : SIGTERM);
    w->stopping = true;
}

/* Journals of running packs are imported now and then, so that status and queries see them. */
static status import_running(sweep *w, error *e) {
    if (clock_steady_s() - w->import_s < IMPORT_S) return STATUS_OK;
    w->import_s = clock_steady_s();
    for (int i = 0; i < w->slots; i++)
        for (int k = 0; w->slot[i].worker.pid && k < w->slot[i].pack->n; k++)
            if (store_import(w->store, w->home.journal, w->slot[i].pack->cell[k]->config->id, e))
                return e->code;
    return STATUS_OK;
}

static status loop(sweep *w, error *e) {
    status s = STATUS_OK;
    while (!s && (running(w) || (w->queue.next < w->queue.n && !w->stopping))) {
        s = launch(w, e);
        struct pollfd fds[MAX_WORKERS];
        for (int i = 0; i < w->slots; i++)
            fds[i] = (struct pollfd){.fd = w->slot[i].worker.pid ? w->slot[i].worker.progress : -1,
                                     .events = POLLIN};
        poll(fds, (nfds_t)w->slots, POLL_MS);
        for (int i = 0; i < w->slots; i++)
            if (w->slot[i].worker.pid) settle_progress(w, i);
        pass_on_signals(w);
        if (!s) s = settle_ended(w, e);
        if (!s) s = import_running(w, e);
        const sweep_outcome *o = w->out;
        progress_totals(w->view, o->already + o->done + o->diverged, running(w),
                        o->failed + o->timeout, w->queue.runs, w->queue.cost);
        progress_draw(w->view, false);
    }
    if (s) /* the database cannot be written: stop the workers, their journals keep everything */
        for (int i = 0; i < w->slots; i++)
            if (w->slot[i].worker.pid) {
                kill(w->slot[i].worker.pid, SIGTERM);
                waitpid(w->slot[i].worker.pid, NULL, 0);
            }
    return s;
}

static status run_round(sweep *w, plan_options how, int round, error *e) {
    sweep_plan plan;
    if (w->rounds && rounds_begin(&how, w->rounds, round, &w->shared, w->view, e)) return e->code;
    if (plan_sweep(&plan, w->arena, w->grid, w->store, &w->devices, &how, e)) return e->code;
    if (!round) {
        char text[256];
        w->out->cells = plan.cells;
        w->out->already = plan.already;
        w->out->failed = plan.failed_before;
        w->view = progress_new(w->arena, w->slots, plan.cells);
        if (plan_stale_text(text, &plan, w->options->stale))
            progress_line(w->view, false, "%s", text);
    }
    w->out->stopped = plan.stopped;
    w->out->waiting = plan.waiting;
    for (int i = 0; i < plan.n; i++) sweep_enqueue(w, &plan.pack[i]);
    stop_signals_catch();
    return loop(w, e);
}

/* ---- before and after it ---- */

static bool is_own(const sweep *w, int cell) {
    return !w->share_of || w->share_of[cell] == w->options->share.index;
}

/* Journals may know more than the database: of workers that outlived a killed scheduler, or of a
 * database that was deleted. */
static status import_unfinished(sweep *w, error *e) {
    for (int i = 0; i < w->grid->n; i++) {
        if (!is_own(w, i)) continue;
        const char *id = w->grid->cell[i].config->id;
        store_run run;
        if (store_run_get(w->store, id, &run, e)) return e->code;
        if (!run_has_result(run.state) && store_import(w->store, w->home.journal, id, e))
            return e->code;
    }
    return STATUS_OK;
}

static status open_store(sweep *w, error *e) {
    bool rebuild = false;
    if (make_folder(dirname(arena_text(w->arena, w->options->db)), e) ||
        make_folder(dirname(arena_text(w->arena, w->db)), e) || home_make(&w->home, e))
        return e->code;
    if (!(w->store = store_open(w->db, &rebuild, e))) return e->code;
    w->shared = (claim_folder){claims_open(w->home.journal, e), w->home.journal, w->store};
    if (w->shared.claims < 0) return e->code;
    long runs;
    if (rebuild && store_import_all(w->store, w->home.journal, &runs, e)) return e->code;
    store_cell *cells = ARENA_NEW(w->arena, store_cell, w->grid->n);
    int n = 0;
    for (int i = 0; i < w->grid->n; i++) {
        const grid_cell *c = &w->grid->cell[i];
        if (!is_own(w, i)) continue;
        cells[n++] = (store_cell){c->config->id, config_json(w->arena, c->config, CONFIG_IDENTITY),
                                  c->label, c->axes_json};
    }
    if (store_experiment(w->store, w->grid->experiment, w->grid->file, w->grid->spec_json, cells, n,
                         w->home.journal, e))
        return e->code;
    return import_unfinished(w, e);
}

/* Slots go around the devices, so that the first packs are spread over all of them. */
static void make_slots(sweep *w, int each) {
    const device_set *d = &w->devices;
    w->environment_json = ARENA_NEW(w->arena, const char *, d->n);
    w->mem_free = ARENA_NEW(w->arena, double, d->n);
    for (int i = 0; i < d->n; i++) {
        w->environment_json[i] = provenance_json(w->arena, d->backend->name, d->backend->summary,
                                                 device_text(w->arena, d, i), device_libraries(d));
        w->mem_free[i] = device_room(d, i);
        if (w->mem_free[i] > w->room) w->room = w->mem_free[i];
    }
    w->slots = each > MAX_WORKERS / d->n ? MAX_WORKERS : each * d->n;
    for (int i = 0; i < w->slots; i++) w->slot[i].device = i % d->n;
}

static status take_share(sweep *w, error *e) {
    const schedule_options *o = w->options;
    int *share_of = ARENA_NEW(w->arena, int, w->grid->n);
    w->share_of = share_of;
    w->db = share_db(w->arena, o->db, w->grid->experiment, o->share);
    return share_deal_grid(share_of, w->grid, o->only, o->share.count, e);
}

status schedule_run(const grid *g, const schedule_options *options, sweep_outcome *out, error *e) {
    arena *a = arena_new();
    sweep w = {.grid = g,
               .options = options,
               .db = options->db,
               .arena = a,
               .home = home_of(a, options->db),
               .out = out};
    w.shared.claims = -1;
    const double start_s = clock_steady_s();
    *out = (sweep_outcome){0};
    stop_signals_reset();
    status s = devices_find(&w.devices, a, options->device, e);
    const int each = s ? 0 : workers_each(&w.devices, options->workers);
    if (!s && options->share.count) s = take_share(&w, e);
    const plan_options plan = {.only = options->only,
                               .retry_failed = options->retry_failed,
                               .stale = options->stale,
                               .pack = options->pack,
                               .workers = each,
                               .share_of = w.share_of,
                               .share = options->share.index};
    if (!s) s = rounds_refuse(g, options, e);
    if (!s && g->halving && !(w.rounds = rounds_new(a, g, options->retry_failed, e))) s = e->code;
    if (!s) make_slots(&w, each);
    if (!s) s = open_store(&w, e);
    for (int round = 0; !s && round < rounds_count(w.rounds) && !w.stopping; round++)
        s = run_round(&w, plan, round, e);
    if (w.view) progress_end(w.view);
    if (!s) s = store_fold(w.store, e);
    store_close(w.store);
    claims_close(w.shared.claims);
    out->wall_s = clock_steady_s() - start_s;
    arena_free(a);
    if (s) return s;
    if (w.stopping && !(options->fail_fast && out->failed)) return STATUS_INTERRUPTED;
    return out->failed || out->timeout ? STATUS_RUNS_FAILED : STATUS_OK;
}
