/* rounds.c - see rounds.h. */
#include "rounds.h"

#include "halving.h"
#include "results/claim.h"
#include "stop_signals.h"
#include "verdict.h"

struct rounds {
    arena *arena;
    const grid *grid;
    const halving *halving;
    bool retry_failed;
    long *attempts_before; /* [cells] when this sweep began */
};

status rounds_refuse(const grid *g, const schedule_options *options, error *e) {
    if (g->halving && options->share.count)
        return error_set(e, STATUS_USAGE,
                         "--share does not go with early_terminate, which compares runs of all "
                         "shares; leave one of them out.");
    if (!g->halving || options->stale != STALE_RERUN) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "--stale rerun does not go with early_terminate, whose verdicts come from the "
                     "results that would be made again; use another --db.");
}

rounds *rounds_new(arena *a, const grid *g, bool retry_failed, error *e) {
    const halving *h = halving_new(a, g, e);
    if (!h) return NULL;
    rounds *r = ARENA_NEW(a, rounds, 1);
    *r = (rounds){a, g, h, retry_failed, ARENA_NEW(a, long, g->n)};
    return r;
}

int rounds_count(const rounds *r) { return r ? r->grid->halving->n_at + 1 : 1; }

/* What failed before this sweep is tried once in it, in whichever round: for the judge it is not
 * over before that. */
static status find_retries(bool *retry, run_state *state, rounds *r, int round, store *s,
                           error *e) {
    for (int i = 0; i < r->grid->n; i++) {
        store_run run;
        if (store_run_get(s, r->grid->cell[i].config->id, &run, e)) return e->code;
        if (!round) r->attempts_before[i] = run.attempts;
        const bool failed = run.state == RUN_FAILED || run.state == RUN_TIMEOUT;
        retry[i] = r->retry_failed && failed && run.attempts == r->attempts_before[i];
        state[i] = retry[i] ? RUN_PENDING : run.state;
    }
    return STATUS_OK;
}

/* What stands at a rung and was not among the best, unless somebody is training it. */
static status stop_run(const rounds *r, int i, const halving_cell *c, const claim_folder *f,
                       progress_view *view, error *e) {
    const grid_cell *cell = &r->grid->cell[i];
    const char *id = cell->config->id;
    store_run run;
    if (store_run_get(f->store, id, &run, e)) return e->code;
    const bool open = run.state == RUN_PREEMPTED || run.state == RUN_RUNNING;
    if (!open || !claim_take(f->claims, id)) return STATUS_OK;
    const verdict v = {
        .state = RUN_CANCELLED,
        .message = arena_printf(r->arena,
                                "stopped by early_terminate at step %ld: place %d of %d by val/%s.",
                                c->stopped_at, c->place, c->of, r->grid->halving->metric)};
    const status s = verdict_pass(&v, f->store, f->journals, cell, e);
    claim_release(f->claims, id);
    progress_line(view, false, "%s %s  %.12s  %s", run_state_name[v.state], cell->label, id,
                  v.message);
    return s;
}

status rounds_begin(plan_options *plan, rounds *r, int round, const claim_folder *f,
                    progress_view *view, error *e) {
    const int n = r->grid->n;
    bool *retry = ARENA_NEW(r->arena, bool, n);
    run_state *state = ARENA_NEW(r->arena, run_state, n);
    halving_cell *cell = ARENA_NEW(r->arena, halving_cell, n);
    if (find_retries(retry, state, r, round, f->store, e) ||
        halving_judge(cell, r->halving, f->store, state, round, e))
        return e->code;
    for (int i = 0; i < n && !stop_signals_count(); i++)
        if (cell[i].verdict == HALVING_STOPPED && stop_run(r, i, &cell[i], f, view, e))
            return e->code;
    plan->retry = retry;
    plan->halving = cell;
    return STATUS_OK;
}
