/* slurm_call.h - runs a program (sbatch, squeue, sacct) and keeps what it prints. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

enum { CALL_MISSING = 127 };

/* argv ends with NULL; argv[0] is looked for in PATH; no shell is involved. Its output and its
 * messages are one text, its input is empty. *exit_code: CALL_MISSING when there is no such
 * program, 128 and more after a signal. An error only if this process can start none. */
status call_program(const char **text, int *exit_code, arena *a, const char *const *argv, error *e);
