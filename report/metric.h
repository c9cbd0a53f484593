/* metric.h - what the names of metrics mean to a reader: title, digits, which way is better. */
#pragma once
#include <stdbool.h>

typedef struct metric {
    const char *name, *title;
    int decimals;
    int better;    /* +1: more, -1: less, 0: not known, nothing is called best */
    bool accuracy; /* in [0, 1]; a run that failed counts as 0 */
} metric;

/* Never fails: an unknown name is its own title and no value of it is best. */
metric metric_find(const char *name);
/* Names in the order of table columns; NULL ends the list. */
extern const char *const metric_order[];
