/* grid.c - reading a grid file; see grid.h, and sheet.h for what it becomes. */
#include "grid.h"

#include "sheet.h"
#include "suggest.h"

#include <string.h>

static void read_recipe(sheet *s, const yaml *y) {
    setting_add(s->arena, &s->base, s->schema, (setting){"recipe", y->at, y}, s->diag);
}

static void read_defaults(sheet *s, const yaml *y) {
    settings_read(s->arena, &s->base, s->schema, y, s->diag);
}

static void read_grid(sheet *s, const yaml *y) {
    setting_list list = {0};
    settings_read(s->arena, &list, s->schema, y, s->diag);
    for (int i = 0; i < list.n; i++) sheet_axis(s, &s->groups, list.v[i], true);
}

/* One map of equally long lists: alternative i takes value i of each. */
static void read_zip_map(sheet *s, const yaml *y) {
    setting_list list = {0};
    axis_group whole = {.at = y->at};
    settings_read(s->arena, &list, s->schema, y, s->diag);
    for (int i = 0; i < list.n; i++) {
        group_list one = s->groups; /* so that axes of other groups are not repeated */
        const int before = one.n;
        sheet_axis(s, &one, list.v[i], true);
        if (one.n == before) return;
        const axis_group *g = &one.v[before];
        if (!g->n) {
            diag_error(s->diag, g->at, "%s: a distribution cannot be zipped; list its values",
                       g->key);
            return;
        }
        if (!i) {
            whole.key = g->key;
            whole.n = g->n;
            whole.v = ARENA_NEW(s->arena, alternative, g->n);
            for (int k = 0; k < g->n; k++) whole.v[k].set = ARENA_NEW(s->arena, setting, list.n);
        }
        if (g->n != whole.n) {
            diag_error(s->diag, g->at, "zip: %s has %d values, but %s has %d; give both as many",
                       g->key, g->n, whole.key, whole.n);
            return;
        }
        for (int k = 0; k < g->n; k++) whole.v[k].set[whole.v[k].n++] = g->v[k].set[0];
    }
    if (list.n) sheet_group(s, &s->groups, whole);
}

static void read_zip(sheet *s, const yaml *y) {
    if (y->kind == YAML_MAP) {
        read_zip_map(s, y);
    } else if (y->kind == YAML_LIST) {
        for (int i = 0; i < y->n; i++) read_zip_map(s, y->item[i]);
    } else {
        diag_error(s->diag, y->at, "zip is a list of maps of lists that vary together");
    }
}

static void read_baseline_changes(sheet *s, const yaml *y) {
    setting_list list = {0};
    axis_group whole = {.at = y->at, .key = "baseline_changes", .has_baseline = true};
    settings_read(s->arena, &list, s->schema, y, s->diag);
    ARENA_GROW(s->arena, whole.v, whole.n, whole.cap);
    whole.n = 1;
    for (int i = 0; i < list.n; i++) {
        group_list one = s->groups;
        const int before = one.n;
        sheet_axis(s, &one, list.v[i], true);
        if (one.n == before) continue;
        const axis_group *g = &one.v[before];
        if (!g->n)
            diag_error(s->diag, g->at, "%s: baseline_changes takes values, not distributions",
                       g->key);
        for (int k = 0; k < g->n; k++) {
            ARENA_GROW(s->arena, whole.v, whole.n, whole.cap);
            whole.v[whole.n++] = g->v[k];
        }
    }
    sheet_group(s, &s->groups, whole);
}

/* A list is several values, except that for a setting that takes lists it must hold lists. */
static bool spreads(const sheet *s, const setting *x) {
    const field *f = schema_find(s->schema, x->key);
    bool lists = x->value->kind == YAML_LIST && x->value->n;
    for (int i = 0; lists && i < x->value->n; i++) lists = x->value->item[i]->kind == YAML_LIST;
    return !f || !field_is_list(f) || lists;
}

static bool is_option(const sheet *s, const char *key, const yaml *y) {
    for (int i = 0; i < s->schema->n_selectors; i++) {
        const schema_selector *selector = &s->schema->selector[i];
        if (strcmp(selector->key, key) || !y->text || schema_option_find(selector, y->text))
            continue;
        const char **name = ARENA_NEW(s->arena, const char *, selector->n);
        for (int k = 0; k < selector->n; k++) name[k] = selector->option[k].name;
        diag_error(s->diag, y->at, "unknown %s %.100s%s", selector->what, y->text,
                   suggest_tail(s->arena, y->text, name, selector->n));
        return false;
    }
    return true;
}

static void read_match(sheet *s, clause *c, const yaml *y) {
    setting_list list = {0};
    settings_read(s->arena, &list, s->schema, y, s->diag);
    c->match = ARENA_NEW(s->arena, condition, list.n);
    for (int i = 0; i < list.n; i++) {
        condition *one = &c->match[c->n_match];
        const setting *x = &list.v[i];
        one->key = x->key;
        if (!axis_read(s->arena, &one->any, x->key, x->value, spreads(s, x), false, s->diag))
            continue;
        bool good = true;
        for (int k = 0; good && k < one->any.n; k++) good = is_option(s, x->key, one->any.value[k]);
        c->n_match += good;
    }
}

static void add_clause(sheet *s, clause_list *list, clause c) {
    if (list->n == SHEET_MAX_AXES) {
        diag_error(s->diag, c.at, "more than %d clauses", SHEET_MAX_AXES);
        return;
    }
    ARENA_GROW(s->arena, list->v, list->n, list->cap);
    list->v[list->n++] = c;
}

static void read_when_item(sheet *s, const yaml *y) {
    clause c = {.at = y->at};
    const yaml *match = yaml_get(y, "if"), *set = yaml_get(y, "set");
    setting_list list = {0};
    for (int i = 0; y->kind == YAML_MAP && i < y->n; i++)
        if (strcmp(y->key[i], "if") && strcmp(y->key[i], "set"))
            diag_error(s->diag, y->key_at[i], "unknown key %.100s; a clause has if and set",
                       y->key[i]);
    if (!match || !set) {
        diag_error(s->diag, y->at, "a clause of when is {if: {KEY: VALUE}, set: {KEY: VALUE}}");
        return;
    }
    const int errors = diag_errors(s->diag);
    read_match(s, &c, match);
    for (int i = 0; i < c.n_match; i++)
        if (!strcmp(c.match[i].key, s->schema->seed_key))
            diag_error(s->diag, c.match[i].any.at, "when cannot depend on %s; seeds vary last",
                       c.match[i].key);
    if (errors == diag_errors(s->diag) && !c.n_match)
        diag_error(s->diag, match->at,
                   "an empty if always applies; put the settings under "
                   "\"defaults:\"");
    settings_read(s->arena, &list, s->schema, set, s->diag);
    for (int i = 0; i < list.n; i++) {
        axis one;
        const setting *x = &list.v[i];
        const bool spread = spreads(s, x);
        if (!strcmp(x->key, s->schema->seed_key)) {
            diag_error(s->diag, x->at, "when cannot set %s; use seeds", x->key);
            continue;
        }
        if (!axis_read(s->arena, &one, x->key, x->value, spread, s->random, s->diag)) continue;
        if (one.kind == AXIS_VALUES && one.n == 1)
            setting_add(s->arena, &c.set, s->schema, (setting){x->key, x->at, one.value[0]},
                        s->diag);
        else
            sheet_axis(s, &c.groups, *x, spread);
    }
    if (errors == diag_errors(s->diag)) add_clause(s, &s->when, c);
}

static void read_exclude_item(sheet *s, const yaml *y) {
    clause c = {.at = y->at};
    const int errors = diag_errors(s->diag);
    read_match(s, &c, y);
    if (errors == diag_errors(s->diag) && !c.n_match)
        diag_error(s->diag, y->at, "an empty clause would exclude every cell");
    if (errors == diag_errors(s->diag)) add_clause(s, &s->exclude, c);
}

static void read_when(sheet *s, const yaml *y) {
    if (y->kind == YAML_MAP) read_when_item(s, y);
    for (int i = 0; y->kind == YAML_LIST && i < y->n; i++) read_when_item(s, y->item[i]);
    if (y->kind != YAML_MAP && y->kind != YAML_LIST)
        diag_error(s->diag, y->at, "when is a list of {if: {KEY: VALUE}, set: {KEY: VALUE}}");
}

static void read_exclude(sheet *s, const yaml *y) {
    if (y->kind == YAML_MAP) read_exclude_item(s, y);
    for (int i = 0; y->kind == YAML_LIST && i < y->n; i++) read_exclude_item(s, y->item[i]);
    if (y->kind != YAML_MAP && y->kind != YAML_LIST)
        diag_error(s->diag, y->at, "exclude is a list of {KEY: VALUE}");
}

static void read_samples(sheet *s, const yaml *y) {
    s->samples = y->integer;
    if (y->kind != YAML_INT || y->integer < 1 || y->integer > GRID_MAX_CELLS)
        diag_error(s->diag, y->at, "samples must be an integer from 1 to %d", GRID_MAX_CELLS);
}

static void read_method(sheet *s, const yaml *y) {
    const yaml *name = y->kind == YAML_MAP ? yaml_get(y, "name") : y;
    const char *text = name && name->text ? name->text : "";
    s->random = !strcmp(text, "random");
    if (!strncmp(text, "bayes", 5)) {
        diag_error(s->diag, name->at,
                   "method bayes is not supported, because its cells depend on "
                   "results and cannot be listed beforehand; use grid or random");
    } else if (!s->random && strcmp(text, "grid")) {
        diag_error(s->diag, name ? name->at : y->at,
                   "method is grid, or {name: random, samples: N}");
    }
    for (int i = 0; y->kind == YAML_MAP && i < y->n; i++) {
        const yaml *item = y->item[i];
        if (!strcmp(y->key[i], "samples") && s->random) {
            read_samples(s, item);
        } else if (!strcmp(y->key[i], "seed") && s->random) {
            s->sample_seed = (uint64_t)item->integer;
            if (item->kind != YAML_INT || item->integer < 0)
                diag_error(s->diag, item->at, "seed must be an integer of at least 0");
        } else if (strcmp(y->key[i], "name")) {
            diag_error(s->diag, y->key_at[i],
                       "unknown key %.100s; method random has name, samples "
                       "and seed",
                       y->key[i]);
        }
    }
}

static const struct top_key {
    const char *name;
    void (*read)(sheet *s, const yaml *y); /* NULL: read elsewhere */
} top_keys[] = {
    {"experiment", sheet_experiment},
    {"recipe", read_recipe},
    {"method", NULL},
    {"defaults", read_defaults},
    {"grid", read_grid},
    {"zip", read_zip},
    {"baseline_changes", read_baseline_changes},
    {"when", read_when},
    {"exclude", read_exclude},
    {"seeds", sheet_seeds},
    {"select", NULL},
    {"early_terminate", NULL},
    {"published", NULL},
    {"report", NULL},
};
enum { N_TOP_KEYS = sizeof top_keys / sizeof *top_keys };

static void unknown_top_key(sheet *s, const char *key, place at) {
    const char *name[N_TOP_KEYS];
    for (int i = 0; i < N_TOP_KEYS; i++) name[i] = top_keys[i].name;
    const char *near = suggest_name(key, name, N_TOP_KEYS);
    bool section = false;
    for (int i = 0; i < s->schema->n_sections; i++) {
        const size_t n = strlen(s->schema->section[i].name);
        section |= !strncmp(key, s->schema->section[i].name, n) && (!key[n] || key[n] == '.');
    }
    if (section)
        diag_error(s->diag, at,
                   "%.100s is a setting; put it under \"defaults:\", or under "
                   "\"grid:\" to vary it",
                   key);
    else if (near)
        diag_error(s->diag, at, "unknown key %.100s; did you mean %s?", key, near);
    else
        diag_error(s->diag, at,
                   "unknown key %.100s; a grid file has experiment, recipe, defaults, "
                   "grid, zip, when, exclude, baseline_changes, seeds, select, "
                   "early_terminate, published, report and method",
                   key);
}

static const struct top_key *top_key_find(const char *name) {
    for (int i = 0; i < N_TOP_KEYS; i++)
        if (!strcmp(top_keys[i].name, name)) return &top_keys[i];
    return NULL;
}

static void read_root(sheet *s, const yaml *root) {
    if (yaml_get(root, "parameters")) {
        wandb_read(s, root);
        return;
    }
    const yaml *method = yaml_get(root, "method");
    if (method) read_method(s, method); /* before the axes, which may be distributions */
    for (int i = 0; i < root->n; i++) {
        const struct top_key *k = top_key_find(root->key[i]);
        if (!k)
            unknown_top_key(s, root->key[i], root->key_at[i]);
        else if (k->read)
            k->read(s, root->item[i]);
    }
    if (s->random && !s->samples && !diag_errors(s->diag))
        diag_error(s->diag, method->at,
                   "method random needs a number of samples: method: {name: "
                   "random, samples: 20, seed: 0}");
}

const grid *grid_read(arena *a, const schema *rules, const char *text, long bytes, const char *name,
                      const char *const *argument, int n, diag *d) {
    text_buffer whole = {.arena = a}; /* terminated, as it goes into the database */
    buffer_add_bytes(&whole, text, bytes);
    sheet s = {.arena = a, .schema = rules, .diag = d, .name = name, .text = whole.text};
    s.origin = (place){name, 1, 1};
    const int errors = diag_errors(d);
    const yaml *root = yaml_read_text(a, text, bytes, name, d);
    int n_overrides;
    const override *o = override_read(a, argument, n, &n_overrides, d);
    if (root && root->kind != YAML_MAP)
        diag_error(d, root->at, "a grid file is a map that starts with \"experiment: NAME\"");
    if (!root || root->kind != YAML_MAP) return NULL;
    s.root = root;
    read_root(&s, root);
    for (int i = 0; i < n_overrides; i++) sheet_override(&s, &o[i]);
    if (!s.experiment)
        diag_error(d, s.origin, "experiment is missing; start the file with \"experiment: NAME\"");
    cell_list cells = {0};
    sheet_expand(&s, &cells);
    grid *g = ARENA_NEW(a, grid, 1);
    sheet_describe(&s, &cells, g);
    return diag_errors(d) > errors ? NULL : g;
}

const grid *grid_load(arena *a, const schema *s, const char *path, const char *const *argument,
                      int n, diag *d) {
    long bytes;
    const char *text = yaml_slurp(a, path, &bytes, d);
    return text ? grid_read(a, s, text, bytes, path, argument, n, d) : NULL;
}
