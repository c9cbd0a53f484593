/* sections.h - sections "train" and "eval": how a run is trained and measured. */
#pragma once
#include "kernels/core/field.h"

typedef enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_LINEAR } schedule_kind;
typedef enum schedule_by { BY_STEP, BY_EPOCH } schedule_by;
typedef enum decay_on { DECAY_MATRICES, DECAY_ALL } decay_on;

typedef struct train_config {
    long steps, batch, examples, seed, data_seed, log_every, eval_every, threads;
    double epochs, lr, wd, beta1, beta2, eps, clip, warmup, min_lr, stop_at, checkpoint_s,
        max_minutes;
    int schedule, schedule_by, decay, numerics;
} train_config;
extern const field_table train_fields;

typedef struct eval_config {
    int_list lengths;
    long examples;
} eval_config;
extern const field_table eval_fields;
