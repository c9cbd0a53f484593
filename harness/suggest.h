/* suggest.h - "did you mean": the nearest known name. */
#pragma once
#include "kernels/core/arena.h"

/* Edits (insert, delete, replace, swap neighbours) from a to b, or `limit` + 1 if more. */
int edit_distance(const char *a, const char *b, int limit);

/* The name nearest to `word`: at most 2 edits (1 for words of 2 to 4 letters, none for one); else
 * the name that `word` begins, or the dotted name whose last part is `word`. NULL: nothing is near.
 * Equal distances: the earlier name. */
const char *suggest_name(const char *word, const char *const *name, int n);

/* "; did you mean train.lr?" or "". */
const char *suggest_tail(arena *a, const char *word, const char *const *name, int n);
