/* spec.c - what varies in a grid: labels of cells, the list of axes, spec_json for reports.
 *
 * What grid, zip, baseline_changes or the command line vary is an axis: the user asked for it. A
 * key that only `when` sets is one if it says something new, i.e. if it is no function of the axes
 * before it over the cells of the grid. So {if: {task.name: nar}, set: {task.length: 64}} makes no
 * axis of task.length, and a label stays as short as it can be without naming two cells.
 * Cost: one map of all cells for every key that only `when` sets. */
#include "map.h"
#include "sheet.h"
#include "suggest.h"

#include <string.h>

/* A key that some cells set differently from others. */
typedef struct varying {
    const char *key;
    const char *name; /* its shortest unambiguous tail: "lr" */
    bool *told;       /* [cells] of a key that only `when` sets: is it in the cell's label? */
} varying;

typedef struct description {
    sheet *sheet;
    cell_list *cells;
    map *seen;
    varying *axis;
    int n, cap;
    const char **determined; /* [n_determined] keys that vary and are no axes */
    int n_determined;
} description;

static void add_key(description *d, const char *key) {
    void **known = map_text(d->seen, key);
    if (*known || !strcmp(key, d->sheet->schema->seed_key)) return;
    *known = d;
    ARENA_GROW(d->sheet->arena, d->axis, d->n, d->cap);
    d->axis[d->n++] = (varying){.key = key};
}

static void add_groups(description *d, const group_list *list) {
    for (int i = 0; i < list->n; i++) {
        const axis_group *g = &list->v[i];
        if (!g->n) add_key(d, g->key);
        for (int k = 0; k < g->n; k++)
            for (int m = 0; m < g->v[k].n; m++) add_key(d, g->v[k].set[m].key);
    }
}

/* Value of an axis in a cell, as JSON (`*text`: for people); NULL where it does not apply. */
static const char *value_of(const description *d, int cell, const char *key, const char **text) {
    arena *a = d->sheet->arena;
    if (!strcmp(key, "recipe")) {
        text_buffer b = {.arena = a};
        *text = d->cells->recipe[cell];
        buffer_add_json(&b, *text);
        return *text ? b.text : NULL;
    }
    const config *c = d->cells->v[cell].config;
    const config_entry *e = config_find(c, key);
    const char *at = strchr(key, '@');
    if (!e && at) e = config_find(c, arena_printf(a, "%.*s", (int)(at - key), key));
    if (!e) return NULL;
    *text = e->value->text ? e->value->text : "null";
    return e->value->json;
}

static bool varies(const description *d, const char *key) {
    const char *text, *first = value_of(d, 0, key, &text);
    for (int i = 1; i < d->cells->n; i++) {
        const char *json = value_of(d, i, key, &text);
        if (!first != !json || (json && strcmp(json, first))) return true;
    }
    return false;
}

/* The tail of a key with one more part before it. */
static const char *longer_tail(const char *key, const char *tail) {
    while (tail > key && tail[-1] != '.') tail--;
    return tail;
}

static bool ends_with(const char *key, const char *tail) {
    const size_t n = strlen(key), m = strlen(tail);
    return n >= m && !strcmp(key + n - m, tail) && (n == m || key[n - m - 1] == '.');
}

/* The last part of the key, and as many before it as tell it from the other axes. "name" alone
 * does not say whose: task.name is called task. */
static void set_name(description *d, int i) {
    const char *key = d->axis[i].key, *tail = longer_tail(key, key + strlen(key));
    if (!strcmp(tail, "name") && tail > key) {
        tail = longer_tail(key, tail - 1);
        d->axis[i].name = arena_printf(d->sheet->arena, "%.*s", (int)strlen(tail) - 5, tail);
        return;
    }
    for (int k = 0; k < d->n; k++)
        while (k != i && tail > key && ends_with(d->axis[k].key, tail))
            tail = longer_tail(key, tail - 1);
    d->axis[i].name = tail;
}

/* Cells that no axis so far tells apart. */
typedef struct partition {
    int *group; /* [cells] */
    int n;      /* number of groups */
} partition;

/* Divides the groups by the value of a key; that it does not apply counts as a value. */
static partition partition_refine(const description *d, const partition *p, const char *key) {
    const int n = d->cells->n;
    map *seen = map_new(d->sheet->arena);
    int *number = ARENA_NEW(d->sheet->arena, int, n);
    partition out = {.group = ARENA_NEW(d->sheet->arena, int, n)};
    for (int i = 0; i < n; i++) {
        const char *text, *json = value_of(d, i, key, &text);
        void **known =
            map_text(seen, arena_printf(d->sheet->arena, "%d %s", p->group[i], json ? json : ""));
        if (!*known) {
            number[out.n] = out.n;
            *known = &number[out.n++];
        }
        out.group[i] = *(int *)*known;
    }
    return out;
}

/* Is the group of each cell divided further in `fine`? A label names a key only there. */
static bool *divided(const description *d, const partition *p, const partition *fine) {
    int *parts = ARENA_NEW(d->sheet->arena, int, p->n), next = 0;
    bool *out = ARENA_NEW(d->sheet->arena, bool, d->cells->n);
    /* Groups of `fine` are numbered as they appear, so a new number is a new part. */
    for (int i = 0; i < d->cells->n; i++)
        if (fine->group[i] == next) {
            parts[p->group[i]]++;
            next++;
        }
    for (int i = 0; i < d->cells->n; i++) out[i] = parts[p->group[i]] > 1;
    return out;
}

/* Keeps what varies of the keys from the first to `n_asked`, and of those behind it, which only
 * `when` sets, what the kept ones do not determine. */
static void keep_axes(description *d, int n_asked) {
    partition p = {ARENA_NEW(d->sheet->arena, int, d->cells->n), 1};
    int out = 0;
    d->determined = ARENA_NEW(d->sheet->arena, const char *, d->n);
    for (int i = 0; i < d->n; i++) {
        varying x = d->axis[i];
        if (!varies(d, x.key)) continue;
        if (d->n == n_asked) { /* nothing to be told apart: spare large grids the maps */
            d->axis[out++] = x;
            continue;
        }
        const partition fine = partition_refine(d, &p, x.key);
        if (i >= n_asked && fine.n == p.n) {
            d->determined[d->n_determined++] = x.key;
            continue;
        }
        if (i >= n_asked) x.told = divided(d, &p, &fine);
        p = fine;
        d->axis[out++] = x;
    }
    d->n = out;
}

static void find_axes(description *d) {
    const sheet *s = d->sheet;
    add_groups(d, &s->groups);
    const int n_asked = d->n;
    for (int i = 0; i < s->when.n; i++) {
        for (int k = 0; k < s->when.v[i].set.n; k++) add_key(d, s->when.v[i].set.v[k].key);
        add_groups(d, &s->when.v[i].groups);
    }
    keep_axes(d, n_asked);
    ARENA_GROW(s->arena, d->axis, d->n, d->cap);
    d->axis[d->n++] = (varying){.key = s->schema->seed_key};
    for (int i = 0; i < d->n; i++) set_name(d, i);
}

static void describe_cell(const description *d, int i) {
    text_buffer label = {.arena = d->sheet->arena}, json = label;
    buffer_add(&json, "{");
    for (int k = 0; k < d->n; k++) {
        const char *text, *canonical = value_of(d, i, d->axis[k].key, &text);
        if (!canonical) continue;
        if (json.n > 1) buffer_add(&json, ",");
        buffer_add_json(&json, d->axis[k].key);
        buffer_add(&json, ":");
        buffer_add(&json, canonical);
        if (d->axis[k].told && !d->axis[k].told[i]) continue;
        if (label.n) buffer_add(&label, " ");
        buffer_add(&label, d->axis[k].name);
        buffer_add(&label, "=");
        buffer_add(&label, text);
    }
    buffer_add(&json, "}");
    d->cells->v[i].label = label.text ? label.text : "";
    d->cells->v[i].axes_json = json.text;
}

/* ["cat","mamba"]: values of an axis in the order in which cells have them. */
static void add_values(text_buffer *b, const description *d, const char *key) {
    map *seen = map_new(b->arena);
    const char *text;
    bool first = true;
    buffer_add(b, "[");
    for (int i = 0; i < d->cells->n; i++) {
        const char *json = value_of(d, i, key, &text);
        void **known = map_text(seen, json ? json : "");
        if (!json || *known) continue;
        *known = seen;
        if (!first) buffer_add(b, ",");
        first = false;
        buffer_add(b, json);
    }
    buffer_add(b, "]");
}

/* The comment lines at the start of the file, without their marks. */
static const char *leading_comment(arena *a, const char *text) {
    text_buffer b = {.arena = a};
    buffer_add(&b, "");
    if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
    for (const char *line = text; *line;) {
        const char *end = line + strcspn(line, "\n"), *p = line + strspn(line, " ");
        line = *end ? end + 1 : end;
        if (*p == '#') {
            p += 1 + (p[1] == ' ');
            if (b.n) buffer_add(&b, "\n");
            while (end > p && end[-1] == '\r') end--;
            buffer_add_bytes(&b, p, end > p ? end - p : 0);
        } else if (b.n || (*p != '\n' && *p != '\r')) {
            break;
        }
    }
    return b.text;
}

static void check_keys(const sheet *s, const yaml *y, const char *what, const char *const *name,
                       int n) {
    for (int i = 0; y->kind == YAML_MAP && i < y->n; i++) {
        bool known = false;
        for (int k = 0; k < n; k++) known |= !strcmp(y->key[i], name[k]);
        if (known) continue;
        text_buffer b = {.arena = s->arena};
        for (int k = 0; k < n; k++) {
            if (k) buffer_add(&b, ", ");
            buffer_add(&b, name[k]);
        }
        diag_error(s->diag, y->key_at[i], "unknown key %.100s; %s has %s%s", y->key[i], what,
                   b.text, suggest_tail(s->arena, y->key[i], name, n));
    }
    if (y->kind != YAML_MAP)
        diag_error(s->diag, y->at, "%s is a map, not %s", what, yaml_kind_name[y->kind]);
}

static void check_over(const description *d, const yaml *y) {
    const sheet *s = d->sheet;
    bool found = false;
    if (!y->text || y->kind == YAML_NULL) {
        diag_error(s->diag, y->at, "select.over is a list of keys");
        return;
    }
    if (!schema_find(s->schema, y->text)) {
        schema_unknown_key(s->arena, s->schema, y->text, y->at, s->diag);
        return;
    }
    for (int i = 0; i < d->n; i++) found |= !strcmp(d->axis[i].key, y->text);
    if (!found && d->cells->n)
        diag_warning(s->diag, y->at, "select.over names %s, which does not vary", y->text);
}

static void add_select(text_buffer *b, const description *d) {
    static const char *const names[] = {"over", "by", "mode"};
    const sheet *s = d->sheet;
    const yaml *y = yaml_get(s->root, "select");
    if (!y) {
        buffer_add(b, "null");
        return;
    }
    check_keys(s, y, "select", names, 3);
    const yaml *over = yaml_get(y, "over"), *by = yaml_get(y, "by"), *mode = yaml_get(y, "mode");
    buffer_add(b, "{\"over\":[");
    for (int i = 0; over && i < (over->kind == YAML_LIST ? over->n : 1); i++) {
        const yaml *key = over->kind == YAML_LIST ? over->item[i] : over;
        check_over(d, key);
        if (i) buffer_add(b, ",");
        buffer_add_json(b, key->text);
    }
    if (!over || !by)
        diag_error(s->diag, y->at, "select needs over (keys) and by (such as val/token_acc)");
    if (by && (!by->text || (strncmp(by->text, "val/", 4) && strncmp(by->text, "train/", 6))))
        diag_error(s->diag, by->at, "select.by is val/METRIC or train/METRIC%s",
                   by->text && !strncmp(by->text, "test/", 5)
                       ? "; choosing on the test set would make its scores too good"
                       : "");
    if (mode && (!mode->text || (strcmp(mode->text, "max") && strcmp(mode->text, "min"))))
        diag_error(s->diag, mode->at, "select.mode is max or min");
    buffer_add(b, "],\"by\":");
    buffer_add_json(b, by ? by->text : NULL);
    buffer_add(b, ",\"mode\":");
    buffer_add_json(b, mode && mode->text ? mode->text : "max");
    buffer_add(b, "}");
}

static void add_published(text_buffer *b, const sheet *s) {
    const yaml *y = yaml_get(s->root, "published");
    bool good = !y || y->kind == YAML_LIST;
    for (int i = 0; good && y && i < y->n; i++) good = y->item[i]->kind == YAML_MAP;
    if (!good) diag_error(s->diag, y->at, "published is a list of maps, one for each number");
    if (y)
        buffer_add_yaml(b, y);
    else
        buffer_add(b, "[]");
}

static bool is_number(const yaml *y) { return y->kind == YAML_REAL || y->kind == YAML_INT; }

/* One accuracy, or for chance one for each task, as the tasks of a grid may differ in it. */
static void check_accuracies(const sheet *s, const yaml *y, const char *key) {
    bool good = is_number(y);
    if (!strcmp(key, "chance") && y->kind == YAML_MAP) {
        good = true;
        for (int i = 0; i < y->n; i++) good &= is_number(y->item[i]);
    }
    if (!good)
        diag_error(s->diag, y->at, "report.%s is an accuracy from 0 to 1%s", key,
                   !strcmp(key, "chance") ? ", or one for each task: {nar: 0.03}" : "");
}

static void add_report(text_buffer *b, const sheet *s) {
    static const char *const names[] = {"figures", "tables", "solve", "chance"};
    const yaml *y = yaml_get(s->root, "report");
    if (!y) {
        buffer_add(b, "{}");
        return;
    }
    check_keys(s, y, "report", names, 4);
    for (int i = 0; y->kind == YAML_MAP && i < y->n; i++)
        if (!strcmp(y->key[i], "solve") || !strcmp(y->key[i], "chance")) {
            check_accuracies(s, y->item[i], y->key[i]);
        } else if (y->item[i]->kind != YAML_LIST) {
            diag_error(s->diag, y->item[i]->at, "report.%.100s is a list", y->key[i]);
        }
    buffer_add_yaml(b, y);
}

static void add_member(text_buffer *b, const char *key, const char *text) {
    buffer_add_json(b, key);
    buffer_add(b, ":");
    buffer_add_json(b, text);
    buffer_add(b, ",");
}

static const char *spec_json(const description *d) {
    const sheet *s = d->sheet;
    text_buffer b = {.arena = s->arena};
    const char *recipe = NULL;
    for (int i = 0; i < s->base.n; i++)
        if (!strcmp(s->base.v[i].key, "recipe")) recipe = s->base.v[i].value->text;
    buffer_add(&b, "{");
    add_member(&b, "experiment", s->experiment);
    add_member(&b, "file", s->name);
    add_member(&b, "description", leading_comment(s->arena, s->text));
    add_member(&b, "recipe", recipe);
    buffer_add(&b, "\"axes\":{");
    for (int i = 0; i < d->n; i++) {
        if (i) buffer_add(&b, ",");
        buffer_add_json(&b, d->axis[i].key);
        buffer_add(&b, ":");
        add_values(&b, d, d->axis[i].key);
    }
    buffer_add(&b, "},\"determined\":[");
    for (int i = 0; i < d->n_determined; i++) {
        if (i) buffer_add(&b, ",");
        buffer_add_json(&b, d->determined[i]);
    }
    buffer_add(&b, "],\"seeds\":");
    add_values(&b, d, s->schema->seed_key);
    buffer_add(&b, ",\"select\":");
    add_select(&b, d);
    buffer_add(&b, ",\"published\":");
    add_published(&b, s);
    buffer_add(&b, ",\"report\":");
    add_report(&b, s);
    buffer_add(&b, ",\"text\":");
    buffer_add_json(&b, s->text);
    buffer_add(&b, "}");
    return b.text;
}

void sheet_describe(sheet *s, cell_list *cells, grid *out) {
    description d = {.sheet = s, .cells = cells, .seen = map_new(s->arena)};
    if (cells->n) find_axes(&d);
    for (int i = 0; i < cells->n; i++) describe_cell(&d, i);
    const char **keys = ARENA_NEW(s->arena, const char *, d.n);
    for (int i = 0; i < d.n; i++) keys[i] = d.axis[i].key;
    *out = (grid){
        .experiment = s->experiment,
        .file = s->name,
        .cell = cells->v,
        .n = cells->n,
        .merged = (int)s->merged,
        .excluded = (int)s->excluded,
        .n_axes = d.n,
        .axis = keys,
        .seed_key = s->schema->seed_key,
        .halving = sheet_halving(s),
        .spec_json = spec_json(&d),
    };
}
