/* sheet.c - see sheet.h. */
#include "sheet.h"

#include <ctype.h>
#include <string.h>

void sheet_experiment(sheet *s, const yaml *y) {
    const char *text = y->text && y->kind != YAML_NULL ? y->text : "";
    bool good = *text && strlen(text) <= 100 && isalnum((unsigned char)*text);
    for (const char *p = text; *p; p++)
        good &= isalnum((unsigned char)*p) || strchr("._-", *p) != NULL;
    s->origin = y->at;
    s->experiment = text;
    if (!good)
        diag_error(s->diag, y->at,
                   "experiment is a name of up to 100 letters, digits, dots, dashes and "
                   "underscores that starts with a letter or digit, not %.100s",
                   *text     ? text
                   : y->text ? "empty"
                             : yaml_kind_name[y->kind]);
    if (y->doubt) diag_warning(s->diag, y->at, "experiment: %s", y->doubt);
}

/* The first group in which some alternative sets the key, or NULL. */
static const axis_group *group_of(const group_list *list, const char *key) {
    for (int i = 0; i < list->n; i++) {
        const axis_group *g = &list->v[i];
        if (!g->n && !strcmp(g->key, key)) return g;
        for (int k = 0; k < g->n; k++)
            for (int m = 0; m < g->v[k].n; m++)
                if (!strcmp(g->v[k].set[m].key, key)) return g;
    }
    return NULL;
}

static bool refuse_twice(sheet *s, const char *key, place at, place first) {
    diag_error(s->diag, at, "%s is an axis already, at line %d", key, first.line);
    return false;
}

/* Groups of one list vary different keys, and the seed has its own axis. */
static bool is_new_axis(sheet *s, const group_list *groups, const setting *x) {
    const axis_group *twin = group_of(groups, x->key);
    if (twin) return refuse_twice(s, x->key, x->at, twin->at);
    if (s->has_seeds && !strcmp(x->key, s->schema->seed_key))
        return refuse_twice(s, x->key, x->at, s->seeds.at);
    return true;
}

void sheet_seeds(sheet *s, const yaml *y) {
    const char *key = s->schema->seed_key;
    const axis_group *twin = group_of(&s->groups, key);
    if (twin) {
        refuse_twice(s, key, y->at, twin->at);
    } else if (y->kind == YAML_INT && (y->integer < 1 || y->integer > AXIS_MAX_VALUES)) {
        diag_error(s->diag, y->at, "seeds: %ld: a number of seeds from 1 to %d, or a list of them",
                   y->integer, AXIS_MAX_VALUES);
    } else if (y->kind == YAML_INT) {
        s->has_seeds = true;
        s->seeds = (axis){.at = y->at};
        for (long i = 0; i < y->integer; i++) {
            ARENA_GROW(s->arena, s->seeds.value, s->seeds.n, s->seeds.cap);
            s->seeds.value[s->seeds.n++] = yaml_number(s->arena, (double)i, y->at);
        }
    } else {
        s->has_seeds = axis_read(s->arena, &s->seeds, "seeds", y, true, false, s->diag);
    }
}

void group_add_axis(arena *a, axis_group *g, setting x, const axis *values) {
    if (values->kind != AXIS_VALUES) g->draws = *values;
    for (int i = 0; i < values->n; i++) {
        alternative one = {ARENA_NEW(a, setting, 1), 1};
        one.set[0] = (setting){x.key, x.at, values->value[i]};
        ARENA_GROW(a, g->v, g->n, g->cap);
        g->v[g->n++] = one;
    }
}

void sheet_group(sheet *s, group_list *groups, axis_group g) {
    if (groups->n == SHEET_MAX_AXES) {
        diag_error(s->diag, g.at, "more than %d axes", SHEET_MAX_AXES);
        return;
    }
    ARENA_GROW(s->arena, groups->v, groups->n, groups->cap);
    groups->v[groups->n++] = g;
}

void sheet_axis(sheet *s, group_list *groups, setting x, bool spread) {
    axis values;
    if (!axis_read(s->arena, &values, x.key, x.value, spread, s->random, s->diag)) return;
    if (!is_new_axis(s, groups, &x)) return;
    axis_group g = {.key = x.key, .at = x.at};
    group_add_axis(s->arena, &g, x, &values);
    sheet_group(s, groups, g);
}

/* --- overrides --- */

static bool drop_from_list(setting_list *list, const char *key) {
    int out = 0;
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->v[i].key, key)) list->v[out++] = list->v[i];
    const bool found = out < list->n;
    list->n = out;
    return found;
}

static bool drop_from_group(axis_group *g, const char *key) {
    int out = 0;
    bool found = false;
    for (int i = 0; i < g->n; i++) {
        alternative *one = &g->v[i];
        setting_list list = {one->set, one->n, one->n};
        found |= drop_from_list(&list, key);
        one->n = list.n;
        if (one->n || (g->has_baseline && !i)) g->v[out++] = *one;
    }
    const bool drawn = !g->n && !strcmp(g->key, key);
    g->n = out;
    return found || drawn;
}

/* Takes a key out of groups; `*where` becomes the place of the first group that vanished. */
static bool drop_from_groups(group_list *list, const char *key, int *where) {
    int out = 0;
    bool found = false;
    for (int i = 0; i < list->n; i++) {
        axis_group *g = &list->v[i];
        const bool here = drop_from_group(g, key);
        found |= here;
        if (here && g->n <= (g->has_baseline ? 1 : 0)) {
            if (*where < 0) *where = i;
            continue;
        }
        list->v[out++] = *g;
    }
    list->n = out;
    return found;
}

/* Takes a key out of the whole sheet; false when it is not there. */
static bool drop(sheet *s, const char *key, int *where) {
    bool found = drop_from_list(&s->base, key);
    *where = -1;
    found |= drop_from_groups(&s->groups, key, where);
    for (int i = 0; i < s->when.n; i++) {
        int ignored = -1;
        found |= drop_from_list(&s->when.v[i].set, key);
        found |= drop_from_groups(&s->when.v[i].groups, key, &ignored);
    }
    if (s->has_seeds && (!strcmp(key, "seeds") || !strcmp(key, s->schema->seed_key))) {
        s->has_seeds = false;
        found = true;
    }
    return found;
}

static bool list_has(const setting_list *list, const char *key) {
    for (int i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].key, key)) return true;
    return false;
}

static bool has_key(const sheet *s, const char *key) {
    bool found = list_has(&s->base, key) || group_of(&s->groups, key);
    for (int i = 0; i < s->when.n; i++)
        found |= list_has(&s->when.v[i].set, key) || group_of(&s->when.v[i].groups, key);
    return found || (s->has_seeds && !strcmp(key, s->schema->seed_key));
}

static void insert_group(sheet *s, int where, axis_group g) {
    const int before = s->groups.n;
    sheet_group(s, &s->groups, g);
    axis_group *v = s->groups.v;
    for (int i = before; s->groups.n > before && where >= 0 && i > where; i--) {
        v[i] = v[i - 1];
        v[i - 1] = g;
    }
}

static void override_known(sheet *s, const override *o) {
    axis values;
    int where;
    const setting x = {o->key, o->at, o->values->item[0]};
    if (!axis_read(s->arena, &values, o->key, o->values, true, s->random, s->diag)) return;
    drop(s, o->key, &where);
    if (values.kind == AXIS_VALUES && values.n == 1) {
        setting_add(s->arena, &s->base, s->schema, (setting){x.key, x.at, values.value[0]},
                    s->diag);
    } else if (!strcmp(o->key, s->schema->seed_key)) {
        s->has_seeds = true;
        s->seeds = values;
    } else {
        axis_group g = {.key = o->key, .at = o->at};
        group_add_axis(s->arena, &g, x, &values);
        insert_group(s, where, g);
    }
}

void sheet_override(sheet *s, const override *o) {
    int where;
    const bool is_seeds = !strcmp(o->key, "seeds"), is_name = !strcmp(o->key, "experiment");
    const bool known = !strcmp(o->key, "recipe") || schema_find(s->schema, o->key);
    if (!known && !is_seeds && !is_name) {
        schema_unknown_key(s->arena, s->schema, o->key, o->at, s->diag);
    } else if (o->kind == OVERRIDE_REMOVE) {
        if (is_name || !drop(s, o->key, &where))
            diag_error(s->diag, o->at, "there is nothing to take out: %s",
                       is_name ? "every sweep has an experiment"
                               : "the file does not set this key");
    } else if (o->kind == OVERRIDE_ADD && (is_name || is_seeds || has_key(s, o->key))) {
        diag_error(s->diag, o->at, "the file sets %s already; write it without + to replace it",
                   o->key);
    } else if (is_name || is_seeds) {
        const yaml *list = o->values, *one = list->n == 1 ? list->item[0] : list;
        if (is_name) {
            sheet_experiment(s, one);
        } else {
            drop(s, s->schema->seed_key, &where);
            sheet_seeds(s, one);
        }
    } else {
        override_known(s, o);
    }
}
