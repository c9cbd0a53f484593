/* choice.h - runs grouped over seeds, and hyperparameters chosen on val.
 *
 * variant: the runs that differ in the seed only; what is averaged.
 * row: the variants that differ in the `over` axes of `select:` only. One of them is chosen, by the
 * mean over seeds of the val metric, and is what tables and figures show. Test values take no part.
 *
 * A failed run (failed, diverged, timeout) is a result. In the choice it counts as the worst value
 * for accuracies (0), and puts a variant behind every variant with fewer failures otherwise. Ties
 * go to the lower val loss, then to the order of the grid. */
#pragma once
#include "record.h"

typedef struct variant {
    const int *value;                                /* [n_axis], -1: absent; the seed axis is -1 */
    const record_run **run;                          /* [n_run], by seed */
    int n_run, cap_run, n_done, n_failed, n_stopped; /* stopped: by early_terminate, no result */
    double score; /* mean of the val metric, NAN: no finished run or nothing to choose by */
} variant;

typedef struct choice_row {
    variant **candidate; /* [n_candidate], in the order of the grid */
    int n_candidate, cap_candidate;
    variant *chosen;
} choice_row;

typedef struct choice {
    const record *record;
    variant *variant;
    int n_variant;
    choice_row *row; /* sorted by the shown axes, so that blocks are contiguous */
    int n_row, cap_row;
    int search_n; /* largest number of candidates of a row */
    /* Shown axes, the `n_block` axes that say under which conditions methods are compared first:
     * what is measured (task side; a setting that only one task has is part of it), and sizes that
     * every cell has. The rest tells methods apart. */
    int *shown; /* [n_shown] axis indices */
    int n_shown, n_block;
    unsigned long fixed; /* of a part: axes as bits that the whole shows and the part need not */
    const char *split;   /* "test", or "val" where no run has test values */
} choice;

choice *choice_make(arena *a, const record *r);

/* The rows i with keep[i], and of the shown axes those that differ among them: what a table or a
 * figure of one task needs. Shares everything with c. */
choice *choice_part(arena *a, const choice *c, const bool *keep);
/* What all rows of a part have in common: "nar, n = 2"; "" of a whole. */
const char *choice_common(arena *a, const choice *c);
/* The task of a row. */
const char *row_task(const choice_row *row);

/* Is this axis shown as a column, a series or a panel? (varies, not the seed, not chosen) */
bool axis_shown(const axis *x);
/* "cat, width = 3, nar, n = 2": the shown axes but those of `skip` (bits by axis index), methods
 * first. Mixers and tasks are known by their names alone. */
const char *variant_label(arena *a, const choice *c, const variant *v, unsigned long skip);

/* The values of one metric over seeds. */
typedef struct sample {
    const char *split, *slice, *name;
    double *value;          /* [n], of finished runs with a finite value, by seed */
    long *seed;             /* [n] */
    int n, n_run, n_failed; /* n_run: seeds planned */
    bool absent;            /* runs finished, but this was never measured on them */
    double mean, sd, half;  /* half of the 95 % interval, NAN for n < 2 */
} sample;
/* Has any run a final value of it? */
bool variant_measured(const variant *v, const char *split, const char *slice, const char *name);
sample sample_of(arena *a, const variant *v, const char *split, const char *slice,
                 const char *name);
/* Values with a 0 for every failed run: for accuracies over a mix of runs. */
sample sample_with_failures(arena *a, const variant *v, const char *split, const char *slice,
                            const char *name);
/* The same for any value of a run; value() returns NAN where there is none. */
sample sample_map(arena *a, const variant *v, bool failures_are_0,
                  double (*value)(const record_run *run, const void *context), const void *context);
/* Do two rows stand in the same block, i.e. are they compared? */
bool choice_same_block(const choice *c, const choice_row *x, const choice_row *y);
/* Seeds at or over the threshold, of finished and failed runs. */
void sample_solved(int *solved, int *of, const variant *v, const char *split, const char *name,
                   double threshold);
