/* trainer.h - a training step of a pack on one device.
 *
 * The batch of B sequences is cut into micro-batches that fit the cache; these are dealt
 * round-robin to a fixed number of gradient lanes, which are summed in order. Threads take whole
 * lanes, so neither their number nor their timing reaches a bit of the result.
 *
 * A step has a host part, which draws the batch into a staging block, and a body, which the device
 * runs from that block alone: everything that changes from step to step (batch, step number,
 * learning rates, who is frozen) is data. So a device repeats the body from a recording. There are
 * two blocks: one is filled while the device works on the other. */
#pragma once
#include "optim.h"
#include "tape.h"

typedef struct trainer trainer;

/* What a step measured, per run. */
typedef struct step_result {
    double nll_sum; /* over scored positions, before the update */
    long scored, right;
} step_result;

enum { TRAINER_PENDING = 64 }; /* steps between two calls of trainer_collect, at most */

/* data[r]: the sets of run r. All memory is allocated here; a step allocates nothing. */
trainer *trainer_new(arena *a, const job *j, const backend *b, const task_set *const *data,
                     error *e);
void trainer_free(trainer *t); /* may be NULL */
optim *trainer_optim(trainer *t);
const graph *trainer_graph(const trainer *t); /* of one lane */

/* Queues step number `step`, from 0; returns before it is done, at most two are under way.
 * run[r].active false: run r is computed but not changed. */
void trainer_step(trainer *t, long step, double lr_share, const optim_run *run);
/* Waits for all steps queued so far. result: [steps, R], those since the last call in order, kept
 * until the next step; `steps` of them. An error of the device ends training. */
status trainer_collect(trainer *t, const step_result **result, int *steps, error *e);
int trainer_pending(const trainer *t); /* steps that a collect would hand out */

/* Back to step 0: initial weights, zero moments. Nothing may be pending. */
void trainer_reset(trainer *t);

/* Everything trainer_new takes from the backend. */
status trainer_need(memory_need *out, const job *j, const backend *b, int time, error *e);

bool job_has_dropout(const job *j);
