/* share.h - one sweep dealt out to several schedulers, each on another machine.
 *
 * Journals, checkpoints and logs of all shares lie beside the database that they belong to; each
 * share has a database of its own in the folder DB.d, so that no two schedulers write to one file.
 * `mixgrid collect` reads the journals into DB. */
#pragma once
#include "grid.h"
#include "plan_sweep.h"

typedef struct share {
    int index, count; /* index in 1..count; count 0: the whole sweep */
} share;

enum { SHARE_MOST = 4096 };

/* "2/8" */
status share_read(share *out, const char *text, error *e);

/* Deals n items: out[i] in 1..shares. Depends on these arguments only. shape: equal numbers (below
 * n) may share a pack, so they are kept together as far as balance allows: the largest share costs
 * at most the mean plus the larger of an eighth of it and the most costly item. */
void share_deal(int *out, const double *cost, const int *shape, int n, int shares);

/* The same for the cells of a grid: out[g->n], 0 for cells that `these` leaves out. What is already
 * done, and which devices there are, does not matter. */
status share_deal_grid(int *out, const grid *g, const only *these, int shares, error *e);

/* Plans as the best processor would, whatever numerics a cell asks for: costs do not depend on the
 * device, and a login node need not have the one that will be used. */
status share_plan(sweep_plan *out, arena *a, const grid *g, store *s, const plan_options *options,
                  error *e);

/* DB.d, and in it EXPERIMENT-I-of-N.db. */
const char *share_folder(arena *a, const char *db);
const char *share_db(arena *a, const char *db, const char *experiment, share which);
