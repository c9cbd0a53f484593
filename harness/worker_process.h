/* worker_process.h - the fork that becomes a worker.
 *
 * It is in a process group of its own, so that Ctrl-C in a terminal reaches the scheduler alone,
 * which passes it on; it gets SIGTERM when the scheduler dies. Its stderr goes to the log of the
 * pack's first run, and it exits with the status of worker_run. */
#pragma once
#include "pack.h"
#include "results/store.h"
#include "worker.h"

#include <sys/types.h>

typedef struct worker_process {
    pid_t pid;    /* 0: none */
    int progress; /* descriptor, of struct progress; it does not block */
} worker_process;

/* Starts the worker of a pack. `common`: what does not follow from the pack; progress_fd is set
 * here. `inherited`: the open database, which the worker lets go of. */
status worker_start(worker_process *out, const pack *p, const worker_options *common,
                    store *inherited, error *e);
