/* nearby.h - "did you mean" for a grid file that is not there. */
#pragma once
#include "kernels/core/arena.h"

/* What to do about a path that names no file, as the end of a sentence: "; did you mean
 * experiments/tiny.yaml?" where a YAML file with a similar name lies in the same folder, or in
 * experiments or a folder of it; else the path of an example. */
const char *nearby_grid(arena *a, const char *path);

/* The first YAML file of a folder by name, as its path; NULL: there is none. */
const char *nearby_first(arena *a, const char *folder);
