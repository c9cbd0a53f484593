/* show.h - everything about one run: what `mixgrid show` prints. */
#pragma once
#include "store.h"

#include <stdio.h>

/* The one run whose id starts with `prefix`; none or several is an error that says so. */
status run_find(char out[128], store *s, const char *prefix, error *e);

/* State, configuration, attempts with their environments, finals, the last point of each curve,
 * events, artifacts; as text, or as one JSON object. */
status run_show(store *s, const char *prefix, bool json, FILE *out, error *e);
