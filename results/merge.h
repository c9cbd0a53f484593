/* merge.h - results of other machines joined into a database and its journal folder. */
#pragma once
#include "experiment_file.h"
#include "store.h"

#include <stdio.h>

typedef struct merge_counts {
    long runs;                     /* of the source */
    long added, replaced;          /* journals that came in */
    long equal, kept;              /* ours stayed: the same results; theirs were no better */
    long conflicts;                /* ours stayed, and theirs say something else */
    long exported;                 /* runs of a database without journals */
    experiment_counts experiments; /* that came in */
} merge_counts;

/* Joins one source, which is never written to:
 *   a folder    its journals (*.jsonl), bench.jsonl and experiments, or those of the folder journal
 *               in it
 *   RUN.jsonl   that journal; bench.jsonl: measured speeds
 *   a database  the journals beside it; of runs that have none there, its rows as journals; its
 *               experiments and bench rows
 * Of a run that both have, the better journal stays:
 *   1. equal, or one the beginning of the other: the longer one
 *   2. done and diverged beat timeout, which beats everything else
 *   3. both done or diverged: with equal results ours; with different ones it is a conflict: ours
 *      stays (theirs with `prefer_theirs`), it is counted and one line on `notes` says what differs
 *   4. otherwise ours
 * Merging again changes nothing. `counts` are added to. A run that cannot be merged (damaged, or
 * being trained here) does not stop the others; the first error is returned. */
status store_merge(store *s, const char *journal_folder, const char *source, bool prefer_theirs,
                   merge_counts *counts, FILE *notes, error *e);
