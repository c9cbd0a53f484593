/* panels.c - see panels.h. */
#include "panels.h"

#include "metric.h"

#include <limits.h>
#include <math.h>

enum {
    MAX_SERIES = 6, /* lines that a reader can tell apart */
    MAX_TICKS = 14,
    MAX_FREE = 12,
    MAX_ALL_PANELS = 1000,
};

bool plan_has_bars(const plan *p) { return strcmp(p->q->kind, "bars") == 0; }

/* ---- series and panels ----------------------------------------------------------------------- */

/* The shown axes as bits. */
static unsigned long shown_bits(const choice *c) {
    unsigned long bits = 0;
    for (int k = 0; k < c->n_shown; k++) bits |= AXIS_BIT(c->shown[k]);
    return bits;
}

/* Do rows i and j agree in the axes of `bits`? */
static bool rows_agree(const choice *c, int i, int j, unsigned long bits) {
    for (int x = 0; x < c->record->n_axis; x++)
        if (bits >> x & 1 && c->row[i].chosen->value[x] != c->row[j].chosen->value[x]) return false;
    return true;
}

/* Distinct combinations of the axes of `bits` among the rows, counted up to `most` + 1: nobody
 * asks how many more. O(n_row * most). */
static int combinations(arena *a, const choice *c, unsigned long bits, int most) {
    int *first = ARENA_NEW(a, int, most + 1); /* row that stands for each */
    int n = 0;
    for (int i = 0; i < c->n_row && n <= most; i++) {
        int k = 0;
        while (k < n && !rows_agree(c, i, first[k], bits)) k++;
        if (k == n) first[n++] = i;
    }
    return n;
}

bool is_mixer(const axis *x) { return strcmp(x->key, "model.mixer") == 0; }

/* Which of the axes of `free` become panels so that the series of one panel can be told apart: the
 * set that makes the fewest panels, 0 where none does. All sets of up to 2^MAX_FREE are tried. */
static unsigned long fewest_panels(const plan *p, unsigned long all, unsigned long free_axes) {
    const choice *c = p->choice;
    unsigned long axis_of[MAX_FREE], best = 0;
    int n = 0, fewest = MAX_ALL_PANELS + 1;
    for (int k = 0; k < c->n_shown && n < MAX_FREE; k++)
        if (free_axes >> c->shown[k] & 1) axis_of[n++] = AXIS_BIT(c->shown[k]);
    for (unsigned set = 0; set < 1u << n; set++) {
        unsigned long moved = 0;
        for (int k = 0; k < n; k++)
            if (set >> k & 1) moved |= axis_of[k];
        if (combinations(p->arena, c, all & ~p->panel & ~moved, MAX_SERIES) > MAX_SERIES) continue;
        const int panels = combinations(p->arena, c, p->panel | moved, fewest);
        if (panels >= fewest) continue;
        fewest = panels;
        best = moved;
    }
    return best;
}

/* Conditions are panels as far as one figure holds them; the task is one in any case, as nothing
 * compares across tasks. Where the series are still too many, further conditions become panels, and
 * only then settings of the methods. */
static void split_by_default(plan *p, unsigned long all) {
    const choice *c = p->choice;
    unsigned long conditions = 0, block = 0, task = 0, mixer = 0;
    for (int k = 0; k < c->n_shown; k++) {
        const axis *x = &c->record->axis[c->shown[k]];
        const unsigned long bit = AXIS_BIT(c->shown[k]) & all;
        if (k < c->n_block) block |= bit;
        if (k < c->n_block && (x->task_side || plan_has_bars(p))) conditions |= bit;
        if (strcmp(x->key, "task.name") == 0) task = bit;
        if (is_mixer(x)) mixer = bit;
    }
    const bool fit =
        plan_has_bars(p) || combinations(p->arena, c, conditions, MAX_PANELS) <= MAX_PANELS;
    p->panel = fit ? conditions : task;
    if (!plan_has_bars(p) && combinations(p->arena, c, all & ~p->panel, MAX_SERIES) > MAX_SERIES) {
        unsigned long moved = fewest_panels(p, all, block & ~p->panel);
        if (!moved) moved = fewest_panels(p, all, all & ~mixer & ~p->panel);
        p->panel |= moved;
    }
    p->series = all & ~p->panel;
}

void plan_axes(plan *p) {
    const choice *c = p->choice;
    const request *q = p->q;
    unsigned long all = shown_bits(c);
    /* Against a size of the model, the settings that make the size lie along the line. */
    for (int k = 0; q->x_fact && k < c->n_shown; k++) {
        const axis *size = &c->record->axis[c->shown[k]];
        if (size->numeric && !size->task_side) all &= ~AXIS_BIT(c->shown[k]);
    }
    if (q->x) all &= ~AXIS_BIT(q->x - c->record->axis);
    if (!q->chosen_by_user || (!q->series && !q->panel)) {
        split_by_default(p, all);
        return;
    }
    p->panel = q->panel & all;
    p->series = q->series ? q->series & all & ~p->panel : all & ~p->panel;
    p->panel |= all & ~p->series;
}

/* Rank of the combination of a row's series axes other than the mixer: dash and marker. Of more
 * combinations than an int holds, those that look alike are as good as any. */
static int variation_of(const plan *p, const variant *v) {
    const choice *c = p->choice;
    unsigned rank = 0;
    for (int i = 0; i < c->record->n_axis; i++) {
        const axis *x = &c->record->axis[i];
        if (!(p->series >> i & 1) || is_mixer(x)) continue;
        rank = rank * (unsigned)(x->n + x->partial) + (unsigned)(v->value[i] + x->partial);
    }
    return (int)(rank & INT_MAX);
}

/* Colour by mixer where mixers are compared or nothing is; else by the first value. */
static style style_of_row(const plan *p, const variant *v) {
    const choice *c = p->choice;
    bool by_mixer = p->series == 0;
    for (int i = 0; i < c->record->n_axis; i++)
        by_mixer |= (p->series >> i & 1) && is_mixer(&c->record->axis[i]);
    if (!by_mixer) return style_plain(variation_of(p, v));
    int rank = variation_of(p, v), least = rank;
    /* Axes that only some mixers have start at their own first value. */
    for (int i = 0; i < c->n_row; i++)
        if (strcmp(c->row[i].chosen->run[0]->mixer, v->run[0]->mixer) == 0 &&
            variation_of(p, c->row[i].chosen) < least)
            least = variation_of(p, c->row[i].chosen);
    return style_mixer(c->record, v->run[0]->mixer, rank - least);
}

figure_panel *panel_of(plan *p, const variant *v) {
    const char *title = variant_label(p->arena, p->choice, v, ~p->panel);
    for (int i = 0; i < p->f->n; i++)
        if (strcmp(p->f->panel[i].title, title) == 0) return &p->f->panel[i];
    figure_panel *panel = figure_panel_add(p->arena, p->f, title);
    if (metric_find(p->q->name).accuracy)
        panel->chance = record_chance(p->choice->record, v->run[0]->task);
    return panel;
}

figure_series *series_of(plan *p, const variant *v) {
    figure_panel *panel = panel_of(p, v);
    const char *title = variant_label(p->arena, p->choice, v, ~p->series);
    for (int i = 0; i < panel->n; i++)
        if (strcmp(panel->series[i].title, title) == 0) return &panel->series[i];
    return figure_series_add(p->arena, panel, title, style_of_row(p, v));
}

void add_sample(plan *p, const variant *v, double x, const sample *y) {
    if (y->n == 0) return;
    figure_series *s = series_of(p, v);
    figure_point_add(p->arena, s, (figure_point){x, y->mean, y->mean - y->half, y->mean + y->half});
    if (y->n < 10)
        for (int i = 0; i < y->n; i++) figure_dot_add(p->arena, s, x, y->value[i]);
}

/* ---- ticks and scales ------------------------------------------------------------------------ */

static void panel_ticks(plan *p, figure_panel *panel, const double *v, int n) {
    if (n > MAX_TICKS) return;
    for (int i = 0; i < n; i++)
        figure_tick_add(p->arena, panel, v[i], figure_tick_label(p->arena, v[i]));
}

void set_ticks(plan *p, const double *v, int n) {
    p->f->x_scale = figure_scale_of(v, n);
    for (int i = 0; i < p->f->n; i++) panel_ticks(p, &p->f->panel[i], v, n);
}

/* Adds v to the ascending values [*n], where it is new. */
static void value_add(double *value, int *n, double v) {
    int at = *n;
    while (at > 0 && value[at - 1] > v) at--;
    if (at > 0 && value[at - 1] >= v) return;
    for (int k = (*n)++; k > at; k--) value[k] = value[k - 1];
    value[at] = v;
}

/* Distinct x of the points of a panel, ascending. */
static double *panel_values(arena *a, const figure_panel *panel, int *n) {
    int most = 0;
    for (int s = 0; s < panel->n; s++) most += panel->series[s].n;
    double *value = ARENA_NEW(a, double, most);
    *n = 0;
    for (int s = 0; s < panel->n; s++)
        for (int i = 0; i < panel->series[s].n; i++)
            value_add(value, n, panel->series[s].point[i].x);
    return value;
}

void set_own_ticks(plan *p) {
    p->f->own_x = true;
    for (int i = 0; i < p->f->n; i++) {
        int n;
        const double *v = panel_values(p->arena, &p->f->panel[i], &n);
        panel_ticks(p, &p->f->panel[i], v, n);
    }
}
