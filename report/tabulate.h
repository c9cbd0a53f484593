/* tabulate.h - which tables a report has, made from the chosen rows.
 *
 * Every caption says what the interval covers, what n is, what was left out and what bold means. */
#pragma once
#include "slices.h"
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
/* Every setting that varies but follows from the axes, value by value; NULL: there is none. */
table *tabulate_determined(arena *a, const choice *c);

/* Length a run was trained at; NAN: not known. */
double trained_length(const record_run *run);
/* Share needed to call a run solved (report: {solve: 0.95}), .99 by default. */
double solve_threshold(const record *r);
