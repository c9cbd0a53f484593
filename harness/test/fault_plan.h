/* fault_plan.h - which call fails, and how many there were; shared through a file. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_ALLOC,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_RENAME,
    FAULT_TRUNCATE,
    FAULT_FOLDER, /* mkdir */
    FAULT_FORK,   /* fork, pipe */
    FAULT_CLOCK,  /* the wall clock jumps back by .error seconds */
    N_FAULT
} fault_kind;

typedef struct fault_plan {
    fault_kind kind; /* FAULT_NONE: only counted */
    long at;         /* the first call is 1 */
    bool sticky;     /* and all that follow */
    int error;       /* errno; FAULT_WRITE: 0: a short write */
    atomic_long fired, count[N_FAULT];
} fault_plan;
