/* summary.h - where each experiment stands and which runs are being trained: what `mixgrid status`
 * prints, from what the scheduler has imported. */
#pragma once
#include "query.h"
#include "store.h"

typedef struct store_counts {
    long cells, state[N_RUN_STATE]; /* cells whose run is in that state */
    double wall_s;                  /* of all attempts of its runs, each run once */
} store_counts;

/* Counts of one experiment; an unknown name is an error that lists those there are. */
status store_counts_get(store_counts *out, store *s, const char *experiment, error *e);

/* Does somebody train the runs whose state is `running`? A killed scheduler leaves them so. */
typedef enum scheduler_life {
    SCHEDULER_GONE,
    SCHEDULER_ALIVE,
    SCHEDULER_UNKNOWN, /* on another machine, whose locks may be invisible here */
} scheduler_life;

typedef struct summary {
    const char *experiment; /* NULL: all; an unknown name is an error that lists those there are */
    scheduler_life scheduler;
    double now_s; /* Unix seconds, for how long runs have been running */
} summary;

/* Runs that are `running`, each once. */
status summary_count_running(long *n, const summary *what, store *s, error *e);
/* A line for each experiment, in order of name, and below, where there are any, one for each of the
 * first 10 runs that are running, in the order in which they were started. */
status summary_print(const summary *what, store *s, FILE *out, error *e);
/* The same as JSON: an array of experiments, each with all its running runs in the order of its
 * cells. Holds no duration that grows by itself: equal texts mean that nothing has changed. */
status summary_print_json(const summary *what, store *s, FILE *out, error *e);
