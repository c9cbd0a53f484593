/* compare.h - what differs between two runs, of one database or of two: what `mixgrid compare`
 * prints and `mixgrid merge` says of a conflict. */
#pragma once
#include "store.h"

#include <stdio.h>

typedef struct comparison comparison;

/* Opens both databases read-only and finds the runs by the beginning of their ids. NULL with an
 * error when one is not there. */
comparison *compare_open(const char *db_a, const char *run_a, const char *db_b, const char *run_b,
                         error *e);
void compare_close(comparison *c); /* may be NULL */

/* Equal results: the same state, and every final value, point and parameter hash equal to the bit.
 * Two runs without any result are not equal: it is an error that says so. */
status compare_results(bool *equal, comparison *c, error *e);
/* Everything that differs, as text or as one JSON object. */
status compare_print(comparison *c, bool json, FILE *out, error *e);
/* One line: "train loss from step 5 (0.5 | 0.25); commit, device". In `a`. */
const char *compare_brief(comparison *c, arena *a, error *e);
/* The names of what differs in the surroundings of the last attempts, "commit, flags" and "host",
 * or "". In `a`. */
status compare_surroundings(const char **code, const char **machine, comparison *c, arena *a,
                            error *e);
