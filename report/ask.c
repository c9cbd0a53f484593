/* ask.c - the requests: what is drawn when nobody asked, and what the grid file asks for. See
 * request.h. */
#include "request.h"

#include "metric.h"

#include <math.h>

/* ---- what is drawn when nobody asked --------------------------------------------------------- */

/* A figure against a fact needs values that differ by a quarter under one condition: sizes that
 * differ between tasks, or by a bias, are no axis to look along. */
static bool fact_varies(const choice *c, const char *fact) {
    for (int i = 0; i < c->n_row; i++)
        for (int j = 0; j < c->n_row; j++) {
            const double x = run_fact(c->row[i].chosen->run[0], fact);
            const double y = run_fact(c->row[j].chosen->run[0], fact);
            if (choice_same_block(c, &c->row[i], &c->row[j]) && x > 0 && y >= 1.25 * x) return true;
        }
    return false;
}

typedef struct asker {
    figure_list *out;
    arena *arena;
    const choice *choice;
    sqlite3 *db;
} asker;

/* Draws q, with the report's own split and metric where q names none. */
static status draw(const asker *k, const char *title, request q, error *e) {
    if (!q.split) q.split = k->choice->split;
    if (!q.name) q.name = choice_metric(k->choice);
    return request_draw(k->out, k->arena, k->choice, k->db, &q, title, e);
}

/* Against length first, then against what the task slices by; of the rows that have the slice. */
static status draw_slices(const asker *k, const char *what, bool *any_line, error *e) {
    slice_list slices = slices_find(k->arena, k->choice);
    for (int i = 0; i < slices.n; i++) {
        slice_set *set = ARENA_NEW(k->arena, slice_set, 1);
        asker part = *k;
        part.choice = slice_part(set, k->arena, k->choice, &slices.set[i], NULL);
        if (!part.choice) continue;
        bool length = strcmp(set->name, "length") == 0;
        *any_line |= length;
        request q = {.kind = length ? "accuracy_vs_length" : "accuracy_vs_slice",
                     .id = arena_printf(k->arena, "vs_%s", text_slug(k->arena, set->name)),
                     .slices = set};
        const char *title =
            arena_printf(k->arena, "%s against %s", what, length ? "sequence length" : set->name);
        const char *common = choice_common(k->arena, part.choice);
        if (common[0]) title = arena_printf(k->arena, "%s (%s)", title, common);
        if (draw(&part, title, q, e)) return e->code;
    }
    return STATUS_OK;
}

/* Against every numeric axis with at least three values; two are a comparison, not a curve. */
static status draw_axes(const asker *k, const char *what, bool *any_line, error *e) {
    const choice *c = k->choice;
    for (int i = 0; i < c->n_shown; i++) {
        const axis *x = &c->record->axis[c->shown[i]];
        if (!x->numeric || x->n < 3) continue;
        *any_line = true;
        request q = {.kind = "vs_axis",
                     .id = arena_printf(k->arena, "vs_axis_%s", text_slug(k->arena, x->name)),
                     .x = x};
        if (draw(k, arena_printf(k->arena, "%s against %s", what, x->name), q, e)) return e->code;
    }
    return STATUS_OK;
}

/* One figure for each searched axis. A choice at the edge of its range is the first thing a reader
 * must spot, and it can be at the edge of any of them. */
static status draw_search(const asker *k, error *e) {
    const record *r = k->choice->record;
    for (int i = 0; i < r->n_axis; i++) {
        const axis *x = &r->axis[i];
        if (!x->over || !x->numeric || x->n < 2 || !r->by_name) continue;
        request q = {.kind = "search",
                     .id = arena_printf(k->arena, "search_%s", text_slug(k->arena, x->name)),
                     .x = x,
                     .split = r->by_split,
                     .name = r->by_name};
        if (draw(k, arena_printf(k->arena, "Search over %s", x->name), q, e)) return e->code;
    }
    return STATUS_OK;
}

/* The figures of a report whose grid file asks for none. */
static status draw_default(const asker *k, error *e) {
    arena *a = k->arena;
    const choice *c = k->choice;
    metric m = metric_find(choice_metric(c));
    const char *what = text_capital(a, m.title);
    bool any_line = false;
    if (draw_slices(k, what, &any_line, e) || draw_axes(k, what, &any_line, e)) return e->code;
    /* Methods side by side: where they are few enough to stand under each other's names. */
    if ((!any_line || c->n_shown > c->n_block) && c->n_row <= 36)
        draw(k, arena_printf(a, "%s by method", what), (request){.kind = "bars", .id = "bars"}, e);
    if (!e->code && fact_varies(c, "state_size"))
        draw(k, arena_printf(a, "%s against state size", what),
             (request){.kind = "vs_fact", .id = "vs_state_size", .x_fact = "state_size"}, e);
    if (!e->code) draw_search(k, e);
    if (!e->code)
        draw(k, "Training loss",
             (request){.kind = "loss_curve", .id = "train_loss", .split = "train", .name = "loss"},
             e);
    if (!e->code)
        draw(k, arena_printf(a, "Validation %s", m.title),
             (request){.kind = "loss_curve", .id = "val_curve", .split = "val"}, e);
    return e->code;
}

/* ---- what the grid file asks for ------------------------------------------------------------- */

/* Names of axes, one or a list, as bits. */
static status axis_bits(unsigned long *bits, const choice *c, const json_t *names, int entry,
                        const char *field, error *e) {
    size_t n = json_is_array(names) ? json_array_size(names) : json_is_string(names);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(names) ? json_array_get(names, i) : names;
        const char *key = json_string_value(item);
        const axis *x = key ? record_axis(c->record, key) : NULL;
        if (!x)
            return error_set(e, STATUS_USAGE,
                             "report.figures[%d].%s names '%s', which is not an axis of experiment "
                             "'%s'; mixgrid report --print axes lists them.",
                             entry, field, key ? key : "(not text)", c->record->name);
        *bits |= AXIS_BIT(x - c->record->axis);
    }
    return STATUS_OK;
}

/* The sentence that lists the kinds. */
static status unknown_kind(const char *kind, int entry, error *e) {
    return error_set(e, STATUS_USAGE,
                     "report.figures[%d].kind is '%s', but must be accuracy_vs_length, "
                     "accuracy_vs_slice, vs_axis, search, loss_curve, bars or heatmap.",
                     entry, kind ? kind : "(missing)");
}

/* One entry of report.figures; everything it names is looked up before anything is drawn. */
static status draw_entry(figure_list *out, arena *a, const choice *c, sqlite3 *db,
                         const json_t *json, int entry, error *e) {
    const char *kind = json_string_value(json_object_get(json, "kind"));
    const char *x = json_string_value(json_object_get(json, "x"));
    const char *y = json_string_value(json_object_get(json, "y"));
    const char *title = json_string_value(json_object_get(json, "title"));
    request q = {.split = c->split, .name = choice_metric(c), .chosen_by_user = true};
    q.kind = request_kind(kind);
    if (!q.kind) return unknown_kind(kind, entry, e);
    if (strcmp(q.kind, "loss_curve") == 0) {
        q.split = "train";
        q.name = "loss";
    }
    if (y && strchr(y, '/')) {
        q.split = arena_printf(a, "%.*s", (int)strcspn(y, "/"), y);
        q.name = arena_text(a, strrchr(y, '/') + 1);
    } else if (y) {
        q.name = arena_text(a, y);
    }
    bool by_slice = strncmp(q.kind, "accuracy_vs", 11) == 0;
    slice_list *slices = ARENA_NEW(a, slice_list, 1);
    *slices = slices_find(a, c);
    const char *slice = by_slice ? (x ? x : "length") : "";
    for (int i = 0; i < slices->n; i++)
        if (strcmp(slices->set[i].name, slice) == 0) q.slices = &slices->set[i];
    if (by_slice && !q.slices)
        return error_set(e, STATUS_USAGE,
                         "report.figures[%d] draws against '%s', but no run has values for it; add "
                         "eval.lengths to the grid file, or name one of the task's slices in x.",
                         entry, slice);
    if (strcmp(q.kind, "vs_axis") == 0 && x &&
        (strcmp(x, "state_size") == 0 || strcmp(x, "params") == 0)) {
        q.kind = "vs_fact";
        q.x_fact = arena_text(a, x);
    } else if (!by_slice && x) {
        const axis *found = record_axis(c->record, x);
        if (!found || !found->n)
            return error_set(e, STATUS_USAGE,
                             "report.figures[%d].x is '%s', which is not an axis of experiment "
                             "'%s', nor state_size or params.",
                             entry, x, c->record->name);
        q.x = found;
    }
    bool needs_x = strcmp(q.kind, "vs_axis") == 0 || strcmp(q.kind, "search") == 0 ||
                   strcmp(q.kind, "heatmap") == 0;
    bool needs_number = needs_x && strcmp(q.kind, "heatmap") != 0;
    if (needs_x && (!q.x || (needs_number && !q.x->numeric)))
        return error_set(e, STATUS_USAGE, "report.figures[%d] of kind %s needs x: an axis%s.",
                         entry, q.kind, needs_number ? " of numbers" : "");
    if (axis_bits(&q.series, c, json_object_get(json, "series"), entry, "series", e) ||
        axis_bits(&q.panel, c, json_object_get(json, "panel"), entry, "panel", e))
        return e->code;
    q.id = arena_printf(a, "figure_%d_%s", entry + 1, q.kind);
    const char *what = text_capital(a, metric_find(q.name).title);
    if (!title)
        title = x || by_slice
                    ? arena_printf(a, "%s against %s", what, x ? x : "sequence length")
                    : arena_printf(a, "%s %s", text_capital(a, q.split), metric_find(q.name).title);
    return request_draw(out, a, c, db, &q, arena_text(a, title), e);
}

status draw_figures(figure_list *out, arena *a, const choice *c, sqlite3 *db, error *e) {
    *out = (figure_list){0};
    const json_t *asked = record_report(c->record, "figures"), *json;
    if (json_array_size(asked) == 0) return draw_default(&(asker){out, a, c, db}, e);
    size_t i;
    json_array_foreach(asked, i, json) {
        if (draw_entry(out, a, c, db, json, (int)i, e)) return e->code;
    }
    return STATUS_OK;
}
