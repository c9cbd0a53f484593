/* rounds.h - a sweep with early_terminate goes in rounds: in each the runs are judged, those that
 * are not among the best are stopped, the others are trained to the next rung; the last round takes
 * them to their end (halving.h). */
#pragma once
#include "claim_pack.h"
#include "progress.h"
#include "schedule.h"

typedef struct rounds rounds;

/* Options that do not go with the rules of a grid. */
status rounds_refuse(const grid *g, const schedule_options *options, error *e);

/* NULL with an error where a rung cannot be. Lives in `a`, with what it judges. */
rounds *rounds_new(arena *a, const grid *g, bool retry_failed, error *e);

/* How many there are, at least 1; `r` NULL: no rules, 1. */
int rounds_count(const rounds *r);

/* Begins a round, 0 first: writes the verdicts on runs that are stopped, with a line in the view
 * for each, and fills in the plan what is to be trained (halving, retry). Runs of other processes,
 * and all after a signal, are left for the next time. Cost: each run is read once. */
status rounds_begin(plan_options *plan, rounds *r, int round, const claim_folder *f,
                    progress_view *view, error *e);
