/* axis.h - the values of an axis: a list, one value, or a function that makes them.
 *
 *   range(n), range(a, b), range(a, b, step)   a, a + step, ... before b (as in Python and Hydra)
 *   linspace(a, b, n), logspace(a, b, n)       n values from a to b, evenly or geometrically spaced
 *   choice(x, y, ...)                          the values themselves
 *   uniform(a, b), log_uniform(a, b), int_uniform(a, b)      draws, for method: random only
 * Made reals are rounded to 12 significant digits (draws to 6), so that the middle of
 * logspace(1e-4, 1e-2, 3) is 0.001 and no run id depends on the last bit of a maths library. */
#pragma once
#include "kernels/core/rng.h"
#include "yaml.h"

enum { AXIS_MAX_VALUES = 100000 };

typedef enum axis_kind {
    AXIS_VALUES,
    AXIS_UNIFORM,
    AXIS_LOG_UNIFORM,
    AXIS_INTEGER, /* uniform over the integers of [low, high] */
} axis_kind;

typedef struct axis {
    axis_kind kind;
    place at;
    const yaml **value; /* [n], AXIS_VALUES only */
    int n, cap;
    double low, high; /* the other kinds */
} axis;

/* `spread`: a list gives its items, else a list is one value. `draws`: distributions are allowed.
 * False after an error, which names `key`; no values at all is one. */
bool axis_read(arena *a, axis *out, const char *key, const yaml *y, bool spread, bool draws,
               diag *d);

/* Draw number `index` of a random sweep. Depends on seed, key and index alone, so that another
 * axis, or more samples, moves no draw. */
rng axis_rng(uint64_t seed, const char *key, uint64_t index);
const yaml *axis_draw(arena *a, const axis *x, rng *g);
