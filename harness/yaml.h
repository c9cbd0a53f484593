/* yaml.h - a YAML file as a tree of values that know where they were written.
 *
 * libyaml's events, read by YAML 1.2 core rules: 1e-3, 0o17, 0x1F, .inf are numbers, true and false
 * are booleans, null and ~ are null, and nothing else is guessed. What YAML 1.1 would have read
 * differently (yes, off, 007, 1_000) stays text and carries a sentence of doubt, which whoever
 * takes it as text shows as a warning.
 * Errors, never a crash or a hang: invalid UTF-8, control characters, tabs in indentation,
 * duplicate keys, keys that are not scalars, tags other than !!str, merge keys (<<), unknown and
 * self-referencing aliases, nesting deeper than YAML_MAX_DEPTH, more than YAML_MAX_NODES values
 * after aliases are expanded, more than one document, empty or unreadable files, folders, files
 * larger than YAML_MAX_BYTES.
 * Within flow collections ({...}, [...]) an item with an open parenthesis takes in the items up to
 * the closing one, so that {train.lr: logspace(1e-4, 1e-2, 7)} means what it says. */
#pragma once
#include "diag.h"

enum {
    YAML_MAX_DEPTH = 64,
    YAML_MAX_NODES = 1 << 18,
    YAML_MAX_BYTES = 8 << 20,
};

typedef enum yaml_kind {
    YAML_NULL,
    YAML_BOOL,
    YAML_INT,
    YAML_REAL, /* also integers that do not fit a long */
    YAML_TEXT,
    YAML_LIST,
    YAML_MAP,
} yaml_kind;
extern const char *const yaml_kind_name[]; /* "null", "true or false", "an integer", ... */

typedef struct yaml yaml;
struct yaml {
    yaml_kind kind;
    place at;
    const char *text;  /* scalars: as written, without quotes; NULL for lists and maps */
    const char *doubt; /* a sentence when YAML 1.1 would have read it differently, else NULL */
    bool quoted;       /* a quoted or block scalar: always text */
    bool flow;         /* a list or map written as [...] or {...} */
    bool boolean;
    long integer;
    double real; /* of YAML_INT too */
    int weight;  /* values in it, itself included, aliases expanded */
    int n;       /* items of a list, pairs of a map */
    const yaml **item;
    const char **key; /* maps only, in file order, unique */
    place *key_at;
};

/* NULL after an error was put into `d`. Names in places are `path`. */
const yaml *yaml_read_file(arena *a, const char *path, diag *d);
/* `n` bytes of text; `name` is what places call it. */
const yaml *yaml_read_text(arena *a, const char *text, long n, const char *name, diag *d);
/* One value in flow style ("3", "[q, k]", "{a: 1}"), every place being `at`. */
const yaml *yaml_read_value(arena *a, const char *text, place at, diag *d);
/* A list of the comma-separated values of the text, read as if it stood between [ and ]. */
const yaml *yaml_read_items(arena *a, const char *text, place at, diag *d);
/* The whole file, NUL-terminated; errors as above. */
const char *yaml_slurp(arena *a, const char *path, long *n, diag *d);

/* A number that the program made; reals are spelled as in value.h. */
const yaml *yaml_number(arena *a, double x, place at);

/* Value of a key of a map, NULL when absent. */
const yaml *yaml_get(const yaml *y, const char *key);
