/* trainer.h - a training step of a pack on one device.
 *
 * The batch of B sequences is cut into micro-batches that fit the cache; these are dealt
 * round-robin to a fixed number of gradient lanes, which are summed in order. Threads take whole
 * lanes, so neither their number nor their timing reaches a bit of the result. */
#pragma once
#include "optim.h"
#include "tape.h"

typedef struct trainer trainer;

/* What a step measured, per run. */
typedef struct step_result {
    double nll_sum; /* over scored positions, before the update */
    long scored, right;
} step_result;

/* data[r]: the sets of run r. All memory is allocated here; a step allocates nothing. */
trainer *trainer_new(arena *a, const job *j, const backend *b, const task_set *const *data,
                     error *e);
void trainer_free(trainer *t); /* may be NULL */
optim *trainer_optim(trainer *t);
const graph *trainer_graph(const trainer *t); /* of one lane */

/* Step number `step` counts from 0. run[r].active false: run r is computed but not changed. */
void trainer_step(trainer *t, long step, double lr_share, const optim_run *run,
                  step_result *result);

/* Back to step 0: initial weights, zero moments. */
void trainer_reset(trainer *t);

/* Bytes of everything trainer_new allocates for tensors. */
status trainer_bytes(size_t *bytes, const job *j, const backend *b, int time, error *e);

bool job_has_dropout(const job *j);
