/* job.c - see job.h; how cells become a job is in pack.c. */
#include "job.h"

#include <math.h>

enum { DRAWN_HELD_OUT = 1000 }; /* examples of a task that has no corpus with an end */

status job_open_data(job_data *out, const job *j, int run, error *e) {
    const long examples =
        j->eval.examples || !j->task->draw ? j->eval.examples : (long)DRAWN_HELD_OUT;
    task_options options = {
        .train_count = j->train.examples,
        .val_count = examples,
        .test_count = examples,
        .data_seed = j->run[run].data_seed,
    };
    *out = (job_data){.data_seed = options.data_seed};
    out->trained = task_open(j->arena, j->task, j->task_config, &options, e);
    if (!out->trained) return e->code;
    out->at_length = ARENA_NEW(j->arena, task_set *, j->eval.lengths.n);
    options.held_out_only = true;
    for (int i = 0; i < j->eval.lengths.n; i++) {
        options.length = j->eval.lengths.v[i];
        out->at_length[i] = task_open(j->arena, j->task, j->task_config, &options, e);
        if (!out->at_length[i]) return e->code;
    }
    return STATUS_OK;
}

long job_steps_per_epoch(const job *j, const task_set *set) {
    const long n = (long)set->count[SPLIT_TRAIN], batch = j->train.batch;
    return n ? (n + batch - 1) / batch : 0;
}

long job_steps(const job *j, const task_set *set) {
    const long epoch = job_steps_per_epoch(j, set);
    if (j->train.epochs <= 0) return j->train.steps;
    return epoch ? (long)ceil(j->train.epochs * (double)epoch) : 0;
}
