/* worker.c - see worker.h. */
#include "worker.h"

#include "checkpoint.h"
#include "evaluate.h"
#include "results/clock.h"
#include "results/journal.h"
#include "trainer.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_MS = 200, PATIENCE_S = 60, LOOK_MS = 50 };
enum {
    LOOK_EVERY = 50 /* steps; not log_every, which must not change a result */
};
static const double EXPLODED = 100; /* times the first loss: the run will not come back */

static volatile sig_atomic_t stop_signals;
static bool is_patient;

static void on_signal(int number) {
    (void)number;
    if (++stop_signals > 1 && !is_patient) _exit(STATUS_INTERRUPTED);
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaction(numbers[i], &action, NULL);
}

typedef struct worker {
    job job; /* a copy with the vocabulary filled in */
    const worker_options *options;
    arena *arena;
    job_data *data;           /* [R] */
    const task_set **trained; /* [R] */
    trainer *trainer;
    optim_run *optim_run; /* [R] */
    run_cursor *cursor;   /* [R] */
    uint64_t *hash;       /* [R] */
    journal **journal;    /* [R] */
    bool *timed_out;      /* [R] */
    bool *paused;         /* [R] */
    bool begun;           /* the attempts are in the journals */
    long steps, epoch, eval_every;
    double start_s, checkpoint_s, progress_s;
    progress progress;
    step_result last; /* of the first run, at the last collect */
} worker;

/* Between the plan of the sweep, which compared it with the runs before, and now. */
static status refuse_changed_data(const worker *w, int r, error *e) {
    const char *planned = w->options->data, *now = w->data[r].trained->data;
    if (!planned || !now || !strcmp(planned, now)) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "the data of %s have changed since this sweep began; restore the file, then "
                     "run again with --retry failed.",
                     strchr(now, ' ') + 1);
}

/* Runs with equal data seeds share their sets: they are opened, and later drawn, once. */
static status open_data(worker *w, error *e) {
    job *j = &w->job;
    for (int r = 0; r < j->runs; r++) {
        int twin = 0;
        while (twin < r && w->data[twin].data_seed != j->run[r].data_seed) twin++;
        if (twin < r)
            w->data[r] = w->data[twin];
        else if (job_open_data(&w->data[r], j, r, e) || refuse_changed_data(w, r, e))
            return e->code;
        w->trained[r] = w->data[r].trained;
    }
    j->model.vocab = w->trained[0]->vocab;
    j->model.max_time = w->trained[0]->time;
    for (int i = 0; i < j->eval.lengths.n; i++)
        if (w->data[0].at_length[i]->time > j->model.max_time)
            j->model.max_time = w->data[0].at_length[i]->time;
    w->steps = job_steps(j, w->trained[0]);
    w->epoch = job_steps_per_epoch(j, w->trained[0]);
    w->eval_every = job_eval_every(j, w->steps);
    return STATUS_OK;
}

/* All that will ever be needed: scratch that moved would leave recordings with the old address. */
static status reserve_scratch(const worker *w, error *e) {
    const backend *b = w->options->backend;
    memory_need most, need;
    if (trainer_need(&most, &w->job, b, w->trained[0]->time, e)) return e->code;
    for (int i = -1; i < w->job.eval.lengths.n; i++) {
        const task_set *set = i < 0 ? w->trained[0] : w->data[0].at_length[i];
        if (evaluate_need(&need, &w->job, b, set->time, e)) return e->code;
        if (need.scratch > most.scratch) most.scratch = need.scratch;
    }
    return b->reserve(most.scratch, e);
}

/* Points before a checkpoint that its journal has lost would be missing for ever. */
static bool journals_fit(const worker *w) {
    for (int r = 0; r < w->job.runs; r++) {
        if (journal_begins(w->journal[r], w->cursor[r].mark)) continue;
        fprintf(stderr,
                "mixgrid: the checkpoint of run %.12s at step %ld is not used: its journal has not "
                "what it had then. The run starts again.\n",
                w->job.run[r].run_id, w->cursor[r].step);
        return false;
    }
    return true;
}

/* All runs of a pack go on from the same step, or all start again. */
static void resume(worker *w) {
    if (checkpoint_resume(w->options->home.checkpoint, &w->job, trainer_optim(w->trainer),
                          w->cursor) &&
        journals_fit(w))
        return;
    memset(w->cursor, 0, (size_t)w->job.runs * sizeof *w->cursor);
    trainer_reset(w->trainer);
}

/* Bytes of run r alone: what is stored of a run does not depend on its pack. */
static status bytes_alone(size_t *bytes, const worker *w, int r, error *e) {
    job alone = w->job;
    memory_need need = {0};
    alone.runs = 1;
    alone.run = &w->job.run[r];
    if (trainer_need(&need, &alone, w->options->backend, w->trained[0]->time, e)) return e->code;
    *bytes = need.bytes + need.scratch;
    return STATUS_OK;
}

/* A worker whose scheduler was killed finishes its step and writes a checkpoint: the next worker of
 * that run waits for it. One that goes on for longer is named by journal_open. */
static void wait_for_predecessor(const worker *w, const char *path) {
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return; /* no journal, no predecessor */
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    while (!stop_signals && clock_steady_s() - w->start_s < PATIENCE_S) {
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_OFD_GETLK, &whole) || whole.l_type == F_UNLCK) break;
        nanosleep(&pause, NULL);
    }
    close(fd);
}

/* Before checkpoints are read: who holds the journal is the only one who touches them. */
static status open_journals(worker *w, error *e) {
    const char *folder = w->options->home.journal;
    for (int r = 0; r < w->job.runs; r++) {
        const char *run_id = w->job.run[r].run_id;
        wait_for_predecessor(w, arena_printf(w->arena, "%s/%s.jsonl", folder, run_id));
        if (stop_signals) return STATUS_INTERRUPTED;
        w->journal[r] = journal_open(folder, run_id, e);
        if (!w->journal[r]) return e->code;
        const journal_past past = journal_last(w->journal[r]);
        if (past.attempt >= w->options->attempt[r] ||
            (run_has_result(past.state) && !w->options->again))
            return STATUS_INTERRUPTED;
    }
    return STATUS_OK;
}

static status begin_attempts(worker *w, error *e) {
    job *j = &w->job;
    model_cost cost;
    if (model_measure(&cost, &j->model, w->trained[0]->time, e)) return e->code;
    for (int r = 0; r < j->runs; r++) {
        size_t bytes = 0;
        if (bytes_alone(&bytes, w, r, e)) return e->code;
        journal_attempt(w->journal[r], j->run[r].run_id, j->run[r].config_json,
                        w->options->environment_json, w->options->attempt[r],
                        w->cursor[r].step ? w->cursor[r].step : -1, clock_unix_s());
        journal_model(w->journal[r],
                      &(model_facts){cost.params, cost.state_size, cost.forward_flops_per_token,
                                     cost.flops_per_token, (double)bytes});
        if (w->trained[r]->data) journal_event(w->journal[r], "data", w->trained[r]->data);
    }
    return STATUS_OK;
}

static status flush_all(worker *w, bool durable, error *e) {
    for (int r = 0; r < w->job.runs; r++)
        if (w->journal[r] && journal_flush(w->journal[r], durable, e)) return e->code;
    return STATUS_OK;
}

static status checkpoint_all(worker *w, error *e) {
    if (flush_all(w, true, e)) return e->code;
    for (int r = 0; r < w->job.runs; r++) w->cursor[r].mark = journal_written(w->journal[r]);
    for (int r = 0; r < w->job.runs; r++)
        if (checkpoint_save(w->options->home.checkpoint, &w->job, trainer_optim(w->trainer), r,
                            &w->cursor[r], e))
            return e->code;
    w->checkpoint_s = clock_steady_s();
    return STATUS_OK;
}

/* Steps that changed the run: a frozen one stands still while its pack goes on. */
static long own_step(const run_cursor *c) {
    return c->phase == PHASE_ACTIVE ? c->step : c->phase_step;
}

static void end_run(worker *w, int r, run_state state, const char *message) {
    journal_end(w->journal[r], state, own_step(&w->cursor[r]), clock_steady_s() - w->start_s,
                message);
}

/* ---- training ---- */

/* Of the parameters as they are now: nothing may be pending. */
static void log_window(worker *w, int r) {
    run_cursor *c = &w->cursor[r];
    if (!c->window_scored) return;
    journal_metric(w->journal[r], "train", "", "loss", c->step,
                   c->window_nll / (double)c->window_scored);
    journal_metric(w->journal[r], "train", "", "token_acc", c->step,
                   (double)c->window_right / (double)c->window_scored);
    journal_hash(w->journal[r], c->step, w->hash[r]);
    c->window_nll = 0;
    c->window_scored = c->window_right = 0;
}

static void freeze(worker *w, int r, run_phase phase) {
    w->cursor[r].phase = phase;
    w->cursor[r].phase_step = w->cursor[r].step;
    w->optim_run[r].active = false;
}

/* Takes in one step of one run; decides nothing, as this happens at any time. */
static void add_step(run_cursor *c, const step_result *result) {
    c->step++;
    if (c->phase != PHASE_ACTIVE) return;
    const double loss = result->scored ? result->nll_sum / (double)result->scored : 0;
    if (c->step == 1) c->first_loss = loss;
    if (!c->bad_step && (!isfinite(loss) || loss > EXPLODED * (c->first_loss + 1)))
        c->bad_step = c->step;
    c->window_nll += result->nll_sum;
    c->window_scored += result->scored;
    c->window_right += result->right;
}

static bool is_log_step(const worker *w, long step) {
    return step % w->job.train.log_every == 0 || step == w->steps;
}

static bool is_look_step(const worker *w, long step) {
    return step % LOOK_EVERY == 0 || step % w->eval_every == 0 || step == w->steps;
}

/* Waits for the device and takes in what it has measured. */
static status collect(worker *w, error *e) {
    const step_result *result;
    int steps;
    if (trainer_collect(w->trainer, &result, &steps, e)) return e->code;
    for (int i = 0; i < steps; i++)
        for (int r = 0; r < w->job.runs; r++)
            add_step(&w->cursor[r], &result[(long)i * w->job.runs + r]);
    if (steps) w->last = result[(long)(steps - 1) * w->job.runs];
    return STATUS_OK;
}

/* After a collect: what is due after this many steps. */
static void look(worker *w, long step) {
    const bool log = is_log_step(w, step), decide = is_look_step(w, step);
    bool any = false;
    for (int r = 0; r < w->job.runs; r++)
        any |= w->cursor[r].phase == PHASE_ACTIVE && (log || (decide && w->cursor[r].bad_step));
    if (any) optim_hash(w->hash, trainer_optim(w->trainer));
    for (int r = 0; r < w->job.runs; r++) {
        run_cursor *c = &w->cursor[r];
        if (c->phase != PHASE_ACTIVE) continue;
        const bool diverged = decide && c->bad_step;
        if (log || diverged) log_window(w, r);
        if (diverged) freeze(w, r, PHASE_DIVERGED);
    }
}

static void journal_score(journal *j, const task_set *set, split which, const char *slice,
                          const score *s, long step) {
    const double loss = score_loss(s);
    const struct {
        const char *name;
        double value;
        bool wanted;
    } row[] = {
        {"loss", loss, true},
        {"token_acc", score_token_acc(s), true},
        {"seq_acc", score_seq_acc(s), !slice[0] || !strncmp(slice, "length=", 7)},
        {"ppl", exp(loss), set->tokens[SPLIT_TRAIN] > 0},
        {"bpb", loss / log(2) / set->bytes_per_token[which], set->bytes_per_token[which] > 0},
        {"word_ppl", exp(loss / set->words_per_token[which]), set->words_per_token[which] > 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (!row[i].wanted) continue;
        if (step >= 0)
            journal_metric(j, split_name[which], slice, row[i].name, step, row[i].value);
        else
            journal_final(j, split_name[which], slice, row[i].name, row[i].value);
    }
}

static status evaluate_at(worker *w, evaluation *out, arena *a, split which, int length, error *e) {
    const task_set **sets = ARENA_NEW(a, const task_set *, w->job.runs);
    for (int r = 0; r < w->job.runs; r++)
        sets[r] = length < 0 ? w->trained[r] : w->data[r].at_length[length];
    return evaluate(out, a, &w->job, w->options->backend, optim_param(trainer_optim(w->trainer)),
                    sets, which, e);
}

static status validate(worker *w, error *e) {
    arena *a = arena_new();
    evaluation *v = ARENA_NEW(a, evaluation, w->job.runs);
    status s = evaluate_at(w, v, a, SPLIT_VAL, -1, e);
    bool hashed = false;
    for (int r = 0; r < w->job.runs && !s; r++) {
        run_cursor *c = &w->cursor[r];
        if (c->phase != PHASE_ACTIVE) continue;
        journal_score(w->journal[r], w->trained[r], SPLIT_VAL, "", &v[r].all, c->step);
        if (w->job.train.stop_at > 0 && score_token_acc(&v[r].all) >= w->job.train.stop_at) {
            if (!hashed) optim_hash(w->hash, trainer_optim(w->trainer));
            hashed = true;
            log_window(w, r);
            freeze(w, r, PHASE_STOPPED);
        }
    }
    arena_free(a);
    return s ? s : flush_all(w, false, e);
}

static bool progress_is_due(const worker *w, double now) {
    return w->options->progress_fd >= 0 && now - w->progress_s >= 1e-3 * PROGRESS_MS;
}

static void report_progress(worker *w, long step) {
    const double now = clock_steady_s();
    const step_result *last = &w->last;
    if (!progress_is_due(w, now) && !(w->options->progress_fd >= 0 && step == w->steps)) return;
    w->progress_s = now;
    w->progress =
        (progress){step, w->steps, last->scored ? last->nll_sum / (double)last->scored : 0,
                   last->scored ? (double)last->right / (double)last->scored : 0};
    /* the pipe is non-blocking and a message may get lost: it is only for people */
    if (write(w->options->progress_fd, &w->progress, sizeof w->progress) < 0) return;
}

static bool any_active(const worker *w) {
    for (int r = 0; r < w->job.runs; r++)
        if (w->cursor[r].phase == PHASE_ACTIVE) return true;
    return false;
}

/* Something at this step, or just now, needs to know what the device has done so far. */
static bool must_collect(const worker *w, long step, double now) {
    const train_config *c = &w->job.train;
    return is_log_step(w, step) || is_look_step(w, step) || stop_signals ||
           trainer_pending(w->trainer) == TRAINER_PENDING || progress_is_due(w, now) ||
           (c->max_minutes > 0 && now - w->start_s > 60 * c->max_minutes) ||
           now - w->checkpoint_s >= c->checkpoint_s;
}

/* Nothing is pending: this step was validated. */
static status pause_active(worker *w, error *e) {
    for (int r = 0; r < w->job.runs; r++) w->paused[r] = w->cursor[r].phase == PHASE_ACTIVE;
    return checkpoint_all(w, e);
}

static status train(worker *w, error *e) {
    const train_config *c = &w->job.train;
    for (int r = 0; r < w->job.runs; r++)
        w->optim_run[r] =
            (optim_run){w->job.run[r].lr, w->job.run[r].wd, w->cursor[r].phase == PHASE_ACTIVE};
    long step = w->cursor[0].step; /* the same for all runs of a pack */
    while (step < w->steps && any_active(w)) {
        if (w->options->pause_at && step >= w->options->pause_at) return pause_active(w, e);
        trainer_step(w->trainer, step, schedule_at(c, step, w->steps, w->epoch), w->optim_run);
        step++;
        const double now = clock_steady_s();
        if (!must_collect(w, step, now)) continue;
        if (collect(w, e)) return e->code;
        look(w, step);
        report_progress(w, step);
        if (step % w->eval_every == 0 && step < w->steps && validate(w, e)) return e->code;
        if (stop_signals) {
            if (checkpoint_all(w, e)) return e->code;
            for (int r = 0; r < w->job.runs; r++) end_run(w, r, RUN_PREEMPTED, "");
            return STATUS_INTERRUPTED;
        }
        if (c->max_minutes > 0 && now - w->start_s > 60 * c->max_minutes) {
            for (int r = 0; r < w->job.runs; r++)
                if (w->cursor[r].phase == PHASE_ACTIVE) w->timed_out[r] = true;
            return checkpoint_all(w, e); /* --retry failed goes on from here */
        }
        if (now - w->checkpoint_s >= c->checkpoint_s && checkpoint_all(w, e)) return e->code;
    }
    return STATUS_OK;
}

/* ---- the end ---- */

static status score_split(worker *w, split which, int length, error *e) {
    arena *a = arena_new();
    evaluation *v = ARENA_NEW(a, evaluation, w->job.runs);
    status s = evaluate_at(w, v, a, which, length, e);
    for (int r = 0; r < w->job.runs && !s; r++) {
        if (w->paused[r]) continue;
        const task_set *set = length < 0 ? w->trained[r] : w->data[r].at_length[length];
        if (length < 0) {
            if (!w->timed_out[r]) /* a point of the curve, if the run never goes on */
                journal_score(w->journal[r], set, which, "", &v[r].all, own_step(&w->cursor[r]));
            journal_score(w->journal[r], set, which, "", &v[r].all, -1);
            for (int i = 0; i < v[r].n_slices; i++)
                journal_score(w->journal[r], set, which, v[r].slice[i].slice, &v[r].slice[i].score,
                              -1);
        } else {
            const char *slice = arena_printf(a, "length=%ld", w->job.eval.lengths.v[length]);
            journal_score(w->journal[r], set, which, slice, &v[r].all, -1);
        }
    }
    arena_free(a);
    return s;
}

static status score_all(worker *w, error *e) {
    if (score_split(w, SPLIT_VAL, -1, e) || score_split(w, SPLIT_TEST, -1, e)) return e->code;
    for (int i = 0; i < w->job.eval.lengths.n; i++)
        if (score_split(w, SPLIT_TEST, i, e)) return e->code;
    return STATUS_OK;
}

static bool all_paused(const worker *w) {
    for (int r = 0; r < w->job.runs; r++)
        if (!w->paused[r]) return false;
    return true;
}

static status finish(worker *w, error *e) {
    if (!all_paused(w) && score_all(w, e)) return e->code;
    for (int r = 0; r < w->job.runs; r++) {
        char message[160] = "";
        run_state state = RUN_DONE;
        if (w->paused[r]) {
            state = RUN_PREEMPTED;
            snprintf(message, sizeof message,
                     "paused at step %ld to be compared by early_terminate.", w->cursor[r].step);
        } else if (w->timed_out[r]) {
            state = RUN_TIMEOUT;
            snprintf(
                message, sizeof message,
                "stopped after train.max_minutes: %g at step %ld of %ld; --retry failed goes on.",
                w->job.train.max_minutes, w->cursor[r].step, w->steps);
        } else if (w->cursor[r].phase == PHASE_DIVERGED) {
            state = RUN_DIVERGED;
            snprintf(message, sizeof message, "the loss exploded or was not a number at step %ld.",
                     w->cursor[r].bad_step);
        }
        end_run(w, r, state, message);
    }
    if (flush_all(w, true, e)) return e->code;
    for (int r = 0; r < w->job.runs; r++)
        if (!w->timed_out[r] && !w->paused[r])
            checkpoint_remove(w->options->home.checkpoint, w->job.run[r].run_id);
    return STATUS_OK;
}

status worker_run(const job *j, const worker_options *options, error *e) {
    is_patient = options->patient;
    catch_signals();
    arena *a = arena_new();
    const int n = j->runs;
    worker w = {.job = *j,
                .options = options,
                .arena = a,
                .start_s = clock_steady_s(),
                .data = ARENA_NEW(a, job_data, n),
                .trained = ARENA_NEW(a, const task_set *, n),
                .optim_run = ARENA_NEW(a, optim_run, n),
                .cursor = ARENA_NEW(a, run_cursor, n),
                .hash = ARENA_NEW(a, uint64_t, n),
                .journal = ARENA_NEW(a, journal *, n),
                .timed_out = ARENA_NEW(a, bool, n),
                .paused = ARENA_NEW(a, bool, n)};
    w.checkpoint_s = w.start_s;
    status s = options->backend->open(options->device, (numerics)j->train.numerics, e);
    if (!s) s = open_data(&w, e);
    if (!s) s = reserve_scratch(&w, e);
    if (!s && !(w.trainer = trainer_new(a, &w.job, options->backend, w.trained, e))) s = e->code;
    if (!s) s = open_journals(&w, e);
    if (!s) resume(&w);
    if (!s) s = begin_attempts(&w, e);
    w.begun = !s;
    if (!s) s = train(&w, e);
    if (!s) s = finish(&w, e);
    for (int r = 0; r < n; r++) {
        if (!w.journal[r]) continue;
        if (w.begun && s && s != STATUS_INTERRUPTED) end_run(&w, r, RUN_FAILED, e->text);
        error closing = {0};
        if (journal_close(w.journal[r], &closing) && !s)
            s = error_set(e, closing.code, "%s", closing.text);
    }
    trainer_free(w.trainer);
    arena_free(a);
    return s;
}
