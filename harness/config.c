/* config.c - see config.h. */
#include "config.h"

#include "resolve.h"
#include "results/sha256.h"

#include <string.h>

_Static_assert((int)CONFIG_ID_CHARS == (int)SHA256_HEX, "a run id is a SHA-256");

void config_identify(config *c, text_buffer *scratch) {
    char start[32];
    snprintf(start, sizeof start, "{\"schema\":%d", (int)CONFIG_SCHEMA);
    for (int pack = 0; pack < 2; pack++) {
        scratch->n = 0;
        buffer_add(scratch, start);
        for (int i = 0; i < c->n; i++) {
            const field *f = c->entry[i]->field;
            if (pack ? f->per_run : f->no_id) continue;
            buffer_add(scratch, ",");
            buffer_add(scratch, c->entry[i]->pair);
        }
        buffer_add(scratch, "}");
        sha256_bytes(pack ? c->pack_key : c->id, scratch->text, (size_t)scratch->n);
    }
}

const config_entry *config_find(const config *c, const char *key) {
    int low = 0, high = c->n;
    while (low < high) {
        const int middle = (low + high) / 2;
        const int order = key_compare(c->entry[middle]->key, key);
        if (!order) return c->entry[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *config_get(const config *c, const char *key) {
    const config_entry *e = config_find(c, key);
    return e ? e->value->text : NULL;
}

void config_bind(void *out, const config *c, const char *section, const char *option,
                 const field_table *table, arena *a) {
    for (int i = 0; i < table->n; i++) {
        const field *f = &table->field[i];
        char key[256];
        snprintf(key, sizeof key, "%s.%s", section, f->name);
        const config_entry *e = config_find(c, key);
        if (!e && option) {
            snprintf(key, sizeof key, "%s.%s@%s", section, f->name, option);
            e = config_find(c, key);
        }
        if (!e) BUG("%s does not apply to this configuration", key);
        const value *v = e->value;
        if (e->field != f) { /* another table's: the same text, but its choices may differ */
            diag *d = diag_new(a);
            v = value_read(a, key, f, e->source, d);
            if (!v) BUG("%s", diag_line(d, 0));
        }
        value_bind(out, f, v);
    }
}

const char *config_json(arena *a, const config *c, config_scope scope) {
    text_buffer b = {.arena = a};
    buffer_add(&b, "{");
    for (int i = 0; i < c->n; i++) {
        if (scope == CONFIG_IDENTITY && c->entry[i]->field->no_id) continue;
        if (b.n > 1) buffer_add(&b, ",");
        buffer_add(&b, c->entry[i]->pair);
    }
    buffer_add(&b, "}");
    return b.text;
}

static const config *resolve_alone(arena *a, const schema *s, const setting_list *list,
                                   const char *name, diag *d) {
    return resolve(resolver_new(a, s, list, (place){.file = name}, d), NULL, 0);
}

const config *config_from_json(arena *a, const schema *s, const char *json, const char *name,
                               diag *d) {
    const yaml *y = yaml_read_text(a, json, (long)strlen(json), name, d);
    setting_list *list = ARENA_NEW(a, setting_list, 1);
    if (!y) return NULL;
    const int before = diag_errors(d);
    settings_read(a, list, s, y, d);
    if (y->kind != YAML_MAP) return NULL;
    const config *c = resolve_alone(a, s, list, name, d);
    return diag_errors(d) > before ? NULL : c;
}

const config *config_from_settings(arena *a, const schema *s, const char *const *text, int n,
                                   diag *d) {
    setting_list *list = ARENA_NEW(a, setting_list, 1);
    const int before = diag_errors(d);
    for (int i = 0; i < n; i++) {
        const char *equals = strchr(text[i], '=');
        const place at = {.file = arena_printf(a, "command line: %s", text[i])};
        if (!equals) {
            diag_error(d, at, "a setting is written key=value");
            continue;
        }
        const char *key = arena_printf(a, "%.*s", (int)(equals - text[i]), text[i]);
        const yaml *y = yaml_read_value(a, equals + 1, at, d);
        if (y) setting_add(a, list, s, (setting){key, at, y}, d);
    }
    const config *c = resolve_alone(a, s, list, "command line", d);
    return diag_errors(d) > before ? NULL : c;
}
