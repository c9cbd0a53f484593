/* watch.h - the same look again and again until there is no more to see.
 *
 * In a terminal a look takes the place of the one before; elsewhere it is printed when it differs,
 * behind an empty line unless it is a line itself. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

typedef struct watch_look {
    const char *text;     /* NULL: nothing is there yet */
    const char *key;      /* what is compared; NULL: the text */
    const char *awaited;  /* what is not there */
    double again_s;       /* when to look again */
    bool is_over;         /* nothing will change any more */
    bool may_be_replaced; /* an error may be one of a moment: somebody is writing */
} watch_look;

/* Looks until it is over, and prints on stdout. Ctrl-C and SIGTERM end it: STATUS_INTERRUPTED, and
 * no error. `see` gets a new arena each time. */
status watch_until_over(status (*see)(watch_look *out, arena *a, const void *user, error *e),
                        const void *user, bool is_lines, error *e);
