/* slurm_array.h - array jobs that were submitted for a database.
 *
 * In the folder DB.d, EXPERIMENT.json says what was submitted and under which job id,
 * EXPERIMENT.yaml is the grid file as it was then, EXPERIMENT.sbatch the script. */
#pragma once
#include "grid.h"

typedef struct slurm_array {
    const char *experiment;
    const char *file;            /* the grid file as it was called */
    const char *const *argument; /* [n_arguments] overrides */
    int n_arguments;
    const char *only; /* NULL: all cells */
    const char *job;  /* Slurm's number; NULL: not submitted */
    int shares;
} slurm_array;

/* DB.d/EXPERIMENT.yaml, .sbatch, .json */
const char *slurm_array_path(arena *a, const char *db, const char *experiment, const char *ending);
status slurm_array_write(const char *db, const slurm_array *array, error *e);
/* All of a database in order of experiment; none is no error. */
status slurm_array_list(slurm_array **out, int *n, arena *a, const char *db, error *e);
/* The grid as it was submitted. NULL after errors. */
const grid *slurm_array_grid(arena *a, const char *db, const slurm_array *array, error *e);
