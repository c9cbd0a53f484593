/* worker.h - the process that trains one pack: journal, validation, checkpoints, signals. */
#pragma once
#include "home.h"
#include "job.h"
#include "kernels/core/backend.h"

/* What a worker tells the scheduler now and then, through a pipe; small enough to be atomic. */
typedef struct progress {
    long step, steps;
    double loss, token_acc; /* of the first run of the pack, since the last message */
} progress;

typedef struct worker_options {
    home home;
    const backend *backend;       /* not opened yet: this process does */
    const char *device;           /* of the backend: its id; NULL: the first */
    int progress_fd;              /* -1: nobody listens */
    const char *environment_json; /* provenance of this attempt */
    const long *attempt;          /* [R] number of this attempt of each run, from 1 */
    const char *data;             /* task_set.data as it was planned; NULL: not known */
    bool again;                   /* although the runs may have a result */
    bool patient;  /* further signals say the same: a cluster signals all processes of a job */
    long pause_at; /* 0: never; else a multiple of the steps between validations, see below */
} worker_options;

/* What the steps of a pack have measured is looked at when the log, a validation or the end needs
 * it, and besides every LOOK_EVERY steps; whether a run has diverged is decided at the latter, at
 * validations and at the end, so it depends on the configuration only. A diverged or stopped run is
 * frozen: no bit of it changes while its neighbours go on.
 *
 * A journal may know more than the scheduler did, of a worker that outlived the one before: if it
 * holds this attempt or a result already, nothing is done and STATUS_INTERRUPTED is returned.
 *
 * At the step pause_at, after its validation, runs that are still in training are checkpointed and
 * end as preempted, to go on later or not (halving.h); the others end as always. STATUS_OK.
 *
 * Trains the pack to its end, or to the first SIGINT, SIGTERM, SIGUSR1 or SIGUSR2: then it
 * checkpoints and returns STATUS_INTERRUPTED; a second signal ends the process at once. Every run's
 * end is in its journal, diverged and timed-out ones too (these are results: STATUS_OK). Errors
 * that end the pack are journaled as failed and returned. */
status worker_run(const job *j, const worker_options *options, error *e);
