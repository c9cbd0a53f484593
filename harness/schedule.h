/* schedule.h - runs what is missing of a grid: packs, worker processes, journals into the database.
 */
#pragma once
#include "catalog.h"
#include "grid.h"
#include "plan_sweep.h"
#include "share.h"
#include "worker.h"

typedef struct schedule_options {
    const char *db;     /* path of the database; journals, logs and checkpoints lie beside it */
    const char *device; /* "auto", "cuda:0,1", ... */
    int workers;        /* processes at a time on each device; 0: one per processor or GPU */
    int pack;           /* runs that share a tape at most, or PACK_AUTO */
    bool retry_failed, fail_fast;
    stale_results stale;
    int max_attempts; /* of a run whose worker is ended by a signal; 1: no second try */
    const only *only; /* NULL: all cells */
    share share;      /* of the cells; its own database is in the folder share_folder(db) */
} schedule_options;

typedef struct sweep_outcome {
    long cells, already, done, diverged, failed, timeout, preempted;
    long stopped, waiting; /* by early_terminate; at a rung for runs of their group */
    double wall_s;
} sweep_outcome;

/* STATUS_OK, STATUS_RUNS_FAILED (failed or timed out), STATUS_INTERRUPTED, or an error that kept
 * the sweep from running. Progress on stderr. */
status schedule_run(const grid *g, const schedule_options *options, sweep_outcome *out, error *e);

/* Cells, packs, memory and time without running anything, on stdout. */
status schedule_dry_run(const grid *g, const schedule_options *options, error *e);
