/* slices.c - see slices.h.
 *
 * A slice is known by its name in the database ("length=64"), not by the task that made it, so a
 * new task needs no line here. */
#include "slices.h"

#include "metric.h"
#include "text.h"

#include <math.h>

bool metric_present(const choice *c, const char *split, const char *name) {
    for (int i = 0; i < c->record->n_run; i++)
        if (run_has_final(&c->record->run[i], split, "", name)) return true;
    return false;
}

const char *choice_metric(const choice *c) {
    /* Language models are compared by perplexity. */
    if (metric_present(c, c->split, "ppl")) return "ppl";
    if (metric_present(c, c->split, "bpb")) return "bpb";
    for (int i = 0; metric_order[i]; i++)
        if (metric_present(c, c->split, metric_order[i])) return metric_order[i];
    for (int i = 0; i < c->record->n_run; i++)
        for (int k = 0; k < c->record->run[i].n_final; k++)
            if (strcmp(c->record->run[i].final[k].split, c->split) == 0)
                return c->record->run[i].final[k].name;
    return "loss";
}

/* Adds "name=number" to the set of that name, in ascending order; slices of other forms are left
 * out. */
static void slice_add(arena *a, slice_list *list, const char *slice) {
    const char *equal = strchr(slice, '=');
    if (!equal || equal == slice) return;
    char *end;
    double value = strtod(equal + 1, &end);
    if (end == equal + 1 || *end || !isfinite(value)) return;
    const char *name = arena_printf(a, "%.*s", (int)(equal - slice), slice);
    slice_set *set = NULL;
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->set[i].name, name) == 0) set = &list->set[i];
    if (!set) {
        ARENA_GROW(a, list->set, list->n, list->cap);
        /* Length is the figure people come for. */
        int place = strcmp(name, "length") == 0 ? 0 : list->n;
        for (int k = list->n++; k > place; k--) list->set[k] = list->set[k - 1];
        set = &list->set[place];
        *set = (slice_set){.name = name};
    }
    int at = 0;
    while (at < set->n && set->value[at] < value) at++;
    if (at < set->n && strcmp(set->slice[at], slice) == 0) return;
    int cap = set->cap;
    ARENA_GROW(a, set->slice, set->n, cap);
    ARENA_GROW(a, set->value, set->n, set->cap);
    for (int k = set->n++; k > at; k--) {
        set->slice[k] = set->slice[k - 1];
        set->value[k] = set->value[k - 1];
    }
    set->slice[at] = slice;
    set->value[at] = value;
}

slice_list slices_find(arena *a, const choice *c) {
    slice_list list = {0};
    const char *name = choice_metric(c), *last = "";
    for (int i = 0; i < c->record->n_run; i++)
        for (int k = 0; k < c->record->run[i].n_final; k++) {
            const record_final *f = &c->record->run[i].final[k];
            if (strcmp(f->split, c->split) != 0 || strcmp(f->name, name) != 0) continue;
            if (f->slice[0] && strcmp(f->slice, last) != 0) slice_add(a, &list, f->slice);
            last = f->slice;
        }
    return list;
}

/* How many values of the slice a row was evaluated on. */
static int values_of(const choice *c, const slice_set *set, const choice_row *row) {
    const char *name = choice_metric(c);
    int n = 0;
    for (int k = 0; k < set->n; k++)
        n += variant_measured(row->chosen, c->split, set->slice[k], name);
    return n;
}

/* Has any row of the task two values of the slice? */
static bool task_has(const choice *c, const slice_set *set, const char *task) {
    for (int i = 0; i < c->n_row; i++)
        if (strcmp(row_task(&c->row[i]), task) == 0 && values_of(c, set, &c->row[i]) > 1)
            return true;
    return false;
}

/* The values that at least one row has. */
static slice_set values_present(arena *a, const choice *c, const slice_set *set) {
    slice_set out = {.name = set->name};
    out.slice = ARENA_NEW(a, const char *, set->n);
    out.value = ARENA_NEW(a, double, set->n);
    for (int k = 0; k < set->n; k++) {
        bool present = false;
        for (int i = 0; i < c->n_row; i++)
            present |=
                variant_measured(c->row[i].chosen, c->split, set->slice[k], choice_metric(c));
        if (!present) continue;
        out.slice[out.n] = set->slice[k];
        out.value[out.n++] = set->value[k];
    }
    return out;
}

choice *slice_part(slice_set *out, arena *a, const choice *c, const slice_set *set,
                   const char *task) {
    bool *keep = ARENA_NEW(a, bool, c->n_row), any = false;
    for (int i = 0; i < c->n_row; i++) {
        const choice_row *row = &c->row[i];
        if (task && strcmp(row_task(row), task) != 0) continue;
        keep[i] = task_has(c, set, row_task(row)) &&
                  (values_of(c, set, row) > 1 || row->chosen->n_done == 0);
        any |= keep[i];
    }
    if (!any) return NULL;
    choice *part = choice_part(a, c, keep);
    *out = values_present(a, part, set);
    return part;
}
