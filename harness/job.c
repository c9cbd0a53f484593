/* job.c - see job.h; how cells become a job is in pack.c. */
#include "job.h"

#include <math.h>

enum {
    EVAL_EXAMPLES = 1000, /* of a task that draws its examples, where nothing is said */
    VALIDATIONS = 10
};

task_options job_task_options(const job *j, int run, long length) {
    const bool drawn = j->task->draw != NULL;
    const long held_out = j->eval.examples || !drawn ? j->eval.examples : EVAL_EXAMPLES;
    return (task_options){
        .length = length,
        .train_count = j->train.examples,
        .val_count = held_out,
        .test_count = held_out,
        .data_seed = j->run[run].data_seed,
        .held_out_only = length != 0,
    };
}

status job_open_data(job_data *out, const job *j, int run, error *e) {
    task_options options = job_task_options(j, run, 0);
    *out = (job_data){.data_seed = options.data_seed};
    out->trained = task_open(j->arena, j->task, j->task_config, &options, e);
    if (!out->trained) return e->code;
    out->at_length = ARENA_NEW(j->arena, task_set *, j->eval.lengths.n);
    for (int i = 0; i < j->eval.lengths.n; i++) {
        options = job_task_options(j, run, j->eval.lengths.v[i]);
        out->at_length[i] = task_open(j->arena, j->task, j->task_config, &options, e);
        if (!out->at_length[i]) return e->code;
    }
    return STATUS_OK;
}

static long epoch_steps(const job *j, long n) {
    const long batch = j->train.batch;
    return n ? (n + batch - 1) / batch : 0;
}

long job_steps_per_epoch(const job *j, const task_set *set) {
    return epoch_steps(j, (long)set->count[SPLIT_TRAIN]);
}

long job_steps_of(const job *j, long train_count) {
    const long epoch = epoch_steps(j, train_count);
    if (j->train.epochs <= 0) return j->train.steps;
    return epoch ? (long)ceil(j->train.epochs * (double)epoch) : 0;
}

long job_steps(const job *j, const task_set *set) {
    return job_steps_of(j, (long)set->count[SPLIT_TRAIN]);
}

long job_eval_every(const job *j, long steps) {
    const long every = j->train.eval_every ? j->train.eval_every : steps / VALIDATIONS;
    return every < 1 ? 1 : every;
}
