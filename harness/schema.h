/* schema.h - which settings exist, and which of them apply to a given cell.
 *
 * Settings live in sections ("task", "model", "train", "eval") described by field tables. Some
 * tables always apply; others belong to an option (the mixer cat) and apply where a selector
 * (model.mixer) names that option. A selector may name several options at once through a list
 * (model.layers: [conv, attention]); then the tables of all of them apply. Where two of them have a
 * field of the same name, KEY sets it for both and KEY@OPTION for one; the resolved configuration
 * has one entry KEY where the options agree, and entries KEY@OPTION where they differ.
 *
 * The caller (settings.c, from the registries of tasks and models) owns a schema; it is immutable
 * and all names in it are unique. */
#pragma once
#include "kernels/core/field.h"
#include "value.h"

typedef struct schema_section {
    const char *name;
    const field_table *table; /* [n] always apply */
    int n;
} schema_section;

typedef struct schema_option {
    const char *name, *help;
    field_table fields; /* relative to the selector's section; may be empty */
} schema_option;

typedef struct schema_selector {
    const char *what;     /* "mixer", for sentences */
    const char *key;      /* "model.mixer": a text field of an always-present table */
    const char *list_key; /* "model.layers" or NULL: names in its list take the place of `key` */
    const schema_option *option;
    int n;
} schema_selector;

/* Named default settings: they rank above the tables and below the file. A setting that does not
 * apply to a cell is skipped, so a recipe may set what only some mixers have. */
typedef struct schema_recipe {
    const char *name, *help;
    const char *const *setting; /* [n] "model.ffn=swiglu", values in flow style */
    int n;
} schema_recipe;

typedef struct config config;
typedef struct draft draft;

typedef struct schema {
    const schema_section *section;
    int n_sections;
    const schema_selector *selector;
    int n_selectors;
    const schema_recipe *recipe;
    int n_recipes;
    const char *seed_key; /* "train.seed": what `seeds:` sets */

    /* Fills settings from others before missing ones are reported (draft_* below). May be NULL. */
    void (*fill)(draft *d);
    /* Called for every complete cell: NULL, or a sentence about settings that cannot go together,
     * and in `*key` the setting whose place it gets (it should name the remedy). May be NULL. */
    const char *(*check)(const config *c, arena *a, const char **key);
    void *context; /* the caller's */
} schema;

/* What fill() may do. Keys are full names; a key that does not apply to the cell is left alone. */
bool draft_given(const draft *d, const char *key);      /* set by file, recipe or command line */
const char *draft_get(const draft *d, const char *key); /* value::text; NULL: unset or n/a */
void draft_set(draft *d, const char *key, const char *text); /* text as in YAML, flow style */

/* Aborts (BUG) on a schema that contradicts itself: a default that is not valid for its field, two
 * fields of one name where both always apply, a field that is also a group, a selector without
 * field, a recipe with an unknown key. For tests, and once at start. */
void schema_verify(const schema *s);

/* Any field of that full name ("model.conv.width" or "model.conv.width@cat"), applying or not; the
 * first in schema order. NULL: no table has it. */
const field *schema_find(const schema *s, const char *key);

const schema_option *schema_option_find(const schema_selector *s, const char *name);

/* Whether some key starts with `key` and a dot. */
bool schema_is_group(const schema *s, const char *key);

/* Byte order, with @ before everything else, so that KEY and its KEY@OPTION stand together. */
int key_compare(const char *a, const char *b);

/* Every full key of the schema, always-present ones first, each once; `*n` of them. */
const char *const *schema_keys(arena *a, const schema *s, int *n);

/* Puts the right sentence about a key that no table has into `d`. */
void schema_unknown_key(arena *a, const schema *s, const char *key, place at, diag *d);

/* A table of fields: name, type, default, range or choices, help (for `mixgrid help mixer NAME`).
 * `section` is put before the names ("model"), NULL for none. */
void config_help(FILE *out, const char *section, const field_table *table, int n);
