/* jsontext.h - a growing text that knows how to write JSON.
 *
 * Used for journal lines, environments and --json output. Numbers are written so that reading them
 * gives the same bits; strings are made valid UTF-8 (bytes that are not become U+FFFD), because
 * they hold messages of the system and logs of dead processes. */
#pragma once
#include "kernels/core/arena.h"

#include <stdbool.h>

typedef struct jsontext {
    arena *arena;
    char *data; /* [n], NUL behind it; NULL while empty */
    long n, cap;
} jsontext;

void jsontext_put(jsontext *t, const char *text);
void jsontext_printf(jsontext *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A quoted JSON string; NULL becomes null. */
void jsontext_string(jsontext *t, const char *text);
/* %.17g; "nan", "inf" and "-inf" become strings, as JSON has no such numbers. */
void jsontext_number(jsontext *t, double value);
/* ,"name": - without the comma behind an opening bracket. */
void jsontext_key(jsontext *t, const char *name);

/* The shortest decimal that reads back as `value` (finite), independent of the locale. */
void number_shortest(char out[32], double value);
