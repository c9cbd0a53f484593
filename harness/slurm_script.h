/* slurm_script.h - the batch script of a sweep: an array job, task I trains share I.
 *
 * Two minutes before its time is up a task gets SIGUSR2, which the script passes on: mixgrid
 * checkpoints and exits with 75, and the script asks Slurm to queue the task again. Texts are
 * quoted for sbatch or for the shell, whatever they hold. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <stdbool.h>

typedef struct slurm_script {
    const char *experiment;
    const char *program, *grid, *db, *folder, *log; /* absolute; folder: to work in */
    const char *const *argument;                    /* [n_arguments] behind the grid file */
    int n_arguments;
    int shares;
    long cpus, gpus, mem_mib;
    bool on_gpus; /* it trains on the GPUs it asks for, and not on processors beside them */
    const char *time, *partition, *account, *mem, *extra; /* NULL: not said */
} slurm_script;

/* Paths with line breaks, and a log folder with a backslash, which sbatch cannot be told, are
 * errors. */
status slurm_script_text(const char **out, arena *a, const slurm_script *s, error *e);

/* One word of a shell, in single quotes where it needs them. */
const char *shell_word(arena *a, const char *text);

/* Seconds of a time limit as Slurm writes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; -1: none. */
double slurm_time_s(const char *text);
enum { SLURM_NOTICE_S = 120, SLURM_LEAST_S = 300 };
