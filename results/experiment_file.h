/* experiment_file.h - experiments and cells as files beside the journals:
 * JOURNALS/experiments/DATABASE/NAME.jsonl, see results/README.md. */
#pragma once
#include "store.h"

typedef struct experiment_counts {
    long experiments, cells; /* that came in */
} experiment_counts;

/* Writes the experiments of the database, or only the one that is named, each file as a whole;
 * `replace`: also where there is a file already that says something else. */
status store_experiments_save(store *s, const char *journal_folder, const char *only, bool replace,
                              error *e);

/* Adds the experiments that the database lacks and has files of. One without any experiment and any
 * file of its own takes those of all databases. `join`: takes those of all in any case, and an
 * experiment that is there already gets the cells it lacks, behind its own. A file that is wrong
 * does not stop the others; the first error is returned. */
status store_experiments_take(store *s, const char *journal_folder, bool join,
                              experiment_counts *counts, error *e);
