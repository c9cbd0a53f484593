/* slurm_view.h - how far each share of an array is: its own database, and whether it lives. */
#pragma once
#include "results/summary.h"
#include "slurm_task.h"

typedef struct share_view {
    slurm_task task;
    bool is_alive;   /* by Slurm's word, or else because somebody holds its database */
    bool is_dead;    /* surely not alive */
    bool is_started; /* it has a database; without one, counts are 0 */
    store_counts counts;
} share_view;

/* Of every share: out[array->shares]. */
status slurm_array_look(share_view *out, arena *a, const char *db, const slurm_array *array,
                        error *e);
/* Some share is waiting or running. */
bool slurm_array_is_active(const share_view *view, int n);

/* A line for each share, or JSON rows. Runs whose scheduler is gone are not running: they are
 * interrupted. */
void slurm_array_print(FILE *out, const slurm_array *array, const share_view *view);
void slurm_array_print_json(FILE *out, const slurm_array *array, const share_view *view,
                            bool *is_first);
