/* slurm_view.c - see slurm_view.h. */
#include "slurm_view.h"

#include "cli.h"
#include "results/jsontext.h"
#include "results/store_place.h"
#include "share.h"

#include <string.h>
#include <unistd.h>

status slurm_array_look(share_view *out, arena *a, const char *db, const slurm_array *array,
                        error *e) {
    slurm_task *word = ARENA_NEW(a, slurm_task, array->shares);
    if (slurm_ask(word, a, array, e)) return e->code;
    for (int i = 0; i < array->shares; i++) {
        const char *own = share_db(a, db, array->experiment, (share){i + 1, array->shares});
        const bool held = place_is_locked(own), asked = word[i].word != TASK_UNKNOWN;
        share_view *v = &out[i];
        *v = (share_view){.task = word[i],
                          .is_alive = asked ? word[i].word == TASK_RUNNING : held,
                          /* a lock on another machine may be invisible, so a job needs a word */
                          .is_dead =
                              asked ? word[i].word != TASK_RUNNING && !held : !held && !array->job};
        error unread = {0}; /* just being made, or damaged: its owner will say so */
        store *s = access(own, F_OK) ? NULL : store_open_readonly(own, &unread);
        if (s) v->is_started = !store_counts_get(&v->counts, s, array->experiment, &unread);
        store_close(s);
    }
    return STATUS_OK;
}

bool slurm_array_is_active(const share_view *view, int n) {
    bool active = false;
    for (int i = 0; i < n; i++) active |= view[i].is_alive || view[i].task.word == TASK_PENDING;
    return active;
}

/* Runs of a share by what they are now; the rest is left. */
typedef struct share_counts {
    long done, diverged, failed, running, interrupted, left;
} share_counts;

static share_counts count(const share_view *v) {
    const long *n = v->counts.state;
    const long running = n[RUN_RUNNING];
    return (share_counts){.done = n[RUN_DONE],
                          .diverged = n[RUN_DIVERGED],
                          .failed = n[RUN_FAILED] + n[RUN_TIMEOUT],
                          .running = v->is_alive ? running : 0,
                          .interrupted = n[RUN_PREEMPTED] + (v->is_alive ? 0 : running),
                          .left = n[RUN_PENDING] + n[RUN_CANCELLED]};
}

/* A task that waits although it has begun was put back into the queue. */
static const char *state_of(const share_view *v) {
    if (v->task.word == TASK_PENDING && v->is_started) return "REQUEUED";
    if (*v->task.state) return v->task.state;
    return v->is_alive ? "running" : v->is_started ? "stopped" : "not started";
}

void slurm_array_print(FILE *out, const slurm_array *array, const share_view *view) {
    if (array->job)
        fprintf(out, "%s: %d share%s, Slurm job %s\n", array->experiment, array->shares,
                plural_s(array->shares), array->job);
    else
        fprintf(out, "%s: %d share%s, not submitted\n", array->experiment, array->shares,
                plural_s(array->shares));
    fprintf(out, "%7s  %-14s %7s %7s %9s %7s %8s %12s %7s\n", "share", "task", "cells", "done",
            "diverged", "failed", "running", "interrupted", "left");
    for (int i = 0; i < array->shares; i++) {
        const share_view *v = &view[i];
        const share_counts n = count(v);
        fprintf(out, "%7d  %-14s ", i + 1, state_of(v));
        if (v->is_started)
            fprintf(out, "%7ld %7ld %9ld %7ld %8ld %12ld %7ld", v->counts.cells, n.done, n.diverged,
                    n.failed, n.running, n.interrupted, n.left);
        fprintf(out, "%s%s\n", *v->task.detail && strcmp(v->task.detail, "None") ? "  " : "",
                strcmp(v->task.detail, "None") ? v->task.detail : "");
    }
}

void slurm_array_print_json(FILE *out, const slurm_array *array, const share_view *view,
                            bool *is_first) {
    arena *a = arena_new();
    for (int i = 0; i < array->shares; i++) {
        const share_view *v = &view[i];
        const share_counts n = count(v);
        const struct {
            const char *key;
            long value;
        } number[] = {{"cells", v->counts.cells},
                      {"done", n.done},
                      {"diverged", n.diverged},
                      {"failed", n.failed},
                      {"running", n.running},
                      {"interrupted", n.interrupted},
                      {"left", n.left}};
        jsontext t = {.arena = a};
        jsontext_put(&t, *is_first ? "[{" : ",\n{");
        *is_first = false;
        jsontext_key(&t, "experiment");
        jsontext_string(&t, array->experiment);
        jsontext_key(&t, "job");
        jsontext_string(&t, array->job);
        jsontext_key(&t, "share");
        jsontext_printf(&t, "%d", i + 1);
        jsontext_key(&t, "shares");
        jsontext_printf(&t, "%d", array->shares);
        jsontext_key(&t, "task");
        jsontext_string(&t, state_of(v));
        jsontext_key(&t, "detail");
        jsontext_string(&t, v->task.detail);
        for (size_t k = 0; k < sizeof number / sizeof *number; k++) {
            jsontext_key(&t, number[k].key);
            if (v->is_started)
                jsontext_printf(&t, "%ld", number[k].value);
            else
                jsontext_put(&t, "null");
        }
        jsontext_put(&t, "}");
        fputs(t.data, out);
    }
    arena_free(a);
}
