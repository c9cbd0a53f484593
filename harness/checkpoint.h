/* checkpoint.h - everything a run needs to go on with the same bits: weights, moments, position.
 *
 * Two generations per run, each a safetensors file written atomically with a checksum over all of
 * it: checkpoint/<run id>.safetensors and <run id>.previous.safetensors. So a file that is damaged,
 * or that a pack could not write for all its runs, costs the steps since the one before. The data
 * cursor is the step number, as data are a function of it. What was logged before is in the journal
 * alone, so a checkpoint is of use only with the journal it was made with (run_cursor.mark). */
#pragma once
#include "job.h"
#include "optim.h"
#include "results/journal.h"

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
    journal_mark mark; /* the journal with all that was logged until then */
} run_cursor;

/* What was the newest becomes the previous one, whose place it takes. */
status checkpoint_save(const char *folder, const job *j, optim *o, int run, const run_cursor *c,
                       error *e);
/* Takes all runs of the job to the latest step that each of them has a usable checkpoint of; a file
 * that cannot be used is named on stderr. false: there is no such step; the cursors are zero and
 * the optimizer may hold anything. */
bool checkpoint_resume(const char *folder, const job *j, optim *o, run_cursor *c /* [R] */);
void checkpoint_remove(const char *folder, const char *run_id);
