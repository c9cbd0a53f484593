/* override.h - settings on the command line, written as in Hydra.
 *
 *   a.b=v            sets a value; replaces what the file says, also an axis or a `when`
 *   a.b=v1,v2        an axis
 *   a.b=range(0,10)  an axis, see axis.h for the functions
 *   a.b=[1,2]        one value that is a list;  a.b=[1],[1,2] an axis of lists
 *   +a.b=v           sets a value that the file must not set;  ++a.b=v is a.b=v
 *   ~a.b             takes a setting (or an axis) out again
 * Also experiment=NAME, recipe=NAME and seeds=5. Values are YAML in flow style. */
#pragma once
#include "yaml.h"

typedef enum override_kind { OVERRIDE_SET, OVERRIDE_ADD, OVERRIDE_REMOVE } override_kind;

typedef struct override {
    override_kind kind;
    const char *key;
    const yaml *values; /* a list: one item sets a value, more are an axis; NULL for REMOVE */
    place at;           /* file "command line: a.b=v", line 0 */
} override;

/* Reads every argument; what is wrong goes into `d`. Returns the good ones, `*n_out` of them. */
const override *override_read(arena *a, const char *const *argument, int n, int *n_out, diag *d);
