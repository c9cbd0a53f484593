/* tabulate.h - which tables a report has, made from the chosen rows.
 *
 * Every caption says what the interval covers, what n is, what was left out and what bold means. */
#pragma once
#include "table.h"

/* All that the data allow, the main one first; or those that report: {tables: [id, ...]} names. */
typedef struct table_list {
    table **table;
    int n, cap;
} table_list;

status tabulate(table_list *out, arena *a, const choice *c, error *e);

/* Every published number beside ours, or NULL when the grid file has none. */
table *tabulate_published(arena *a, const choice *c);
/* Every run: label, state, wall time, parameters, attempts. */
table *tabulate_runs(arena *a, const choice *c);
/* Every axis: its values, and whether it was searched. */
table *tabulate_axes(arena *a, const choice *c);

/* Values of a slice variable: "length=64" and "length=256" are 64 and 256 of "length". */
typedef struct slice_set {
    const char *name; /* "length" */
    const char **slice;
    double *value; /* ascending */
    int n, cap;
} slice_set;
typedef struct slice_list {
    slice_set *set;
    int n, cap;
} slice_list;
slice_list slices_find(arena *a, const choice *c);
/* The metric of slices and figures: ppl or bpb of language models, else token_acc, or
 * the first there is. */
const char *choice_metric(const choice *c);
/* Length a run was trained at; NAN: not known. */
double trained_length(const record_run *run);
/* Share needed to call a run solved (report: {solve: 0.95}), .99 by default. */
double solve_threshold(const record *r);
