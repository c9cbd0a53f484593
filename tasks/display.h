/* display.h - what several tasks need to draw, slice, count and show an example. */
#pragma once
#include "tasks/task.h"

#include <stdio.h>

/* Slices of wide quantities use buckets named by their lower end: 0, 1, 2-3 -> 2, 4-7 -> 4 ... */
int bucket_of(long value);

/* Sets slice `which` of position t; no-op when slices are not wanted. */
void slice_set(const task_set *s, const task_example *x, int which, int t, int value);

double log2_falling(long n, long k); /* log2 of n (n-1) ... (n-k+1); -inf when k > n */

/* Prints the example as columns of position, id, role and scored label. `role` names position t
 * in a few letters; NULL or "" is filler, and long stretches of unscored filler are left out. */
typedef const char *role_rule(const task_set *s, const task_example *x, int t);
void show_columns(FILE *file, const task_set *s, const task_example *x, role_rule *role);
