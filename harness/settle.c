/* settle.c - what became of a worker and of the runs of its pack.
 *
 * A run ends in its journal. Where the journal has no end, the scheduler passes a verdict. A run
 * whose worker died by a signal, or that was preempted while the sweep goes on, is tried again by
 * itself: a crash may be another's fault, and one bad run must not sink its neighbours. */
#include "results/clock.h"
#include "stop_signals.h"
#include "sweep_own.h"
#include "verdict.h"

#include <sys/wait.h>
#include <unistd.h>

void settle_progress(sweep *w, int index) {
    progress p;
    while (read(w->slot[index].worker.progress, &p, sizeof p) == (ssize_t)sizeof p)
        progress_update(w->view, index, &p);
}

void settle_count(sweep *w, const grid_cell *cell, const store_run *run, double wall_s) {
    sweep_outcome *out = w->out;
    const bool bad = run->state == RUN_FAILED || run->state == RUN_TIMEOUT;
    switch (run->state) {
    case RUN_DONE: out->done++; break;
    case RUN_DIVERGED: out->diverged++; break;
    case RUN_TIMEOUT: out->timeout++; break;
    case RUN_PREEMPTED: out->preempted++; break;
    default: out->failed++; break;
    }
    progress_line(w->view, bad, "%s %s  %.12s  %.1f s%s%s", run_state_name[run->state], cell->label,
                  cell->config->id, wall_s, run->message[0] ? "  " : "", run->message);
    if (bad && w->options->fail_fast) stop_signals_add();
    const char *log = home_log(w->arena, &w->home, cell->config->id);
    if (bad && access(log, F_OK) == 0) progress_line(w->view, true, "  log: %s", log);
}

static status requeue_alone(sweep *w, const pack *p, int i, long attempts, int crashes, error *e) {
    pack *one = ARENA_NEW(w->arena, pack, 1);
    *one = pack_like(p, 1, w->arena);
    pack_add(one, p, i);
    *one->attempt = attempts + 1;
    one->crashes = crashes;
    if (plan_pack(one, w->devices.backend, e)) return e->code;
    sweep_enqueue(w, one);
    return STATUS_OK;
}

static status pass_verdict(sweep *w, const pack *p, const grid_cell *cell, ending how, error *e) {
    arena *a = arena_new();
    const char *tail = log_tail(a, home_log(a, &w->home, p->cell[0]->config->id));
    const verdict v = verdict_on(a, how, tail, w->stopping);
    const status s = verdict_pass(&v, w->store, w->home.journal, cell, e);
    arena_free(a);
    return s;
}

static status settle_run(sweep *w, const pack *p, int i, ending how, double wall_s, error *e) {
    const grid_cell *cell = p->cell[i];
    const char *id = cell->config->id;
    store_run run;
    if (store_import(w->store, w->home.journal, id, e) || store_run_get(w->store, id, &run, e))
        return e->code;
    /* a result that another process brought meanwhile needs no verdict */
    const bool silent =
        (run.attempts < p->attempt[i] && (p->again || !run_has_result(run.state))) ||
        run.state == RUN_RUNNING;
    error busy = {0};
    if (silent && pass_verdict(w, p, cell, how, &busy)) {
        if (!w->share_of) return error_set(e, busy.code, "%s", busy.text);
        /* another array trains this run too: its result will be there for both */
        progress_line(w->view, true, "left alone %s  %.12s  %s", cell->label, id, busy.text);
        return STATUS_OK;
    }
    if (silent && store_run_get(w->store, id, &run, e)) return e->code;
    const bool paused = run.state == RUN_PREEMPTED && !how.signal && how.exit_code == STATUS_OK;
    if (paused) {
        progress_line(w->view, false, "paused %s  %.12s  %.1f s  %s", cell->label, id, wall_s,
                      run.message);
        return STATUS_OK;
    }
    const bool crashed =
        run.state == RUN_FAILED && how.signal && p->crashes + 1 < w->options->max_attempts;
    if (!w->stopping && (crashed || run.state == RUN_PREEMPTED)) {
        progress_line(w->view, crashed, "%s %s  %.12s  %s%strying again", run_state_name[run.state],
                      cell->label, id, run.message, run.message[0] ? " " : "");
        return requeue_alone(w, p, i, run.attempts, p->crashes + crashed, e);
    }
    settle_count(w, cell, &run, wall_s);
    return STATUS_OK;
}

static status settle_slot(sweep *w, int index, ending how, error *e) {
    slot *s = &w->slot[index];
    const pack *p = s->pack;
    const double wall_s = clock_steady_s() - s->start_s;
    settle_progress(w, index);
    close(s->worker.progress);
    *s = (slot){.device = s->device};
    w->mem_free[s->device] += p->mem_bytes;
    progress_slot(w->view, index, NULL, 0, 0);
    for (int i = 0; i < p->n; i++)
        if (settle_run(w, p, i, how, wall_s, e)) return e->code;
    claim_pack_release(p, &w->shared);
    return STATUS_OK;
}

status settle_ended(sweep *w, error *e) {
    for (int i = 0; i < w->slots; i++) {
        const pid_t pid = w->slot[i].worker.pid;
        int how;
        if (pid && waitpid(pid, &how, WNOHANG) == pid && settle_slot(w, i, ending_of(how), e))
            return e->code;
    }
    return STATUS_OK;
}
