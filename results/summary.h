/* summary.h - where each experiment stands: what `mixgrid status` prints. */
#pragma once
#include "query.h"
#include "store.h"

typedef struct store_counts {
    long cells, state[N_RUN_STATE]; /* cells whose run is in that state */
    double wall_s;                  /* of all attempts of its runs, each run once */
} store_counts;

/* Counts of one experiment; an unknown name is an error that lists those there are. */
status store_counts_get(store_counts *out, store *s, const char *experiment, error *e);

/* One line per experiment, in order of name; `experiment` NULL: all of them. */
status summary_print(store *s, const char *experiment, query_format format, FILE *out, error *e);
