/* tabulate.c - see tabulate.h.
 *
 * A table says in its caption all that is needed to judge it alone, as tables are cut out of
 * reports: what was averaged, what the interval is, what is missing, and how rows were chosen. */
#include "tabulate.h"

#include "metric.h"
#include "stats.h"

#include <math.h>

static const double ALPHA = 0.05;
enum { MAX_SLICE_COLUMNS = 12 };

double solve_threshold(const record *r) {
    const json_t *solve = record_report(r, "solve");
    return json_is_number(solve) ? json_number_value(solve) : 0.99;
}

double trained_length(const record_run *run) { return run_number(run, "task.length"); }

/* Accuracy tasks are solved or not; language models are not. */
static bool solve_wanted(const choice *c) {
    bool lm = metric_present(c, c->split, "ppl") || metric_present(c, c->split, "bpb");
    return metric_present(c, c->split, "token_acc") && (!lm || record_report(c->record, "solve"));
}

/* ---- common columns -------------------------------------------------------------------------- */

/* First columns of every table of rows: the shown axes, or the mixer where nothing varies. */
static void axis_columns(table *t, const choice *c) {
    for (int k = 0; k < c->n_shown; k++) {
        const axis *x = &c->record->axis[c->shown[k]];
        table_column_add(t, x->name, x->key, x->numeric ? CELL_NUMBER : CELL_TEXT);
    }
    if (c->n_shown == 0) table_column_add(t, "mixer", "model.mixer", CELL_TEXT);
    t->block = c->n_block;
}

/* The value of axis number i; numbers keep their value for sorting. */
static table_cell axis_cell(arena *a, const axis *x, const variant *v, int i) {
    if (v->value[i] < 0) return cell_text("–");
    const char *shown = x->value[v->value[i]];
    return x->numeric ? cell_number(a, x->number[v->value[i]], shown) : cell_text(shown);
}

/* Fills the cells of the axes; returns their number. */
static int axis_cells(arena *a, table_cell *cell, const choice *c, const variant *v) {
    for (int k = 0; k < c->n_shown; k++)
        cell[k] = axis_cell(a, &c->record->axis[c->shown[k]], v, c->shown[k]);
    if (c->n_shown) return c->n_shown;
    cell[0] = cell_text(v->run[0]->mixer[0] ? v->run[0]->mixer : c->record->name);
    return 1;
}

/* Names of the searched axes, or of the block axes, for a sentence. */
static const char *names_of(arena *a, const choice *c, bool over) {
    text t = text_new(a);
    for (int i = 0; i < c->record->n_axis; i++) {
        const axis *x = &c->record->axis[i];
        bool take = over ? x->over : false;
        for (int k = 0; !over && k < c->n_block; k++) take |= c->shown[k] == i;
        if (take) text_add(&t, "%s%s", t.n ? ", " : "", x->name);
    }
    return t.s;
}

/* How the rows came about: the sentence every caption ends with. */
static void caption_rows(text *t, const choice *c) {
    const record *r = c->record;
    if (!r->by_name || c->search_n < 2) return;
    bool scored = false;
    for (int i = 0; i < c->n_row; i++) scored |= !isnan(c->row[i].chosen->score);
    if (!scored) {
        text_add(t,
                 " No run has a final %s %s to choose by, so the first setting of the %d of each "
                 "row is shown.",
                 r->by_split, metric_find(r->by_name).title, c->search_n);
        return;
    }
    text_add(t, " Chosen per row: %s, of %d settings, by the mean %s %s over seeds%s.",
             names_of(t->arena, c, true), c->search_n, r->by_split, metric_find(r->by_name).title,
             strcmp(r->by_split, "test") == 0
                 ? ": CHOSEN ON TEST, so the values are better than those of new data would be"
                 : "");
}

/* What a mean covers, and how many runs are missing in it. */
static void caption_samples(text *t, const choice *c) {
    int n_max = 0, unfinished = 0, failed = 0, stopped = 0;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        if (v->n_run > n_max) n_max = v->n_run;
        failed += v->n_failed;
        unfinished += v->n_run - v->n_done - v->n_failed - v->n_stopped;
        for (int k = 0; k < c->row[i].n_candidate; k++)
            stopped += c->row[i].candidate[k]->n_stopped;
    }
    if (n_max == 1)
        text_add(t, "Values of one seed on the %s split (n = 1): no interval can be given.",
                 c->split);
    else
        text_add(t,
                 "Mean over seeds on the %s split; ± is half of the 95 %% Student interval of the "
                 "mean; n = %d seeds unless a cell says n=finished/planned.",
                 c->split, n_max);
    if (failed)
        text_add(t, " %d failed or diverged %s not in the means.", failed,
                 failed == 1 ? "run is" : "runs are");
    if (stopped)
        text_add(t, " %d %s stopped early by early_terminate and %s neither as %s nor as %s.",
                 stopped, stopped == 1 ? "run was" : "runs were", stopped == 1 ? "counts" : "count",
                 stopped == 1 ? "a result" : "results", stopped == 1 ? "a failure" : "failures");
    if (unfinished)
        text_add(t, " %d %s not finished yet.", unfinished,
                 unfinished == 1 ? "run is" : "runs are");
}

/* ---- what is significantly best -------------------------------------------------------------- */

/* Values of the seeds that both samples have, in the order of s; returns their number. */
static int paired(arena *a, double **x, double **y, const sample *s, const sample *other) {
    *x = ARENA_NEW(a, double, s->n);
    *y = ARENA_NEW(a, double, s->n);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j < other->n; j++)
            if (s->seed[i] == other->seed[j]) {
                (*x)[n] = s->value[i];
                (*y)[n++] = other->value[j];
            }
    return n;
}

/* Marks best[i] for rows that are significantly better than every other row of their block.
 * Returns the number of comparisons. A row with failed or missing runs is never marked: its mean is
 * over the runs that went well. */
static int mark_best(bool *best, arena *a, const choice *c, const char *name) {
    metric m = metric_find(name);
    if (m.better == 0) return 0;
    sample *s = ARENA_NEW(a, sample, c->n_row);
    for (int i = 0; i < c->n_row; i++)
        s[i] = m.accuracy ? sample_with_failures(a, c->row[i].chosen, c->split, "", name)
                          : sample_of(a, c->row[i].chosen, c->split, "", name);
    double *p = ARENA_NEW(a, double, c->n_row);
    int *leader = ARENA_NEW(a, int, c->n_row);
    for (int i = 0; i < c->n_row; i++) {
        leader[i] = -1;
        for (int j = 0; j < c->n_row; j++)
            if (choice_same_block(c, &c->row[i], &c->row[j]) && s[j].n &&
                (leader[i] < 0 || (s[j].mean - s[leader[i]].mean) * m.better > 0))
                leader[i] = j;
    }
    for (int i = 0; i < c->n_row; i++) {
        p[i] = (double)NAN;
        if (leader[i] < 0 || leader[i] == i) continue;
        double *x, *y, difference;
        int n = paired(a, &x, &y, &s[leader[i]], &s[i]);
        p[i] = paired_p(&difference, x, y, n);
    }
    int comparisons = holm_adjust(a, p, c->n_row);
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        int rivals = 0, beaten = 0;
        for (int j = 0; j < c->n_row; j++) {
            if (j == i || leader[j] != i) continue;
            rivals++;
            beaten += p[j] < ALPHA;
        }
        best[i] = rivals > 0 && beaten == rivals && v->n_done == v->n_run;
    }
    return comparisons;
}

/* ---- the main table -------------------------------------------------------------------------- */

/* Parameters as people say them, or NULL where they are not known. */
static const char *params_text(arena *a, long params) {
    return params < 0 ? NULL : text_count(a, (double)params);
}

/* One line per row: axes, what was chosen, size, every metric, solve rate, counts. */
static table *tabulate_main(arena *a, const choice *c) {
    const record *r = c->record;
    table *t = table_new(a, "main", "Main results");
    axis_columns(t, c);
    for (int i = 0; i < r->n_axis; i++)
        if (r->axis[i].over)
            table_column_add(t, arena_printf(a, "%s (chosen)", r->axis[i].name), r->axis[i].key,
                             r->axis[i].numeric ? CELL_NUMBER : CELL_TEXT);
    table_column_add(t, "params", "params", CELL_NUMBER);
    const char *shown[16];
    int n_shown = 0, comparisons = 0, at_metric = t->n_column;
    for (int i = 0; metric_order[i]; i++)
        if (metric_present(c, c->split, metric_order[i])) shown[n_shown++] = metric_order[i];
    if (n_shown == 0) shown[n_shown++] = choice_metric(c);
    for (int i = 0; i < n_shown; i++)
        table_column_add(t, metric_find(shown[i]).title,
                         arena_printf(a, "%s/%s", c->split, shown[i]), CELL_SAMPLE);
    bool solve = solve_wanted(c), failed = false;
    double threshold = solve_threshold(r);
    if (solve) table_column_add(t, "solved", "solved", CELL_SHARE);
    for (int i = 0; i < c->n_row; i++) failed |= c->row[i].chosen->n_failed > 0;
    table_column_add(t, "seeds", "finished", CELL_NUMBER);
    if (failed) table_column_add(t, "failed", "failed", CELL_NUMBER);

    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        table_cell *cell = table_row_add(t);
        int k = axis_cells(a, cell, c, v);
        for (int x = 0; x < r->n_axis; x++)
            if (r->axis[x].over) cell[k++] = axis_cell(a, &r->axis[x], v, x);
        long params = -1;
        for (int s = 0; s < v->n_run && params < 0; s++) params = v->run[s]->params;
        cell[k++] =
            cell_number(a, params < 0 ? (double)NAN : (double)params, params_text(a, params));
        for (int m = 0; m < n_shown; m++) {
            sample s = sample_of(a, v, c->split, "", shown[m]);
            cell[k++] = cell_sample(a, &s, metric_find(shown[m]).decimals);
        }
        if (solve) {
            int solved, of;
            sample_solved(&solved, &of, v, c->split, "token_acc", threshold);
            cell[k++] = cell_share(a, solved, of);
        }
        cell[k++] = cell_number(a, v->n_done, NULL);
        if (failed) cell[k++] = cell_number(a, v->n_failed, NULL);
    }
    bool any_bold = false;
    bool *best = ARENA_NEW(a, bool, c->n_row);
    for (int m = 0; m < n_shown; m++) {
        int count = mark_best(best, a, c, shown[m]);
        if (count > comparisons) comparisons = count;
        for (int i = 0; i < c->n_row; i++) {
            t->row[i][at_metric + m].bold = best[i];
            any_bold |= best[i];
        }
    }
    text caption = text_new(a);
    caption_samples(&caption, c);
    if (solve)
        text_add(&caption,
                 " solved: finished runs with token accuracy of at least %s, of all that finished "
                 "or failed.",
                 text_real(a, threshold));
    caption_rows(&caption, c);
    if (comparisons) {
        text_add(&caption,
                 " Bold (%s): best%s%s%s and better than every other such row, paired t "
                 "test over seeds, Holm's correction over %d comparison%s per column, "
                 "5 %%, no failed run.",
                 any_bold ? "per column" : "none here", c->n_block ? " among rows of equal " : "",
                 names_of(a, c, false), c->n_block ? "," : "", comparisons,
                 comparisons == 1 ? "" : "s");
    }
    t->caption = caption.s;
    return t;
}

/* ---- slices ---------------------------------------------------------------------------------- */

typedef struct slice_mean {
    const variant *variant;
    const slice_set *set;
    const char *split, *name;
} slice_mean;

/* Is this a length that the row was evaluated on, beyond the one it was trained at? */
static bool is_longer(const slice_mean *s, int i) {
    return s->set->value[i] > trained_length(s->variant->run[0]) &&
           variant_measured(s->variant, s->split, s->set->slice[i], s->name);
}

/* Mean over the longer lengths of the row. A run that lacks one of them has none, as a mean over
 * fewer lengths would not compare with those of the other seeds. */
static double longer_mean(const record_run *run, const void *context) {
    const slice_mean *s = context;
    double sum = 0;
    int n = 0;
    for (int i = 0; i < s->set->n; i++)
        if (is_longer(s, i)) {
            sum += run_final(run, s->split, s->set->slice[i], s->name);
            n++;
        }
    return n ? sum / n : (double)NAN;
}

/* Was any row evaluated beyond the length it was trained at? */
static bool any_longer(const choice *c, const slice_set *set, const char *name) {
    for (int i = 0; i < c->n_row; i++) {
        const slice_mean s = {c->row[i].chosen, set, c->split, name};
        for (int k = 0; k < set->n; k++)
            if (is_longer(&s, k)) return true;
    }
    return false;
}

/* One line per row, one column per value of the slice; for lengths also where training was and the
 * mean beyond it. `task`: part of the name where the grid has several. */
static table *tabulate_slice(arena *a, const choice *c, const slice_set *set, const char *task) {
    bool length = strcmp(set->name, "length") == 0, same = true;
    const char *metric_name = choice_metric(c);
    metric m = metric_find(metric_name);
    double trained = trained_length(c->row[0].chosen->run[0]);
    for (int i = 0; i < c->n_row; i++) same &= trained_length(c->row[i].chosen->run[0]) == trained;
    bool beyond = length && any_longer(c, set, metric_name);
    const char *id = arena_printf(a, "by_%s", text_slug(a, set->name));
    const char *title = text_capital(a, arena_printf(a, "%s by %s", m.title, set->name));
    if (task) id = arena_printf(a, "%s_%s", id, text_slug(a, task));
    const char *common = choice_common(a, c);
    if (common[0]) title = arena_printf(a, "%s (%s)", title, common);
    table *t = table_new(a, id, title);
    axis_columns(t, c);
    if (length && !same) table_column_add(t, "trained at", "task.length", CELL_NUMBER);
    for (int i = 0; i < set->n; i++) {
        const char *shown = strchr(set->slice[i], '=') + 1;
        bool here = length && same && set->value[i] == trained;
        table_column_add(t, here ? arena_printf(a, "%s (trained)", shown) : shown, set->slice[i],
                         CELL_SAMPLE);
    }
    if (beyond) table_column_add(t, "mean longer", "mean over longer", CELL_SAMPLE);
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        table_cell *cell = table_row_add(t);
        int k = axis_cells(a, cell, c, v);
        if (length && !same) cell[k++] = cell_number(a, trained_length(v->run[0]), NULL);
        for (int s = 0; s < set->n; s++) {
            sample x = sample_of(a, v, c->split, set->slice[s], metric_name);
            cell[k++] = cell_sample(a, &x, m.decimals);
        }
        if (beyond) {
            slice_mean context = {v, set, c->split, metric_name};
            sample x = sample_map(a, v, false, longer_mean, &context);
            cell[k++] = cell_sample(a, &x, m.decimals);
        }
    }
    text caption = text_new(a);
    caption_samples(&caption, c);
    if (beyond)
        text_put(&caption, " mean longer: mean over the lengths beyond the trained one, per seed "
                           "first, then over seeds.");
    caption_rows(&caption, c);
    t->caption = caption.s;
    return t;
}

/* ---- aggregate over blocks ------------------------------------------------------------------- */

/* Equal in everything but the block axes? */
static bool same_method(const choice *c, const variant *x, const variant *y) {
    for (int k = c->n_block; k < c->n_shown; k++)
        if (x->value[c->shown[k]] != y->value[c->shown[k]]) return false;
    return true;
}

/* Under how many conditions the grid has the method of row i. */
static int n_conditions(const choice *c, int i) {
    int n = 0;
    for (int j = 0; j < c->n_row; j++) n += same_method(c, c->row[i].chosen, c->row[j].chosen);
    return n;
}

/* Interquartile means over everything that is measured. Only methods that were run under every
 * condition can be compared so: a mean over the easy ones would win. NULL when fewer than two are
 * left, or when there is one condition only. */
static table *tabulate_aggregate(arena *a, const choice *c) {
    const char *name = choice_metric(c);
    metric m = metric_find(name);
    int conditions = 0, left_out = 0;
    for (int i = 0; i < c->n_row; i++)
        conditions = n_conditions(c, i) > conditions ? n_conditions(c, i) : conditions;
    if (conditions < 2 || c->n_block == c->n_shown || !m.accuracy) return NULL;
    table *t = table_new(a, "aggregate", "Over all conditions");
    for (int k = c->n_block; k < c->n_shown; k++) {
        const axis *x = &c->record->axis[c->shown[k]];
        table_column_add(t, x->name, x->key, x->numeric ? CELL_NUMBER : CELL_TEXT);
    }
    table_column_add(t, arena_printf(a, "IQM of %s", m.title), "iqm", CELL_SAMPLE);
    table_column_add(t, "95 % interval", "interval", CELL_TEXT);
    table_column_add(t, "conditions", "conditions", CELL_NUMBER);
    table_column_add(t, "runs", "n", CELL_NUMBER);
    bool *seen = ARENA_NEW(a, bool, c->n_row);
    for (int i = 0; i < c->n_row; i++) {
        if (seen[i]) continue;
        if (n_conditions(c, i) < conditions) {
            left_out++;
            continue;
        }
        double *x = ARENA_NEW(a, double, c->record->n_run);
        int *size = ARENA_NEW(a, int, c->n_row), n = 0, strata = 0;
        for (int j = i; j < c->n_row; j++) {
            if (!same_method(c, c->row[i].chosen, c->row[j].chosen)) continue;
            seen[j] = true;
            sample s = sample_with_failures(a, c->row[j].chosen, c->split, "", name);
            if (s.n == 0) continue;
            memcpy(x + n, s.value, sizeof *x * (size_t)s.n);
            n += s.n;
            size[strata++] = s.n;
        }
        table_cell *cell = table_row_add(t);
        int at = 0;
        for (int k = c->n_block; k < c->n_shown; k++)
            cell[at++] = axis_cell(a, &c->record->axis[c->shown[k]], c->row[i].chosen, c->shown[k]);
        interval w = iqm_interval(a, x, size, strata);
        double iqm = stat_iqm(a, x, n);
        cell[at++] = (table_cell){.kind = CELL_SAMPLE,
                                  .text = n ? arena_printf(a, "%.*f", m.decimals, iqm) : "–",
                                  .value = iqm,
                                  .low = w.low,
                                  .high = w.high,
                                  .sd = stat_sd(x, n),
                                  .n = n,
                                  .n_run = n};
        cell[at++] = cell_text(
            isnan(w.low) ? "–"
                         : arena_printf(a, "%.*f – %.*f", m.decimals, w.low, m.decimals, w.high));
        cell[at++] = cell_number(a, strata, NULL);
        cell[at++] = cell_number(a, n, NULL);
    }
    text caption = text_new(a);
    text_add(&caption,
             "Interquartile mean over every %s and seed on the %s split; a failed or diverged run "
             "counts as 0. Percentile bootstrap interval (2000 resamples of the seeds inside each "
             "condition, drawn from the data's own key).",
             names_of(a, c, false), c->split);
    if (left_out)
        text_add(&caption, " %d %s not run under all %d conditions %s left out.", left_out,
                 left_out == 1 ? "row" : "rows", conditions, left_out == 1 ? "is" : "are");
    caption_rows(&caption, c);
    t->caption = caption.s;
    return t->n_row > 1 ? t : NULL;
}

static void list_add(table_list *list, arena *a, table *t) {
    ARENA_GROW(a, list->table, list->n, list->cap);
    list->table[list->n++] = t;
}

/* Is the task of row i that of an earlier row? */
static bool task_seen(const choice *c, int i) {
    for (int k = 0; k < i; k++)
        if (strcmp(row_task(&c->row[k]), row_task(&c->row[i])) == 0) return true;
    return false;
}

/* The tables along one slice, task by task; those with too many columns for a page are left to the
 * figures. */
static void list_slices(table_list *list, arena *a, const choice *c, const slice_set *set) {
    bool one_task = true;
    for (int i = 1; i < c->n_row; i++) one_task &= task_seen(c, i);
    for (int i = 0; i < c->n_row; i++) {
        const char *task = row_task(&c->row[i]);
        slice_set values;
        if (task_seen(c, i)) continue;
        const choice *part = slice_part(&values, a, c, set, task);
        if (!part || values.n > MAX_SLICE_COLUMNS) continue;
        list_add(list, a, tabulate_slice(a, part, &values, one_task ? NULL : task));
    }
}

/* Every table the data allow. */
static table_list tabulate_all(arena *a, const choice *c) {
    table_list list = {0};
    slice_list slices = slices_find(a, c);
    table *aggregate = tabulate_aggregate(a, c);
    list_add(&list, a, tabulate_main(a, c));
    if (aggregate) list_add(&list, a, aggregate);
    for (int i = 0; i < slices.n; i++) list_slices(&list, a, c, &slices.set[i]);
    return list;
}

/* Is it the table itself, or that of one task? */
static bool is_called(const char *id, const char *asked) {
    const size_t n = strlen(asked);
    return strncmp(id, asked, n) == 0 &&
           (id[n] == 0 || (id[n] == '_' && strncmp(asked, "by_", 3) == 0));
}

status tabulate(table_list *out, arena *a, const choice *c, error *e) {
    table_list all = tabulate_all(a, c);
    /* A grid of several tasks has by_length_nar and by_length_mqar; by_length asks for both. */
    const json_t *asked = record_report(c->record, "tables"), *item;
    *out = all;
    if (json_array_size(asked) == 0) return STATUS_OK;
    *out = (table_list){0};
    text ids = text_new(a);
    for (int k = 0; k < all.n; k++) text_add(&ids, "%s%s", k ? ", " : "", all.table[k]->id);
    size_t i;
    json_array_foreach(asked, i, item) {
        const char *id = json_string_value(item);
        const int before = out->n;
        for (int k = 0; id && k < all.n; k++)
            if (is_called(all.table[k]->id, id)) list_add(out, a, all.table[k]);
        if (out->n == before)
            return error_set(e, STATUS_USAGE,
                             "report.tables[%d] of experiment '%s' is '%s', but its tables are: "
                             "%s.",
                             (int)i, c->record->name, id ? id : "(not text)", ids.s);
    }
    return STATUS_OK;
}
