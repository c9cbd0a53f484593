/* halving.h - successive halving: which cells of a grid are trained how far.
 *
 * Rung k is the step of the first validation at or after the share at[k] of a run's steps. All runs
 * train to rung 0 and pause; then each group is judged, and so on. A group holds the cells that
 * differ in the keys of select.over and the seed only; its settings are those that differ in the
 * seed only, and their seeds go on or stop together. Of the n settings of a group that are left,
 * the best ceil(keep * n) by the mean over seeds of what validation measured at the rung go on;
 * ties stand in the order of the grid. Settings with failed or diverged runs come behind those with
 * fewer of them.
 *
 * A verdict follows from the recorded curves alone, never from who was first: it is the same for
 * any number of workers, after any interruption, and where runs were trained for other experiments.
 * Nothing is judged before all of a group stand at the rung or have ended.
 * Cost: two queries for each run and rung. */
#pragma once
#include "grid.h"
#include "results/store.h"

typedef enum halving_verdict {
    HALVING_TRAIN,  /* to pause_at */
    HALVING_STANDS, /* at this round's rung, or has ended: nothing to do */
    HALVING_WAITS,  /* for runs of its group that do not get to their rung */
    HALVING_STOPPED
} halving_verdict;

typedef struct halving_cell {
    halving_verdict verdict;
    long pause_at;   /* step; 0: to the end */
    long stopped_at; /* step; of its group it came `place`-th of `of` settings there */
    int place, of;
} halving_cell;

typedef struct halving halving;

/* NULL with an error where a rung would stand behind the last validation. The grid has rules. */
halving *halving_new(arena *a, const grid *g, error *e);
/* What is to be done in round 0 ... n_at of the rules. state[i]: of cell i; pending where it is to
 * be trained again although it failed. `s` NULL: nothing was trained yet. */
status halving_judge(halving_cell *out /* [n] */, const halving *h, store *s,
                     const run_state *state /* [n] */, int round, error *e);
/* Largest share of the steps of all cells that is trained, and a sentence with the rungs. */
double halving_most(const halving *h);
void halving_text(char out[512], const halving *h);
