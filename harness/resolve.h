/* resolve.h - settings in order of precedence -> configurations, many of them quickly.
 *
 * What most cells of a grid share (field defaults, recipe, the file's defaults) is typed once per
 * combination of recipe and selected options; a cell copies that template and applies its own few
 * settings. Typed values are kept per (field, value node), so a value is checked once however many
 * cells have it. Cost: a few microseconds a cell, most of it SHA-256. */
#pragma once
#include "config.h"

/* One KEY: VALUE of a file or command line. Keys are known to the schema, or "recipe". */
typedef struct setting {
    const char *key;
    place at; /* of the key */
    const yaml *value;
} setting;

typedef struct setting_list {
    setting *v;
    int n, cap;
} setting_list;

/* Flattens a map, nested and dotted keys alike, onto the end of `list`. Unknown keys, maps where
 * a value belongs, and keys given twice go into `d`. `lists_only`: values are axes. */
void settings_read(arena *a, setting_list *list, const schema *s, const yaml *map, diag *d);
/* One more; false after an error. */
bool setting_add(arena *a, setting_list *list, const schema *s, setting x, diag *d);

typedef struct resolver resolver;

/* `base`: settings shared by all cells; `origin`: place of errors about what nobody wrote. All
 * outlive the resolver, which lives in `a`. */
resolver *resolver_new(arena *a, const schema *s, const setting_list *base, place origin, diag *d);

/* The configuration of base and `change` [n], later settings first in rank. NULL after errors,
 * each put into the diag once. Configurations live in `a` of the resolver. */
const config *resolve(resolver *r, const setting *change, int n);

/* Whether `key` of the cell that resolve(r, change, n) would give has one of the values; false
 * where the key does not apply. Does not see what schema.fill sets. */
bool resolve_matches(resolver *r, const setting *change, int n, const char *key,
                     const yaml *const *any, int n_any);

/* The recipe of such a cell, NULL for none. */
const char *resolve_recipe(const resolver *r, const setting *change, int n);
