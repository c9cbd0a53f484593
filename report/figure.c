/* figure.c - building a figure: points, ranges. Writing is in plot.c. See figure.h.
 *
 * Ranges are fixed here and given to gnuplot, never left to it: its automatic ranges differ between
 * panels, round to ticks and change with its version. */
#include "figure.h"

#include <math.h>

figure_panel *figure_panel_add(arena *a, figure *f, const char *title) {
    ARENA_GROW(a, f->panel, f->n, f->cap);
    f->panel[f->n] = (figure_panel){.title = title, .mark = (double)NAN, .chance = (double)NAN};
    return &f->panel[f->n++];
}

figure_series *figure_series_add(arena *a, figure_panel *p, const char *title, style look) {
    ARENA_GROW(a, p->series, p->n, p->cap);
    p->series[p->n] = (figure_series){.title = title, .look = look};
    return &p->series[p->n++];
}

void figure_tick_add(arena *a, figure_panel *p, double at, const char *label) {
    ARENA_GROW(a, p->x_tick, p->n_x_tick, p->cap_x_tick);
    p->x_tick[p->n_x_tick++] = (figure_tick){at, label};
}

/* Keeps points in the order of x, as lines need it. */
void figure_point_add(arena *a, figure_series *s, figure_point p) {
    ARENA_GROW(a, s->point, s->n, s->cap);
    int i = s->n++;
    for (; i > 0 && s->point[i - 1].x > p.x; i--) s->point[i] = s->point[i - 1];
    s->point[i] = p;
}

void figure_dot_add(arena *a, figure_series *s, double x, double y) {
    ARENA_GROW(a, s->dot, s->n_dot, s->cap_dot);
    s->dot[s->n_dot++] = (figure_point){x, y, (double)NAN, (double)NAN};
}

const char *figure_tick_label(arena *a, double v) {
    if (v != 0 && (fabs(v) < 1e-2 || fabs(v) >= 1e6)) {
        int exponent = (int)floor(log10(fabs(v)) + 1e-9);
        double factor = v / pow(10, exponent);
        if (fabs(factor - round(factor)) < 0.005)
            return arena_printf(a, "%lde%d", lround(factor), exponent);
        return arena_printf(a, "%.1fe%d", factor, exponent);
    }
    return arena_printf(a, "%.4g", v);
}

figure_scale figure_scale_of(const double *v, int n) {
    double low = INFINITY, high = -INFINITY;
    bool powers = n > 2;
    for (int i = 0; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
        powers &= v[i] > 0 && log2(v[i]) == floor(log2(v[i]));
    }
    if (low <= 0) return SCALE_LINEAR;
    if (powers && high >= 8 * low) return SCALE_LOG2;
    return high >= 8 * low ? SCALE_LOG10 : SCALE_LINEAR;
}

typedef struct range {
    double low, high;
} range;

/* Takes v into the range, if it is a number. */
static void widen(range *r, double v) {
    if (!isfinite(v)) return;
    r->low = fmin(r->low, v);
    r->high = fmax(r->high, v);
}

/* Air around the data: a share of the range on each side, as a factor on logarithmic scales. */
static void pad(range *r, double share, bool log_scale) {
    if (r->low > r->high) *r = (range){0, 1};
    if (log_scale && r->low > 0) {
        double factor = pow(r->high / r->low, share);
        if (factor < 1.02) factor = 1.3;
        *r = (range){r->low / factor, r->high * factor};
        return;
    }
    double width = (r->high - r->low) * share;
    if (width <= 0) width = fabs(r->high) > 0 ? 0.1 * fabs(r->high) : 1;
    *r = (range){r->low - width, r->high + width};
}

/* Takes in what panel p has across. */
static void widen_x(range *x, const figure_panel *p) {
    widen(x, p->mark);
    for (int s = 0; s < p->n; s++)
        for (int i = 0; i < p->series[s].n; i++) widen(x, p->series[s].point[i].x);
}

static void fit_x(figure *f) {
    range all = {INFINITY, -INFINITY};
    int most = 0;
    for (int p = 0; p < f->n; p++) {
        widen_x(&all, &f->panel[p]);
        if (f->kind == FIGURE_CURVES) widen(&all, 0); /* training starts at step 0 */
        most = f->panel[p].n_x_tick > most ? f->panel[p].n_x_tick : most;
    }
    for (int p = 0; p < f->n; p++) {
        range x = {INFINITY, -INFINITY};
        int n = f->panel[p].n_x_tick;
        if (f->own_x)
            widen_x(&x, &f->panel[p]);
        else
            x = all;
        pad(&x, f->kind == FIGURE_CURVES ? 0.01 : 0.05, f->x_scale != SCALE_LINEAR);
        /* Bars are equally wide in all panels, and stand in the middle where they are few. */
        double middle = 0.5 * (n - 1), half = 0.5 * most + 0.1;
        if (f->kind == FIGURE_BARS) x = (range){middle - half, middle + half};
        if (f->kind == FIGURE_HEATMAP) x = (range){0.5, n + 0.5};
        f->panel[p].x_low = x.low;
        f->panel[p].x_high = x.high;
    }
}

static void fit_y(figure *f) {
    range y = {INFINITY, -INFINITY}, whisker = y;
    for (int p = 0; p < f->n; p++) {
        for (int s = 0; s < f->panel[p].n; s++) {
            const figure_series *series = &f->panel[p].series[s];
            for (int i = 0; i < series->n; i++) {
                widen(&y, series->point[i].y);
                widen(&whisker, series->point[i].low);
                widen(&whisker, series->point[i].high);
            }
            for (int i = 0; i < series->n_dot; i++) widen(&y, series->dot[i].y);
        }
    }
    /* An interval of two wild seeds must not flatten the figure: it may add half of the height. */
    double reach = y.high - y.low;
    if (reach > 0) {
        y.low = fmin(y.low, fmax(whisker.low, y.low - reach / 2));
        y.high = fmax(y.high, fmin(whisker.high, y.high + reach / 2));
    }
    f->log_y = f->log_y && y.low > 0;
    if (f->kind == FIGURE_BARS && !f->unit_y) widen(&y, 0);
    pad(&y, 0.05, f->log_y);
    /* Lines at 0 and at 1 must not lie on the frame. */
    if (f->unit_y) y = (range){-0.03, 1.03};
    f->y_low = y.low;
    f->y_high = y.high;
}

void figure_fit(figure *f) {
    fit_x(f);
    fit_y(f);
}
