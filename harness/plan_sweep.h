/* plan_sweep.h - which cells of a grid are missing, and how they are packed. */
#pragma once
#include "catalog.h"
#include "devices.h"
#include "grid.h"
#include "halving.h"
#include "kernels/core/backend.h"
#include "only.h"
#include "pack.h"
#include "results/store.h"

typedef struct sweep_plan {
    pack *pack;
    int n, cap;
    long cells, already; /* of the grid, and of these with a result */
    long failed_before;  /* failed earlier and not asked to be retried */
    long stopped;        /* by early_terminate */
    long waiting;        /* at a rung for others of their group */
    long stale;          /* of `already`, or planned again: made by other code */
} sweep_plan;

enum { PACK_AUTO = 0, PACK_MOST = 64 };

/* What becomes of results that other code made. */
typedef enum stale_results { STALE_WARN, STALE_RERUN, STALE_IGNORE, N_STALE } stale_results;

typedef struct plan_options {
    const only *only; /* NULL: all cells */
    bool retry_failed;
    const bool
        *retry; /* [cells of the grid] of failed ones; NULL: all, where retry_failed is set */
    stale_results stale;
    int pack;            /* runs that share a tape at most; PACK_AUTO: see plan_sweep */
    int workers;         /* on each device */
    const int *share_of; /* [g->n] share.h: only cells that are dealt to `share`; NULL: all */
    int share;
    const halving_cell *halving; /* [g->n]; NULL: all are trained to their end */
} plan_options;

/* Workers on each device: what was asked for, or one per processor, or one per GPU. */
int workers_each(const device_set *d, int asked);

/* store NULL: everything is missing. Cells that may share a tape are gathered in grid order.
 * PACK_AUTO: 1 on a processor, which one run keeps busy; on GPUs as many as fit into the memory of
 * one worker, at most PACK_MOST, and no more than keep all devices busy. */
status plan_sweep(sweep_plan *out, arena *a, const grid *g, store *s, const device_set *d,
                  const plan_options *options, error *e);
/* One sentence on results of other code; false: there are none. */
bool plan_stale_text(char out[256], const sweep_plan *p, stale_results how);
/* The pack as a job whose vocabulary and longest length are filled in, and what its task is. */
status plan_job(job *out, const task_facts **facts, arena *a, const pack *p, error *e);
/* Cost and memory of one pack. */
status plan_pack(pack *p, const backend *b, error *e);
