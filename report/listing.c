/* listing.c - the tables that are lists: published numbers, runs, axes. See tabulate.h.
 *
 * Nothing is averaged or left out here: these tables are what a reader checks the others with. */
#include "tabulate.h"

#include "metric.h"

#include <math.h>

/* ---- published | ours ------------------------------------------------------------------------ */

static const char *const not_axes[] = {"label", "value", "source", "note", "metric", "slice", 0};

/* Is this member of a published entry a setting, not a word about the number? */
static bool is_axis_key(const char *key) {
    for (int i = 0; not_axes[i]; i++)
        if (strcmp(key, not_axes[i]) == 0) return false;
    return true;
}

/* Does every setting named in the entry hold for the row? A key is that of an axis, its short name,
 * or any key of the configuration. */
static bool published_matches(const choice *c, const json_t *item, const variant *v) {
    const char *key;
    json_t *value;
    int named = 0;
    json_object_foreach((json_t *)item, key, value) {
        if (!is_axis_key(key)) continue;
        const axis *x = record_axis(c->record, key);
        const char *ours = run_setting(c->record, v->run[0], x ? x->key : key);
        if (!ours && x && v->value[x - c->record->axis] >= 0)
            ours = x->value[v->value[x - c->record->axis]];
        if (!ours || strcmp(ours, json_plain(c->record->arena, value)) != 0) return false;
        named++;
    }
    return named > 0;
}

/* The entry's own label, or its settings. */
static const char *published_label(arena *a, const json_t *item) {
    const char *label = json_string_value(json_object_get(item, "label")), *key;
    if (label) return arena_text(a, label);
    text t = text_new(a);
    json_t *value;
    json_object_foreach((json_t *)item, key, value) if (is_axis_key(key))
        text_add(&t, "%s%s = %s", t.n ? ", " : "", text_key(a, key), json_plain(a, value));
    return t.s;
}

table *tabulate_published(arena *a, const choice *c) {
    const json_t *list = json_object_get(c->record->spec, "published"), *item;
    if (json_array_size(list) == 0) return NULL;
    table *t = table_new(a, "published", "Published and ours");
    table_column_add(t, "setting", "setting", CELL_TEXT);
    table_column_add(t, "metric", "metric", CELL_TEXT);
    table_column_add(t, "published", "published", CELL_TEXT);
    table_column_add(t, "ours", "ours", CELL_SAMPLE);
    table_column_add(t, "source", "source", CELL_TEXT);
    table_column_add(t, "note", "note", CELL_TEXT);
    size_t i;
    json_array_foreach(list, i, item) {
        if (!json_is_object(item)) continue;
        const char *by = json_string_value(json_object_get(item, "metric"));
        const char *source = json_string_value(json_object_get(item, "source"));
        const char *note = json_string_value(json_object_get(item, "note"));
        const char *slice = json_string_value(json_object_get(item, "slice"));
        const json_t *value = json_object_get(item, "value");
        const char *name = by ? (strrchr(by, '/') ? strrchr(by, '/') + 1 : by) : choice_metric(c);
        name = arena_text(a, name);
        int matches = 0;
        for (int r = 0; r < c->n_row; r++) {
            const variant *v = c->row[r].chosen;
            if (!published_matches(c, item, v)) continue;
            table_cell *cell = table_row_add(t);
            sample s = sample_of(a, v, c->split, slice ? arena_text(a, slice) : "", name);
            const char *label = published_label(a, item), *row = variant_label(a, c, v, 0);
            bool own = json_is_string(json_object_get(item, "label"));
            cell[0] = cell_text(!row[0] || strcmp(label, row) == 0 ? label
                                : own ? arena_printf(a, "%s (ours: %s)", label, row)
                                      : row);
            cell[3] = cell_sample(a, &s, metric_find(name).decimals);
            matches++;
        }
        if (!matches) table_row_add(t)[0] = cell_text(published_label(a, item));
        for (int r = t->n_row - (matches ? matches : 1); r < t->n_row; r++) {
            t->row[r][1] = cell_text(metric_find(name).title);
            t->row[r][2] = cell_text(value ? json_plain(a, value) : "–");
            if (!matches) t->row[r][3] = cell_text("–");
            t->row[r][4] = cell_text(source ? arena_text(a, source) : "");
            t->row[r][5] = cell_text(note ? arena_text(a, note) : "");
        }
    }
    text caption = text_new(a);
    text_add(
        &caption,
        "Published numbers come from other code and another protocol (data, sizes, budget, "
        "search): they are printed for orientation and are not a baseline that was run here. "
        "ours: mean over seeds on the %s split with half of its 95 %% Student interval; – where "
        "no row of this experiment has these settings.",
        c->split);
    t->caption = caption.s;
    return t;
}

/* ---- runs and axes --------------------------------------------------------------------------- */

table *tabulate_runs(arena *a, const choice *c) {
    const record *r = c->record;
    const char *name = choice_metric(c);
    table *t = table_new(a, "runs", "All runs");
    table_column_add(t, "run", "run", CELL_TEXT);
    table_column_add(t, "cell", "cell", CELL_TEXT);
    table_column_add(t, "state", "state", CELL_TEXT);
    table_column_add(t, arena_printf(a, "val %s", metric_find(name).title),
                     arena_printf(a, "val/%s", name), CELL_NUMBER);
    table_column_add(t, arena_printf(a, "test %s", metric_find(name).title),
                     arena_printf(a, "test/%s", name), CELL_NUMBER);
    table_column_add(t, "params", "params", CELL_NUMBER);
    table_column_add(t, "time", "wall_s", CELL_NUMBER);
    table_column_add(t, "attempts", "attempts", CELL_NUMBER);
    for (int i = 0; i < r->n_cell; i++) {
        const record_run *run = r->cell[i].run;
        table_cell *cell = table_row_add(t);
        double val = run_final(run, "val", "", name), test = run_final(run, "test", "", name);
        int decimals = metric_find(name).decimals;
        cell[0] = cell_text(arena_printf(a, "%.12s", run->id));
        cell[1] = cell_text(r->cell[i].label);
        cell[2] = cell_text(run_state_name[run->state]);
        cell[3] = cell_number(a, val, arena_printf(a, "%.*f", decimals, val));
        cell[4] = cell_number(a, test, arena_printf(a, "%.*f", decimals, test));
        cell[5] = cell_number(a, run->params < 0 ? (double)NAN : (double)run->params,
                              text_count(a, (double)run->params));
        cell[6] = cell_number(a, run->wall_s, text_duration(a, run->wall_s));
        cell[7] = cell_number(a, (double)run->attempts, NULL);
    }
    t->caption = "One line per cell of the grid, in its order; times are sums over attempts.";
    return t;
}

table *tabulate_axes(arena *a, const choice *c) {
    const record *r = c->record;
    table *t = table_new(a, "axes", "What was varied");
    table_column_add(t, "key", "key", CELL_TEXT);
    table_column_add(t, "role", "role", CELL_TEXT);
    table_column_add(t, "values", "values", CELL_NUMBER);
    table_column_add(t, "range or list", "list", CELL_TEXT);
    for (int i = 0; i < r->n_axis; i++) {
        const axis *x = &r->axis[i];
        table_cell *cell = table_row_add(t);
        text list = text_new(a);
        for (int k = 0; k < x->n; k++) text_add(&list, "%s%s", k ? ", " : "", x->value[k]);
        cell[0] = cell_text(x->key);
        cell[1] = cell_text(x->seed   ? "seed (replication)"
                            : x->over ? "searched, chosen on val"
                            : x->n == 1 && !x->partial
                                ? "fixed"
                                : arena_printf(a, "%s%s", x->task_side ? "condition" : "compared",
                                               x->partial ? ", where it exists" : ""));
        cell[2] = cell_number(a, x->n, NULL);
        cell[3] = cell_text(list.s);
    }
    t->caption = "Every key of the grid; the bounds of a search are the ends of its list.";
    return t;
}

/* ---- what follows from the axes -------------------------------------------------------------- */

/* The value of a setting in a cell as text; NULL: it does not apply. */
static const char *cell_setting(const record *r, int cell, const char *key) {
    return run_setting(r, r->cell[cell].run, key);
}

/* "task = nar, mixer = cat": the axes of `bits` in a cell. */
static const char *group_label(arena *a, const record *r, int cell, unsigned long bits) {
    text t = text_new(a);
    for (int x = 0; x < r->n_axis; x++)
        if (bits >> x & 1 && r->cell[cell].value[x] >= 0)
            text_add(&t, "%s%s = %s", t.n ? ", " : "", r->axis[x].name,
                     r->axis[x].value[r->cell[cell].value[x]]);
    return t.s;
}

/* Do cells that are equal in the axes of `bits` have equal values of the key? O(n_cell). */
static bool decides(const record *r, unsigned long bits, const char *const *value) {
    arena *scratch = arena_new();
    json_t *seen = json_object(); /* group -> value */
    bool decided = true;
    for (int i = 0; i < r->n_cell && decided; i++) {
        const char *group = group_label(scratch, r, i, bits);
        const char *here = value[i] ? value[i] : "";
        const char *there = json_string_value(json_object_get(seen, group));
        if (there)
            decided = strcmp(here, there) == 0;
        else
            json_object_set_new(seen, group, json_string(here));
    }
    json_decref(seen);
    arena_free(scratch);
    return decided;
}

/* The fewest axes that decide the key: one, else two, else all but the seed. */
static unsigned long deciding_axes(const record *r, const char *const *value) {
    unsigned long all = 0;
    for (int x = 0; x < r->n_axis; x++)
        if (!r->axis[x].seed) all |= AXIS_BIT(x);
    for (int x = 0; x < r->n_axis; x++)
        if (all >> x & 1 && decides(r, AXIS_BIT(x), value)) return AXIS_BIT(x);
    for (int x = 0; x < r->n_axis; x++)
        for (int y = 0; y < x; y++)
            if (all >> x & 1 && all >> y & 1 && decides(r, AXIS_BIT(x) | AXIS_BIT(y), value))
                return AXIS_BIT(x) | AXIS_BIT(y);
    return all;
}

/* One line for each group of cells that has the setting. */
static void determined_rows(arena *a, table *t, const record *r, const char *key) {
    const char **value = ARENA_NEW(a, const char *, r->n_cell);
    for (int i = 0; i < r->n_cell; i++) value[i] = cell_setting(r, i, key);
    const unsigned long bits = deciding_axes(r, value);
    const int first = t->n_row;
    for (int i = 0; i < r->n_cell; i++) {
        if (!value[i]) continue;
        const char *group = group_label(a, r, i, bits);
        bool known = false;
        for (int k = first; k < t->n_row; k++) known |= strcmp(t->row[k][1].text, group) == 0;
        if (known) continue;
        table_cell *cell = table_row_add(t);
        cell[0] = cell_text(key);
        cell[1] = cell_text(group);
        cell[2] = cell_text(value[i]);
    }
}

table *tabulate_determined(arena *a, const choice *c) {
    const record *r = c->record;
    if (r->n_determined == 0) return NULL;
    table *t = table_new(a, "determined", "What follows from it");
    table_column_add(t, "key", "key", CELL_TEXT);
    table_column_add(t, "where", "where", CELL_TEXT);
    table_column_add(t, "value", "value", CELL_TEXT);
    for (int i = 0; i < r->n_determined; i++) determined_rows(a, t, r, r->determined[i]);
    t->block = 1;
    t->caption = "Settings of when: clauses that the axes above decide, so that they are no axes "
                 "of their own.";
    return t->n_row ? t : NULL;
}
