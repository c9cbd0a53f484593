/* diag.h - everything that is wrong with a file, gathered before the first word is printed.
 *
 * A user who made five mistakes sees five lines, in file order, each with its place:
 *     grid.yaml:12:5: error: unknown key task.lenght; did you mean task.length?
 * The same sentence at the same place is kept once, however many cells run into it. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <stdio.h>

/* Where a value or a key was written. */
typedef struct place {
    const char *file; /* path, "command line: k=v", "recipe NAME"; NULL: nowhere in particular */
    int line, column; /* from 1; line 0: the source has no lines */
} place;

typedef struct diag diag;

diag *diag_new(arena *a);

/* One full sentence without a trailing full stop or newline. */
void diag_error(diag *d, place at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(diag *d, place at, const char *format, ...) __attribute__((format(printf, 3, 4)));

int diag_errors(const diag *d); /* how many different errors were found */
int diag_warnings(const diag *d);

/* STATUS_USAGE if there is any error, else STATUS_OK. */
status diag_status(const diag *d);

/* The i-th message as it is printed, in order of line and column; NULL past the last one. */
const char *diag_line(diag *d, int i);
/* All messages, one a line; at most DIAG_SHOWN, then how many more there are. */
enum { DIAG_SHOWN = 100 };
void diag_print(diag *d, FILE *out);
/* The first error as an `error`, for callers that can show only one. No error: leaves `e` alone. */
status diag_first(diag *d, error *e);

/* "file.yaml:12:5", "command line: a=b" or "" in the arena. */
const char *place_text(arena *a, place at);
