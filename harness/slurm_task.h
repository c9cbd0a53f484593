/* slurm_task.h - Slurm's own word on the tasks of an array: squeue, and sacct for those it forgot.
 */
#pragma once
#include "slurm_array.h"

/* What Slurm says of a task. */
typedef enum task_word { TASK_UNKNOWN, TASK_PENDING, TASK_RUNNING, TASK_ENDED } task_word;
typedef struct slurm_task {
    task_word word;
    const char *state;  /* as Slurm calls it: "PENDING", "NODE_FAIL" ...; "" if unknown */
    const char *detail; /* why it waits, or its node; "" if unknown */
} slurm_task;

/* Lines of `squeue --format=%K|%T|%r|%N` into task[n], of which task[i - 1] is index i. */
void slurm_read_squeue(slurm_task *task, int n, arena *a, const char *text);
/* Lines of `sacct --parsable2 --format=JobID,State,NodeList` into those not known yet. */
void slurm_read_sacct(slurm_task *task, int n, arena *a, const char *job, const char *text);
/* Asks Slurm: all stay unknown when it is not there or does not answer. A job that it has forgotten
 * has ended. */
status slurm_ask(slurm_task *task, arena *a, const slurm_array *array, error *e);
