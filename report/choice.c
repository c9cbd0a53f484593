/* choice.c - see choice.h.
 *
 * Searches are linear: there are as many variants as rows in a table for people, and the order in
 * which they are found is the order of the grid, which a hash table would not keep. */
#include "choice.h"

#include "metric.h"
#include "stats.h"
#include "text.h"

#include <math.h>

bool axis_shown(const axis *x) { return !x->seed && !x->over && (x->n > 1 || x->partial); }

/* Are x and y [n_axis] equal but for the seed, and but for searched axes where these are ignored?
 * */
static bool same_values(const record *r, const int *x, const int *y, bool ignore_over) {
    for (int i = 0; i < r->n_axis; i++)
        if (!r->axis[i].seed && !(ignore_over && r->axis[i].over) && x[i] != y[i]) return false;
    return true;
}

/* Order of rows: by the shown axes, block axes first. */
static int compare_rows(const choice *c, const int *x, const int *y) {
    for (int k = 0; k < c->n_shown; k++) {
        int i = c->shown[k];
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}

/* Splits the shown axes into block axes and method axes; `sizes`: numeric axes are block axes. */
static void axes_order(choice *c, bool sizes) {
    const record *r = c->record;
    c->n_shown = c->n_block = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < r->n_axis; i++) {
            const axis *x = &r->axis[i];
            bool block = x->task_side || (sizes && x->numeric && !x->partial);
            if (!axis_shown(x) || block != (pass == 0)) continue;
            c->shown[c->n_shown++] = i;
            c->n_block += block;
        }
}

bool choice_same_block(const choice *c, const choice_row *x, const choice_row *y) {
    for (int k = 0; k < c->n_block; k++)
        if (x->chosen->value[c->shown[k]] != y->chosen->value[c->shown[k]]) return false;
    return true;
}

/* The variant with these values, made where it is new. O(n_variant * n_axis). */
static variant *variant_get(choice *c, arena *a, const int *value) {
    const record *r = c->record;
    for (int i = 0; i < c->n_variant; i++)
        if (same_values(r, c->variant[i].value, value, false)) return &c->variant[i];
    int *copy = ARENA_NEW(a, int, r->n_axis);
    for (int i = 0; i < r->n_axis; i++) copy[i] = r->axis[i].seed ? -1 : value[i];
    variant *v = &c->variant[c->n_variant++];
    *v = (variant){.value = copy, .score = (double)NAN};
    return v;
}

/* Adds a run, in the order of seeds; a run that stands in two cells counts once. */
static void variant_add(arena *a, variant *v, const record_run *run) {
    for (int i = 0; i < v->n_run; i++)
        if (v->run[i] == run) return;
    ARENA_GROW(a, v->run, v->n_run, v->cap_run);
    int i = v->n_run++;
    for (; i > 0 && v->run[i - 1]->seed > run->seed; i--) v->run[i] = v->run[i - 1];
    v->run[i] = run;
    v->n_done += run->state == RUN_DONE;
    v->n_failed += run_failed(run);
    v->n_stopped += run->state == RUN_CANCELLED;
}

sample sample_map(arena *a, const variant *v, bool failures_are_0,
                  double (*value)(const record_run *, const void *), const void *context) {
    sample s = {.n_run = v->n_run, .n_failed = v->n_failed};
    s.value = ARENA_NEW(a, double, v->n_run);
    s.seed = ARENA_NEW(a, long, v->n_run);
    bool absent = v->n_done > 0;
    for (int i = 0; i < v->n_run; i++) {
        const record_run *run = v->run[i];
        double x = (double)NAN;
        if (run->state == RUN_DONE) {
            x = value(run, context);
            absent &= isnan(x);
        }
        if (failures_are_0 && run_failed(run)) x = 0;
        if (!isfinite(x)) continue;
        s.seed[s.n] = run->seed;
        s.value[s.n++] = x;
    }
    s.absent = absent;
    s.mean = stat_mean(s.value, s.n);
    s.sd = stat_sd(s.value, s.n);
    s.half = t_half_width(s.value, s.n);
    return s;
}

typedef struct final_key {
    const char *split, *slice, *name;
} final_key;

/* value() of sample_map for one final value. */
static double final_value(const record_run *run, const void *context) {
    const final_key *k = context;
    return run_final(run, k->split, k->slice, k->name);
}

bool variant_measured(const variant *v, const char *split, const char *slice, const char *name) {
    for (int i = 0; i < v->n_run; i++)
        if (run_has_final(v->run[i], split, slice, name)) return true;
    return false;
}

sample sample_of(arena *a, const variant *v, const char *split, const char *slice,
                 const char *name) {
    return sample_map(a, v, false, final_value, &(final_key){split, slice, name});
}

sample sample_with_failures(arena *a, const variant *v, const char *split, const char *slice,
                            const char *name) {
    return sample_map(a, v, true, final_value, &(final_key){split, slice, name});
}

void sample_solved(int *solved, int *of, const variant *v, const char *split, const char *name,
                   double threshold) {
    *solved = 0;
    *of = v->n_done + v->n_failed;
    for (int i = 0; i < v->n_run; i++)
        *solved +=
            v->run[i]->state == RUN_DONE && run_final(v->run[i], split, "", name) >= threshold;
}

/* Is x better than y? Missing scores lose; see the head of choice.h. */
static bool beats(const record *r, arena *a, const variant *x, const variant *y) {
    if (isnan(x->score) || isnan(y->score)) return !isnan(x->score);
    if (!metric_find(r->by_name).accuracy && x->n_failed != y->n_failed)
        return x->n_failed < y->n_failed;
    if (x->score < y->score || x->score > y->score) return (x->score > y->score) == r->by_max;
    double x_loss = sample_of(a, x, r->by_split, r->by_slice, "loss").mean;
    double y_loss = sample_of(a, y, r->by_split, r->by_slice, "loss").mean;
    return x_loss < y_loss;
}

/* Scores every candidate on the split of `select:` and keeps the best; without `select:` there is
 * one candidate. */
static void choose(choice *c, arena *a, choice_row *row) {
    const record *r = c->record;
    row->chosen = row->candidate[0];
    if (!r->by_name) return;
    bool accuracy = metric_find(r->by_name).accuracy;
    for (int i = 0; i < row->n_candidate; i++) {
        variant *v = row->candidate[i];
        sample s = accuracy ? sample_with_failures(a, v, r->by_split, r->by_slice, r->by_name)
                            : sample_of(a, v, r->by_split, r->by_slice, r->by_name);
        v->score = s.mean;
        if (i && beats(r, a, v, row->chosen)) row->chosen = v;
    }
}

/* Groups variants into rows, inserted in the order of rows, so that blocks are contiguous. */
static void rows_make(choice *c, arena *a) {
    const record *r = c->record;
    for (int i = 0; i < c->n_variant; i++) {
        int at = 0;
        while (at < c->n_row &&
               compare_rows(c, c->row[at].candidate[0]->value, c->variant[i].value) < 0)
            at++;
        if (at == c->n_row ||
            !same_values(r, c->row[at].candidate[0]->value, c->variant[i].value, true)) {
            ARENA_GROW(a, c->row, c->n_row, c->cap_row);
            for (int k = c->n_row++; k > at; k--) c->row[k] = c->row[k - 1];
            c->row[at] = (choice_row){0};
        }
        choice_row *row = &c->row[at];
        ARENA_GROW(a, row->candidate, row->n_candidate, row->cap_candidate);
        row->candidate[row->n_candidate++] = &c->variant[i];
    }
}

choice *choice_make(arena *a, const record *r) {
    choice *c = ARENA_NEW(a, choice, 1);
    c->record = r;
    c->variant = ARENA_NEW(a, variant, r->n_cell);
    for (int i = 0; i < r->n_cell; i++)
        variant_add(a, variant_get(c, a, r->cell[i].value), r->cell[i].run);
    c->shown = ARENA_NEW(a, int, r->n_axis);
    axes_order(c, true);
    /* With sizes alone there is nothing to compare inside a block: compare the sizes then. */
    if (c->n_block == c->n_shown) axes_order(c, false);
    rows_make(c, a);
    for (int i = 0; i < c->n_row; i++) {
        choose(c, a, &c->row[i]);
        if (c->row[i].n_candidate > c->search_n) c->search_n = c->row[i].n_candidate;
    }
    c->split = "val";
    for (int i = 0; i < r->n_run; i++)
        for (int k = 0; k < r->run[i].n_final; k++)
            if (strcmp(r->run[i].final[k].split, "test") == 0) c->split = "test";
    return c;
}

const char *row_task(const choice_row *row) { return row->chosen->run[0]->task; }

/* Do the rows differ in axis i? That some lack it is a difference. */
static bool rows_differ(const choice *c, int i) {
    for (int k = 1; k < c->n_row; k++)
        if (c->row[k].chosen->value[i] != c->row[0].chosen->value[i]) return true;
    return false;
}

choice *choice_part(arena *a, const choice *c, const bool *keep) {
    choice *out = ARENA_NEW(a, choice, 1);
    *out = *c;
    out->row = ARENA_NEW(a, choice_row, c->n_row);
    out->shown = ARENA_NEW(a, int, c->n_shown);
    out->n_row = out->n_shown = out->n_block = out->search_n = 0;
    for (int i = 0; i < c->n_row; i++) {
        if (!keep[i]) continue;
        out->row[out->n_row++] = c->row[i];
        if (c->row[i].n_candidate > out->search_n) out->search_n = c->row[i].n_candidate;
    }
    for (int k = 0; k < c->n_shown; k++) {
        if (!rows_differ(out, c->shown[k])) {
            out->fixed |= AXIS_BIT(c->shown[k]);
            continue;
        }
        out->shown[out->n_shown++] = c->shown[k];
        out->n_block += k < c->n_block;
    }
    return out;
}

/* Appends "width = 3"; nothing where the axis is absent. */
static void label_add(text *t, const axis *x, int value) {
    if (value < 0) return;
    bool bare = strcmp(x->key, "model.mixer") == 0 || strcmp(x->key, "task.name") == 0;
    text_add(t, "%s%s%s%s", t->n ? ", " : "", bare ? "" : x->name, bare ? "" : " = ",
             x->value[value]);
}

const char *variant_label(arena *a, const choice *c, const variant *v, unsigned long skip) {
    text t = text_new(a);
    for (int k = 0; k < c->n_shown; k++) {
        int i = c->shown[(k + c->n_block) % c->n_shown];
        if (!(skip >> i & 1)) label_add(&t, &c->record->axis[i], v->value[i]);
    }
    return t.s;
}

const char *choice_common(arena *a, const choice *c) {
    text t = text_new(a);
    for (int i = 0; i < c->record->n_axis; i++)
        if (c->fixed >> i & 1) label_add(&t, &c->record->axis[i], c->row[0].chosen->value[i]);
    return t.s;
}
