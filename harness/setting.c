/* setting.c - maps of a file -> flat lists of settings; see resolve.h. */
#include "resolve.h"

#include <string.h>

static bool is_known(const schema *s, const char *key) {
    return !strcmp(key, "recipe") || schema_find(s, key);
}

bool setting_add(arena *a, setting_list *list, const schema *s, setting x, diag *d) {
    if (!is_known(s, x.key)) {
        schema_unknown_key(a, s, x.key, x.at, d);
        return false;
    }
    if (x.value->kind == YAML_MAP) {
        const field *f = schema_find(s, x.key);
        diag_error(d, x.at, "%s takes %s, not a map", x.key, f ? field_expects(a, f) : "a name");
        return false;
    }
    ARENA_GROW(a, list->v, list->n, list->cap);
    list->v[list->n++] = x;
    return true;
}

/* `conv:` with nothing after it: a group without settings, rather than a setting. */
static bool is_empty_group(const schema *s, const char *key, const yaml *y) {
    return y->kind == YAML_NULL && !*y->text && schema_is_group(s, key);
}

static const setting *find(const setting_list *list, int from, const char *key) {
    for (int i = from; i < list->n; i++)
        if (!strcmp(list->v[i].key, key)) return &list->v[i];
    return NULL;
}

/* `from`: settings of the list from there on belong to this map, and must differ. */
static void flatten(arena *a, setting_list *list, int from, const schema *s, const yaml *map,
                    const char *prefix, diag *d) {
    for (int i = 0; i < map->n; i++) {
        const char *key = *prefix ? arena_printf(a, "%s.%s", prefix, map->key[i]) : map->key[i];
        const setting x = {key, map->key_at[i], map->item[i]};
        const setting *first = find(list, from, key);
        if (x.value->kind == YAML_MAP && !is_known(s, key))
            flatten(a, list, from, s, x.value, key, d);
        else if (first)
            diag_error(d, x.at, "duplicate key %s; it was given at line %d already", key,
                       first->at.line);
        else if (is_known(s, key) || !is_empty_group(s, key, x.value))
            setting_add(a, list, s, x, d);
    }
}

void settings_read(arena *a, setting_list *list, const schema *s, const yaml *y, diag *d) {
    if (y->kind == YAML_NULL && !*y->text) return;
    if (y->kind != YAML_MAP)
        diag_error(d, y->at, "a map of settings is meant here, not %s", yaml_kind_name[y->kind]);
    else
        flatten(a, list, list->n, s, y, "", d);
}
