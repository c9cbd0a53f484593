/* job.h - a pack: runs that share one tape and differ only in per-run settings. */
#pragma once
#include "models/model.h"
#include "sections.h"
#include "tasks/task.h"

typedef struct job_run {
    const char *run_id, *config_json;
    uint64_t seed, data_seed;
    double lr, wd, dropout, embed_dropout, init_scale;
} job_run;

typedef struct job {
    arena *arena;
    const task *task;
    const void *task_config;
    model_spec model;
    train_config train; /* of the first run where settings are per run */
    eval_config eval;
    int runs;
    job_run *run; /* [runs] */
} job;

/* Data sets of one data seed: the trained length, and each of eval.lengths. */
typedef struct job_data {
    uint64_t data_seed;
    task_set *trained;
    task_set **at_length; /* [eval.lengths.n] */
} job_data;

/* How the sets of a run are opened. length 0: the trained one; else held-out sets at that length.
 */
task_options job_task_options(const job *j, int run, long length);

/* Opens the data sets that run `run` needs. Runs with equal data seeds share them: pass what is
 * already open. */
status job_open_data(job_data *out, const job *j, int run, error *e);

/* Steps between validations: ten of them where nothing is said. */
long job_eval_every(const job *j, long steps);
/* Steps of the whole training with this many examples (0: endless data). */
long job_steps_of(const job *j, long train_count);

/* Steps of the whole training; steps per epoch (0: endless data). */
long job_steps(const job *j, const task_set *set);
long job_steps_per_epoch(const job *j, const task_set *set);
