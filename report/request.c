/* request.c - one figure from one request; see request.h.
 *
 * Every figure is filled the same way: each row (or searched variant) belongs to one series of one
 * panel (panels.c) and adds its points there. */
#include "panels.h"

#include "metric.h"

#include <math.h>

enum { CURVE_POINTS = 160 };

/* ---- kinds ----------------------------------------------------------------------------------- */

/* x: the value of a slice, length or another; the trained length is marked. */
static status fill_slice(plan *p, error *e) {
    (void)e;
    const choice *c = p->choice;
    const request *q = p->q;
    const bool length = strcmp(q->slices->name, "length") == 0;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        for (int k = 0; k < q->slices->n; k++) {
            sample y = sample_of(p->arena, v, q->split, q->slices->slice[k], q->name);
            add_sample(p, v, q->slices->value[k], &y);
            if (length && y.n) panel_of(p, v)->mark = trained_length(v->run[0]);
        }
    }
    p->f->x_scale = length ? SCALE_LOG2 : figure_scale_of(q->slices->value, q->slices->n);
    set_own_ticks(p);
    p->f->mark_label = length ? "trained" : NULL;
    p->f->x_label = length ? "sequence length (tokens)" : q->slices->name;
    return STATUS_OK;
}

/* x: a numeric axis; rows without it have no point. */
static status fill_axis(plan *p, error *e) {
    (void)e;
    const choice *c = p->choice;
    const axis *x = p->q->x;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        int value = v->value[x - c->record->axis];
        if (value < 0) continue;
        sample y = sample_of(p->arena, v, p->q->split, "", p->q->name);
        add_sample(p, v, x->number[value], &y);
    }
    set_ticks(p, x->number, x->n);
    p->f->x_label = x->name;
    return STATUS_OK;
}

/* Every candidate of the search, on the split that chose. Where several axes were searched, the
 * best of the others stands for a value of x. */
static status fill_search(plan *p, error *e) {
    (void)e;
    const choice *c = p->choice;
    const record *r = c->record;
    const axis *x = p->q->x;
    for (int i = 0; i < c->n_row; i++)
        for (int value = 0; value < x->n; value++) {
            const variant *best = NULL;
            for (int k = 0; k < c->row[i].n_candidate; k++) {
                const variant *v = c->row[i].candidate[k];
                if (v->value[x - r->axis] != value) continue;
                bool better = best && (r->by_max ? v->score > best->score : v->score < best->score);
                if (!best || better) best = v;
            }
            if (!best) continue;
            sample y = metric_find(p->q->name).accuracy
                           ? sample_with_failures(p->arena, best, p->q->split, "", p->q->name)
                           : sample_of(p->arena, best, p->q->split, "", p->q->name);
            y.half = (double)NAN;
            add_sample(p, c->row[i].chosen, x->number[value], &y);
        }
    set_ticks(p, x->number, x->n);
    p->f->x_label = x->name;
    return STATUS_OK;
}

double run_fact(const record_run *run, const char *fact) {
    if (strcmp(fact, "params") == 0) return run->params < 0 ? (double)NAN : (double)run->params;
    return run->state_size;
}

/* x: a fact of the run; points of one series are joined in the order of size. */
static status fill_fact(plan *p, error *e) {
    (void)e;
    const choice *c = p->choice;
    double *at = ARENA_NEW(p->arena, double, c->n_row);
    int n = 0;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        double x = run_fact(v->run[0], p->q->x_fact);
        if (!isfinite(x) || x <= 0) continue;
        sample y = sample_of(p->arena, v, p->q->split, "", p->q->name);
        add_sample(p, v, x, &y);
        int k = n++;
        for (; k > 0 && at[k - 1] > x; k--) at[k] = at[k - 1];
        at[k] = x;
    }
    int distinct = 0;
    for (int i = 0; i < n; i++)
        if (distinct == 0 || at[i] > at[distinct - 1]) at[distinct++] = at[i];
    set_ticks(p, at, distinct);
    for (int i = 0; i < p->f->n; i++)
        for (int k = 0; k < p->f->panel[i].n_x_tick; k++)
            p->f->panel[i].x_tick[k].label = text_count(p->arena, at[k]);
    p->f->kind = FIGURE_POINTS;
    p->f->x_label =
        strcmp(p->q->x_fact, "params") == 0 ? "parameters" : "state size (numbers per sequence)";
    return STATUS_OK;
}

/* ---- curves ---------------------------------------------------------------------------------- */

/* Value at `step`: the last logged at or before it; a run that stopped early keeps its last. */
static double curve_at(const curve *k, long step) {
    int low = 0, high = k->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (k->step[middle] <= step)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? k->value[low - 1] : (double)NAN;
}

/* Mean of the values logged in (from, to]; where there is none, the last before. */
static double curve_mean(const curve *k, long from, long to) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < k->n; i++)
        if (k->step[i] > from && k->step[i] <= to) {
            sum += k->value[i];
            n++;
        }
    return n ? sum / n : curve_at(k, to);
}

/* Mean and range over finished seeds of the chosen setting, in at most CURVE_POINTS bins. */
static status fill_curve(plan *p, error *e) {
    const choice *c = p->choice;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        curve *k = ARENA_NEW(p->arena, curve, v->n_run);
        int n = 0;
        const curve *longest = NULL;
        for (int s = 0; s < v->n_run; s++) {
            if (v->run[s]->state != RUN_DONE) continue;
            if (record_curve(&k[n], p->arena, p->db, v->run[s], p->q->split, p->q->name, e))
                return e->code;
            if (k[n].n == 0) continue;
            if (!longest || k[n].step[k[n].n - 1] > longest->step[longest->n - 1]) longest = &k[n];
            n++;
        }
        if (n == 0) continue;
        figure_series *series = series_of(p, v);
        int bin = (longest->n + CURVE_POINTS - 1) / CURVE_POINTS;
        long from = -1;
        for (int at = bin - 1; at < longest->n; at += bin) {
            long to = longest->step[at];
            double low = INFINITY, high = -INFINITY, sum = 0;
            int count = 0;
            for (int s = 0; s < n; s++) {
                double y = curve_mean(&k[s], from, to);
                if (isnan(y)) continue;
                low = fmin(low, y);
                high = fmax(high, y);
                sum += y;
                count++;
            }
            bool band = count > 1;
            if (count)
                figure_point_add(p->arena, series,
                                 (figure_point){(double)to, sum / count, band ? low : (double)NAN,
                                                band ? high : (double)NAN});
            from = to;
        }
    }
    p->f->kind = FIGURE_CURVES;
    p->f->x_label = "training step";
    return STATUS_OK;
}

/* ---- bars and heat maps ---------------------------------------------------------------------- */

/* The place of a bar in its panel, made where it is new. */
static int bar_of(plan *p, figure_panel *panel, const variant *v) {
    const char *name = variant_label(p->arena, p->choice, v, ~p->series);
    if (!name[0]) name = p->choice->record->name;
    int at = 0;
    while (at < panel->n_x_tick && strcmp(panel->x_tick[at].label, name) != 0) at++;
    if (at == panel->n_x_tick) figure_tick_add(p->arena, panel, at, name);
    return at;
}

/* One bar per method of the panel at 0, 1, 2 ...; single runs are spread sideways, by seed. A
 * method without a finished run keeps its place, as an empty one. */
static status fill_bars(plan *p, error *e) {
    (void)e;
    const choice *c = p->choice;
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        sample y = sample_of(p->arena, v, p->q->split, "", p->q->name);
        figure_series *s = series_of(p, v);
        const int at = bar_of(p, panel_of(p, v), v);
        if (y.n == 0) continue;
        figure_point_add(p->arena, s, (figure_point){at, y.mean, y.mean - y.half, y.mean + y.half});
        for (int k = 0; k < y.n && y.n < 10; k++)
            figure_dot_add(p->arena, s, at + 0.09 * (k - 0.5 * (y.n - 1)), y.value[k]);
    }
    p->f->kind = FIGURE_BARS;
    return STATUS_OK;
}

/* Value number i of an axis as the label of a tick. */
static const char *axis_label(arena *a, const axis *x, int i) {
    return x->numeric ? figure_tick_label(a, x->number[i]) : x->value[i];
}

/* x across, the series axis upwards, the rest in panels; low carries the value. */
static status fill_heatmap(plan *p, error *e) {
    const choice *c = p->choice;
    int x_axis = (int)(p->q->x - c->record->axis), y_axis = -1;
    for (int i = 0; i < c->record->n_axis; i++)
        if (p->series >> i & 1 && (y_axis < 0 || !is_mixer(&c->record->axis[i]))) y_axis = i;
    if (y_axis < 0)
        return error_set(e, STATUS_USAGE,
                         "a heatmap of experiment '%s' needs two axes that vary: give x and series "
                         "in report.figures.",
                         c->record->name);
    p->panel |= p->series & ~AXIS_BIT(y_axis);
    p->series = AXIS_BIT(y_axis);
    for (int i = 0; i < c->n_row; i++) {
        const variant *v = c->row[i].chosen;
        figure_panel *panel = panel_of(p, v);
        if (panel->n == 0) figure_series_add(p->arena, panel, "", style_plain(0));
        sample y = sample_of(p->arena, v, p->q->split, "", p->q->name);
        if (y.n && v->value[x_axis] >= 0 && v->value[y_axis] >= 0)
            figure_point_add(
                p->arena, panel->series,
                (figure_point){v->value[x_axis] + 1, v->value[y_axis] + 1, y.mean, y.mean});
    }
    const axis *x = p->q->x, *y = &c->record->axis[y_axis];
    p->f->kind = FIGURE_HEATMAP;
    for (int i = 0; i < p->f->n; i++) {
        p->f->panel[i].chance = (double)NAN;
        for (int k = 0; k < x->n; k++)
            figure_tick_add(p->arena, &p->f->panel[i], k + 1, axis_label(p->arena, x, k));
    }
    p->f->y_tick = ARENA_NEW(p->arena, figure_tick, y->n);
    p->f->n_y_tick = y->n;
    for (int k = 0; k < y->n; k++)
        p->f->y_tick[k] = (figure_tick){k + 1, axis_label(p->arena, y, k)};
    p->f->x_label = x->name;
    p->f->y_label = y->name;
    return STATUS_OK;
}

typedef struct figure_maker {
    const char *kind;
    status (*fill)(plan *p, error *e);
    const char *band; /* what the caption says of the band */
} figure_maker;

static const char t_band[] =
    "Lines are means over seeds, bands (bars) the 95 % Student interval, cut at the frame; small "
    "dots are single runs.";
static const char range_band[] =
    "Lines are means over finished seeds, bands the range from lowest to highest seed, cut at the "
    "frame; a run that stopped before the others keeps its last value.";

static const figure_maker makers[] = {
    {"accuracy_vs_length", fill_slice, t_band},
    {"accuracy_vs_slice", fill_slice, t_band},
    {"vs_axis", fill_axis, t_band},
    {"search", fill_search,
     "Lines are means over seeds of every setting that was tried, small dots are single runs."},
    {"vs_fact", fill_fact, t_band},
    {"loss_curve", fill_curve, range_band},
    {"bars", fill_bars,
     "Bars are means over seeds, whiskers the 95 % Student interval, cut at the frame; circles are "
     "single runs."},
    {"heatmap", fill_heatmap, "Colour and number are the mean over seeds."},
};
enum { N_MAKER = (int)(sizeof makers / sizeof *makers) };

/* ---- one request to files -------------------------------------------------------------------- */

/* Split, meaning of line and band, and what is not in the figure. */
static void caption_make(plan *p, const char *band) {
    const choice *c = p->choice;
    const request *q = p->q;
    text t = text_new(p->arena);
    int failed = 0, stopped = 0, n_max = 0;
    for (int i = 0; i < c->n_row; i++)
        n_max = c->row[i].chosen->n_run > n_max ? c->row[i].chosen->n_run : n_max;
    if (n_max == 1) band = "One seed: there is no interval.";
    text_add(&t, "%s split. %s", text_capital(p->arena, q->split), band);
    for (int i = 0; i < c->n_row; i++) {
        failed += c->row[i].chosen->n_failed;
        for (int k = 0; k < c->row[i].n_candidate; k++)
            stopped += c->row[i].candidate[k]->n_stopped;
    }
    p->f->lone_name = failed && c->n_row > 1;
    if (strcmp(q->kind, "search") == 0 && metric_find(q->name).accuracy)
        text_put(&t, " A failed or diverged run counts as 0, as in the choice.");
    else if (failed)
        text_add(&t, " %d failed or diverged %s left out.", failed,
                 failed == 1 ? "run is" : "runs are");
    if (strcmp(q->kind, "search") == 0 && stopped)
        text_add(&t, " %d %s early by early_terminate and left out.", stopped,
                 stopped == 1 ? "run was stopped" : "runs were stopped");
    if (p->f->kind == FIGURE_CURVES)
        text_add(&t,
                 " A line ends in a dot where its last seed stopped early. Up to %d points per "
                 "line, each the mean "
                 "of the values logged since the last.",
                 CURVE_POINTS);
    p->f->caption = t.s;
}

/* Cuts a figure of many panels into files of MAX_PANELS. */
static void figure_emit(figure_list *out, arena *a, figure *f) {
    int files = (f->n + MAX_PANELS - 1) / MAX_PANELS;
    for (int k = 0; k < files; k++) {
        figure *part = ARENA_NEW(a, figure, 1);
        *part = *f;
        part->panel = f->panel + k * MAX_PANELS;
        part->n = f->n - k * MAX_PANELS < MAX_PANELS ? f->n - k * MAX_PANELS : MAX_PANELS;
        if (files > 1) {
            part->id = arena_printf(a, "%s_%d", f->id, k + 1);
            part->title = arena_printf(a, "%s (%d of %d)", f->title, k + 1, files);
        }
        ARENA_GROW(a, out->figure, out->n, out->cap);
        out->figure[out->n++] = part;
    }
}

/* An empty frame is no figure. */
static bool anything_drawn(const figure *f) {
    for (int p = 0; p < f->n; p++)
        for (int s = 0; s < f->panel[p].n; s++)
            if (f->panel[p].series[s].n) return true;
    return false;
}

status request_draw(figure_list *out, arena *a, const choice *c, sqlite3 *db, const request *q,
                    const char *title, error *e) {
    metric m = metric_find(q->name);
    figure f = {.id = q->id, .title = title, .y_label = m.title, .x_label = ""};
    f.unit_y = m.accuracy;
    plan p = {.arena = a, .choice = c, .db = db, .q = q, .f = &f};
    plan_axes(&p);
    for (int i = 0; i < N_MAKER; i++) {
        if (strcmp(makers[i].kind, q->kind) != 0) continue;
        if (makers[i].fill(&p, e)) return e->code;
        caption_make(&p, makers[i].band);
    }
    if (!anything_drawn(&f)) return STATUS_OK;
    f.log_y = f.kind == FIGURE_CURVES && !m.accuracy;
    figure_fit(&f);
    if (f.kind == FIGURE_CURVES && f.log_y && f.y_high < 30 * f.y_low) {
        f.log_y = false;
        figure_fit(&f);
    }
    figure_emit(out, a, &f);
    return STATUS_OK;
}

const char *request_kind(const char *kind) {
    for (int i = 0; i < N_MAKER && kind; i++)
        if (strcmp(makers[i].kind, kind) == 0) return makers[i].kind;
    return NULL;
}
