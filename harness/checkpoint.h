/* checkpoint.h - everything a run needs to go on with the same bits: weights, moments, position.
 *
 * One safetensors file per run, checkpoint/<run id>.safetensors, written atomically. The data
 * cursor is the step number, as data are a function of it. */
#pragma once
#include "job.h"
#include "optim.h"

typedef enum run_phase { PHASE_ACTIVE, PHASE_STOPPED, PHASE_DIVERGED } run_phase;

/* The host's part of a run's state. */
typedef struct run_cursor {
    long step; /* steps done */
    run_phase phase;
    long phase_step;   /* step at which it stopped or diverged */
    double window_nll; /* since the last logged line */
    long window_scored, window_right;
    double first_loss; /* mean loss of the first step: the measure of an explosion */
    long bad_step;     /* first step whose loss had exploded or was no number; 0: none */
} run_cursor;

status checkpoint_save(const char *folder, const job *j, optim *o, int run, const run_cursor *c,
                       error *e);
/* *found false: there is none, or it is damaged (said on stderr) or of another model: start again.
 */
void checkpoint_load(const char *folder, const job *j, optim *o, int run, run_cursor *c,
                     bool *found);
void checkpoint_remove(const char *folder, const char *run_id);
