/* orthogonal.h - random rows that are orthogonal to each other and normal one by one. */
#pragma once

struct rng;

/* x [rows, cols]: every `cols` rows are orthogonal (a random rotation of the axes), and each has
 * the length of a normal vector of its own, so that a single row is distributed as N(0, I). */
void orthogonal_rows(double *x, struct rng *draw, int rows, int cols);
