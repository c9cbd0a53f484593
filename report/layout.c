/* layout.c - see layout.h. */
#include "layout.h"

#include <math.h>

/* The level of guessing is a line of the legend, as its name has no safe place beside the data. */
static const figure_series chance_series = {.title = "chance",
                                            .look = {.colour = "#888888", .dash = 3}};

int legend_series(const figure_series **out, const figure *f, int max) {
    int n = 0;
    bool chance = false;
    for (int p = 0; p < f->n; p++) {
        chance |= !isnan(f->panel[p].chance);
        for (int s = 0; s < f->panel[p].n; s++) {
            const figure_series *series = &f->panel[p].series[s];
            bool seen = !series->title[0];
            for (int k = 0; k < n; k++) seen |= strcmp(out[k]->title, series->title) == 0;
            if (!seen && n < max) out[n++] = series;
        }
    }
    if (f->kind == FIGURE_BARS) n = 0; /* they stand over their names */
    if (chance && n < max) out[n++] = &chance_series;
    return n == 1 && !chance && !f->lone_name ? 0 : n;
}

int widest_tick(const figure_tick *tick, int n) {
    int widest = 1;
    for (int i = 0; i < n; i++)
        if (text_width(tick[i].label) > widest) widest = text_width(tick[i].label);
    return widest;
}

const char *next_line(arena *a, const char **s) {
    if (!**s) return NULL;
    const char *comma = strstr(*s, ", ");
    const char *line = comma ? arena_printf(a, "%.*s", (int)(comma - *s), *s) : *s;
    *s = comma ? comma + 2 : *s + strlen(*s);
    return line;
}

/* Lines and columns of the names of bars when each stands in lines of its own. */
static void name_size(arena *a, const figure *f, int *lines, int *widest) {
    *lines = *widest = 1;
    for (int p = 0; p < f->n; p++)
        for (int i = 0; i < f->panel[p].n_x_tick; i++) {
            int n = 0;
            const char *rest = f->panel[p].x_tick[i].label;
            for (const char *line; (line = next_line(a, &rest)); n++)
                if (text_width(line) > *widest) *widest = text_width(line);
            if (n > *lines) *lines = n;
        }
}

int title_lines(const char *line[MAX_TITLE_LINES], arena *a, const char *title, int width) {
    const int most = width / LETTER;
    line[0] = title;
    if (!title[0]) return 0;
    if (text_width(title) <= most) return 1;
    const char *at = NULL;
    for (const char *comma = title; (comma = strstr(comma, ", ")); comma += 2)
        if (comma - title < most) at = comma;
    if (at) line[0] = arena_printf(a, "%.*s,", (int)(at - title), title);
    line[0] = text_short(a, line[0], most);
    line[1] = at ? text_short(a, at + 2, most) : NULL;
    return at ? 2 : 1;
}

/* Room under the panels for the names of bars, beside each other or turned. */
static void layout_bars(layout *l, arena *a, const figure *f) {
    int lines, widest, most = 1, longest = 1;
    name_size(a, f, &lines, &widest);
    for (int p = 0; p < f->n; p++) {
        const int n = f->panel[p].n_x_tick, w = widest_tick(f->panel[p].x_tick, n);
        most = n > most ? n : most;
        longest = w > longest ? w : longest;
    }
    longest = longest < TURNED_LETTERS ? longest : TURNED_LETTERS;
    l->turned = widest * LETTER * most > l->panel_width;
    l->bottom = l->turned ? 30 + 6 * longest : 24 + lines * LINE;
    /* Turned names of the first bars reach out to the left. */
    if (l->turned && l->left < 6 * longest) l->left = 6 * longest;
}

/* Places in pixels. All panels are equally large, whatever stands around them. */
layout layout_of(arena *a, const figure *f) {
    const figure_series *series[MAX_LEGEND];
    const char *line[MAX_TITLE_LINES];
    int n = legend_series(series, f, MAX_LEGEND), widest = 1, titles = 0;
    for (int i = 0; i < n; i++)
        if (text_width(series[i]->title) > widest) widest = text_width(series[i]->title);
    layout l = {.columns = f->n < 3 ? f->n : f->n == 4 ? 2 : 3, .left = 64, .gap = 34, .right = 20};
    l.rows = (f->n + l.columns - 1) / l.columns;
    l.panel_width = l.columns == 1 ? 540 : l.columns == 2 ? 370 : 270;
    l.panel_height = l.columns == 1 ? 310 : l.columns == 2 ? 240 : 210;
    for (int p = 0; p < f->n; p++) {
        const int lines = title_lines(line, a, f->panel[p].title, l.panel_width);
        titles = lines > titles ? lines : titles;
    }
    l.top = 12 + titles * LINE + (f->mark_label ? 18 : 0);
    l.bottom = 62;
    if (f->kind == FIGURE_HEATMAP) l.left = 50 + LETTER * widest_tick(f->y_tick, f->n_y_tick);
    if (f->kind == FIGURE_BARS) layout_bars(&l, a, f);
    l.width = l.left + l.columns * l.panel_width + (l.columns - 1) * l.gap + l.right;
    if (n && f->kind != FIGURE_HEATMAP) {
        l.legend_width = 66 + LETTER * widest;
        l.legend_columns = (l.width - 10) / l.legend_width;
        if (l.legend_columns < 1) l.legend_columns = 1;
        if (l.legend_columns > n) l.legend_columns = n;
        l.legend = 10 + 20 * ((n + l.legend_columns - 1) / l.legend_columns);
    }
    l.height = l.rows * (l.top + l.panel_height + l.bottom) + l.legend;
    return l;
}

int panel_x(const layout *l, int p) { return l->left + p % l->columns * (l->panel_width + l->gap); }
int panel_y(const layout *l, int p) {
    return p / l->columns * (l->top + l->panel_height + l->bottom) + l->top;
}

double panel_place(const figure *f, const layout *l, int p, double v) {
    const double from = f->panel[p].x_low, to = f->panel[p].x_high;
    const double share =
        f->x_scale == SCALE_LINEAR ? (v - from) / (to - from) : log(v / from) / log(to / from);
    return share * l->panel_width;
}
