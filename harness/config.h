/* config.h - one cell's resolved configuration: typed, complete, canonical, with its run id.
 *
 * Entries are sorted by key (key_compare) and hold every field that applies, defaults filled in.
 * Canonical JSON: one flat object {"model.d_model":64,"model.mixer":"cat",...}, see value.h.
 * Run id = SHA-256 of {"schema":1, entries that are not no_id}. Not in it: experiment, recipe,
 * places, device, number of workers. A configuration is immutable and lives in its arena. */
#pragma once
#include "schema.h"

enum { CONFIG_SCHEMA = 1 };    /* raise when the meaning of a setting changes under the same name */
enum { CONFIG_ID_CHARS = 65 }; /* 64 hex digits + NUL */

typedef struct config_entry {
    const char *key;    /* full: "model.conv.width" */
    const field *field; /* of the first table that has it */
    const value *value;
    const char *pair;   /* "model.conv.width":3 */
    const yaml *source; /* what it was read from; its place */
    bool given;         /* by file, recipe or command line, rather than by default */
} config_entry;

struct config {
    const schema *schema;
    int n;
    const config_entry *const *entry; /* [n] */
    char id[CONFIG_ID_CHARS];         /* run id */
    char pack_key[CONFIG_ID_CHARS];   /* equal: may share a pack (hash of all but per_run fields) */
};

/* Computes id and pack_key from the entries; `scratch` is overwritten. For the resolver. */
void config_identify(config *c, text_buffer *scratch);

/* Entry of a full key, NULL when it does not apply to this cell. O(log n). */
const config_entry *config_find(const config *c, const char *key);
/* Readable value ("cat", "0.001", "[q,k]"); NULL when it does not apply or is null. */
const char *config_get(const config *c, const char *key);

/* Writes the values of one table into the plain struct it describes (which the caller zeroed).
 * `option`: the option the table belongs to ("cat"), NULL for tables that always apply; it decides
 * where two options of one cell differ. Strings and lists stay in the configuration's arena, or
 * are made in `a`. A table that does not apply to this cell is a BUG. */
void config_bind(void *out, const config *c, const char *section, const char *option,
                 const field_table *table, arena *a);

/* CONFIG_IDENTITY: what the run id covers, for the database. CONFIG_ALL: with no_id fields too, for
 * handing a cell to a worker. */
typedef enum config_scope { CONFIG_IDENTITY, CONFIG_ALL } config_scope;
const char *config_json(arena *a, const config *c, config_scope scope);

/* The inverse. Fields that the text lacks take their defaults, so that the identity scope is
 * enough; unknown ones are errors. `name` is what places call the text. NULL after errors. */
const config *config_from_json(arena *a, const schema *s, const char *json, const char *name,
                               diag *d);

/* One configuration from settings "key=value" alone (no axes), for commands without a grid file:
 * `mixgrid probe --set model.mixer=cat`. NULL after errors. */
const config *config_from_settings(arena *a, const schema *s, const char *const *setting, int n,
                                   diag *d);
