/* slices.h - parts of the evaluation that a task reports apart: by length, by distance, by order.
 *
 * The tasks of one grid have different slices, and different values of the same slice. What is
 * shown along a slice is therefore a part of the rows with the values that these rows have. */
#pragma once
#include "choice.h"

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
/* The rows that can be shown along a slice, and in `out` the values that they have: rows with at
 * least two values, and those of the same task without any finished run, as a failure is a result.
 * `task`: rows of this task only, NULL: of all. NULL when there are no such rows. */
choice *slice_part(slice_set *out, arena *a, const choice *c, const slice_set *set,
                   const char *task);
/* The metric of slices and figures: ppl or bpb of language models, else token_acc, or
 * the first there is. */
const char *choice_metric(const choice *c);
/* Has any run a final value of this name over everything? */
bool metric_present(const choice *c, const char *split, const char *name);
