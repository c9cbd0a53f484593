/* plot.c - a figure as gnuplot script and data. See figure.h.
 *
 * Every figure is a multiplot of panels with margins fixed in screen units and a legend strip below
 * that is a plot of its own, so nothing can overlap and all panels are equally large. The same
 * commands draw svg, png and pdf in a loop over terminals. */
#include "layout.h"

#include <math.h>

static const char font[] = "Liberation Sans";

/* ---- data ------------------------------------------------------------------------------------ */

/* A number of the data file; nine digits are more than any image shows. */
static void put_number(text *t, double v) {
    if (isnan(v))
        text_put(t, " NaN");
    else
        text_add(t, " %.9g", v);
}

/* Cuts an interval at the frame: gnuplot would not draw a whisker that ends outside. */
static double clip(const figure *f, double v) {
    return v < f->y_low ? f->y_low : v > f->y_high ? f->y_high : v;
}

/* Blocks in the order of panels and series: points, then single runs. Empty ones hold one NaN, so
 * that block numbers do not depend on the data. */
static const char *data_text(arena *a, const figure *f) {
    text t = text_new(a);
    text_put(&t, "# x y low high; blocks: for each panel and series the means, then single runs\n");
    for (int p = 0, block = 0; p < f->n; p++)
        for (int s = 0; s < f->panel[p].n; s++) {
            const figure_series *series = &f->panel[p].series[s];
            for (int dots = 0; dots < 2; dots++, block++) {
                text_add(&t, "%s# block %d: panel %d, series %d, %s\n", block ? "\n\n" : "", block,
                         p, s, dots ? "single runs" : "means");
                const figure_point *point = dots ? series->dot : series->point;
                int n = dots ? series->n_dot : series->n;
                for (int i = 0; i < n; i++) {
                    put_number(&t, point[i].x);
                    put_number(&t, point[i].y);
                    put_number(&t, clip(f, point[i].low));
                    put_number(&t, clip(f, point[i].high));
                    text_put(&t, "\n");
                }
                if (n == 0) text_put(&t, " NaN NaN NaN NaN\n");
            }
        }
    return t.s;
}

/* ---- script ---------------------------------------------------------------------------------- */

/* Explicit ticks of axis "x" or "y". */
static void put_ticks(text *t, const char *which, const figure_tick *tick, int n, bool turned) {
    text_add(t, "  set %stics nomirror %s(", which, turned ? "rotate by 40 right " : "");
    for (int i = 0; i < n; i++) {
        text_put(t, i ? ", " : "");
        /* gnuplot takes a tick label as a printf format. */
        text label = text_new(t->arena);
        for (const char *s = tick[i].label; *s; s++)
            text_add(&label, *s == '%' ? "%%%%" : "%c", *s);
        text_gnuplot(t, label.s);
        text_add(t, " %.9g", tick[i].at);
    }
    text_put(t, ")\n");
}

/* Opens the loop over formats, with sizes and fonts that look the same in each. */
static void put_terminals(text *t, const figure *f, const layout *l, unsigned formats) {
    static const char *const name[] = {"svg", "png", "pdf"};
    text_put(t, "formats = '");
    for (int i = 0; i < 3; i++)
        if (formats >> i & 1) text_add(t, " %s", name[i]);
    text_put(t, "'\ndo for [format in formats] {\n");
    text_add(t,
             "  if (format eq 'svg') { set terminal svg noenhanced size %d,%d font '%s,14' "
             "linewidth 1.4 name '%s' }\n",
             l->width, l->height, font, f->id);
    text_add(t,
             "  if (format eq 'png') { set terminal pngcairo noenhanced size %d,%d font '%s,10.5' "
             "fontscale 2 linewidth 2.6 dashlength 0.45 pointscale 1.9 background '#ffffff' }\n",
             2 * l->width, 2 * l->height, font);
    text_add(t,
             "  if (format eq 'pdf') { set terminal pdfcairo noenhanced size %.4gin,%.4gin font "
             "'%s,10' linewidth 1.3 dashlength 0.6 pointscale 0.6 }\n",
             l->width / 96.0, l->height / 96.0, font);
    text_add(t, "  set output '%s.'.format\n  set multiplot\n", f->id);
}

/* Text at a pixel of the svg, measured from the upper left: the same place in every format. */
static void put_label(text *t, const layout *l, const char *s, double x, double y,
                      const char *how) {
    if (!s[0]) return;
    text_put(t, "  set label ");
    text_gnuplot(t, s);
    text_add(t, " at screen %.5f,%.5f %s\n", x / l->width, 1 - y / l->height, how);
}

/* Names of bars as lines under them; the ticks themselves stay empty. */
static void put_names(text *t, const figure *f, const layout *l, int p) {
    const figure_panel *panel = &f->panel[p];
    const int below = panel_y(l, p) + l->panel_height + 20;
    text_put(t, "  unset xtics\n");
    for (int i = 0; i < panel->n_x_tick; i++) {
        const char *rest = panel->x_tick[i].label, *line;
        const double x = panel_x(l, p) + panel_place(f, l, p, panel->x_tick[i].at);
        for (int k = 0; (line = next_line(t->arena, &rest)); k++)
            put_label(t, l, line, x, below + k * LINE, "center");
    }
}

/* Round steps, as many as labels fit. */
static void put_round_ticks(text *t, const figure *f, const layout *l, const figure_panel *panel) {
    if (f->x_scale != SCALE_LINEAR || panel->x_high <= panel->x_low) return;
    double raw = (panel->x_high - panel->x_low) / (int)(l->panel_width / 75);
    double unit = pow(10, floor(log10(raw)));
    double step = raw / unit <= 1 ? 1 : raw / unit <= 2 ? 2 : raw / unit <= 5 ? 5 : 10;
    text_add(t, "  set xtics %.9g\n", step * unit);
}

/* Labels must not touch: beyond what fits, every second, third ... one is written. */
static void put_x_ticks(text *t, const figure *f, const layout *l, int p) {
    const figure_panel *panel = &f->panel[p];
    const bool bars = f->kind == FIGURE_BARS;
    if (!panel->x_tick) {
        put_round_ticks(t, f, l, panel);
        return;
    }
    if (bars && !l->turned) {
        put_names(t, f, l, p);
        return;
    }
    const int longest = widest_tick(panel->x_tick, panel->n_x_tick);
    figure_tick *kept = ARENA_NEW(t->arena, figure_tick, panel->n_x_tick);
    double last = -1e9;
    for (int i = 0; i < panel->n_x_tick; i++) {
        const double pixel = panel_place(f, l, p, panel->x_tick[i].at);
        kept[i] = panel->x_tick[i];
        if (bars)
            kept[i].label = text_short(t->arena, kept[i].label, TURNED_LETTERS);
        else if (f->kind != FIGURE_HEATMAP && pixel - last < longest * LETTER + 8)
            kept[i].label = "";
        else
            last = pixel;
    }
    put_ticks(t, "x", kept, panel->n_x_tick, bars);
}

/* Trained length and chance level: grey, behind the data. The length is named over the frame. */
static void put_marks(text *t, const figure *f, const layout *l, int p) {
    const double mark = f->panel[p].mark, chance = f->panel[p].chance;
    if (!isnan(mark)) {
        text_add(t,
                 "  set arrow 1 from %.9g,graph 0 to %.9g,graph 1 nohead lc rgb '#888888' dt 2 "
                 "lw 1 back\n",
                 mark, mark);
        if (f->mark_label)
            put_label(t, l, f->mark_label, panel_x(l, p) + panel_place(f, l, p, mark),
                      panel_y(l, p) - 9, "center tc rgb '#777777'");
    }
    if (!isnan(chance))
        text_add(t,
                 "  set arrow 2 from graph 0,first %.9g to graph 1,first %.9g nohead lc rgb "
                 "'#888888' dt 3 lw 1.6 back\n",
                 chance, chance);
}

/* Margins, title and labels of panel p; axis labels stand at the outer panels only. */
static void put_frame(text *t, const figure *f, const layout *l, int p) {
    const double w = l->width, h = l->height;
    const int x = panel_x(l, p), y = panel_y(l, p);
    const double middle = x + 0.5 * l->panel_width;
    const char *line[MAX_TITLE_LINES];
    text_add(t, "  # panel %d\n", p);
    text_add(t,
             "  set lmargin at screen %.5f; set rmargin at screen %.5f; set tmargin at screen "
             "%.5f; set bmargin at screen %.5f\n  unset label; unset arrow; unset object\n",
             x / w, (x + l->panel_width) / w, 1 - y / h, 1 - (y + l->panel_height) / h);
    const int lines = title_lines(line, t->arena, f->panel[p].title, l->panel_width);
    for (int i = 0; i < lines; i++)
        put_label(t, l, line[i], middle, y - l->top + 14 + i * LINE, "center");
    if (p + l->columns >= f->n)
        put_label(t, l, f->x_label, middle, y + l->panel_height + 45, "center");
    if (p % l->columns == 0)
        put_label(t, l, f->y_label, 14, y + 0.5 * l->panel_height, "center rotate by 90");
    put_marks(t, f, l, p);
}

/* Is there an interval with any width? */
static bool has_band(const figure_series *s) {
    for (int i = 0; i < s->n; i++)
        if (!isnan(s->point[i].low) && s->point[i].high > s->point[i].low) return true;
    return false;
}

/* The last step of the longest curve of a panel. */
static double last_step(const figure_panel *panel) {
    double last = 0;
    for (int s = 0; s < panel->n; s++)
        if (panel->series[s].n) last = fmax(last, panel->series[s].point[panel->series[s].n - 1].x);
    return last;
}

/* The line of series s, and its markers: open ones are blank inside, so that they read as open on
 * top of lines and single runs. A curve that stops early ends in a dot, as it is not cut off. */
static void put_line(text *t, const figure *f, const figure_panel *panel, int s, int block) {
    const figure_series *series = &panel->series[s];
    const style *look = &series->look;
    text_add(t, "    dat index %d using 1:2 with lines lc rgb '%s' dt %d lw 1.6 notitle", block,
             look->colour, look->dash);
    if (f->kind == FIGURE_CURVES) {
        if (series->n && series->point[series->n - 1].x < last_step(panel))
            text_add(t,
                     ", \\\n    dat index %d every ::%d using 1:2 with points pt 7 ps 0.5 lc rgb "
                     "'%s' notitle",
                     block, series->n - 1, look->colour);
        return;
    }
    if (look->marker % 2 == 0)
        text_add(t,
                 ", \\\n    dat index %d using 1:2 with points pt %d ps 0.85 lc rgb '#fefefe' "
                 "notitle",
                 block, look->marker + 1);
    text_add(
        t, ", \\\n    dat index %d using 1:2 with points pt %d ps 0.85 lc rgb '%s' lw 1.6 notitle",
        block, look->marker, look->colour);
}

/* Lines with bands, or single points with whiskers. */
static void put_lines(text *t, const figure *f, const figure_panel *panel, int block) {
    /* Bands first, single runs next, lines on top: nothing hides a mean. */
    text_put(t, "  plot \\\n");
    bool scatter = f->kind == FIGURE_POINTS;
    for (int s = 0; s < panel->n; s++) {
        const figure_series *series = &panel->series[s];
        if (!has_band(series)) continue;
        if (series->n > 1 && !scatter)
            text_add(t,
                     "    dat index %d using 1:3:4 with filledcurves fc rgb '%s' fs transparent "
                     "solid 0.14 noborder notitle, \\\n",
                     block + 2 * s, series->look.colour);
        else
            text_add(t,
                     "    dat index %d using 1:3:(0):($4-$3) with vectors heads size screen "
                     "0.006,90 lc rgb '%s' "
                     "dt 1 lw 1.2 "
                     "notitle, \\\n",
                     block + 2 * s, series->look.colour);
    }
    for (int s = 0; s < panel->n; s++)
        if (panel->series[s].n_dot)
            text_add(t,
                     "    dat index %d using 1:2 with points pt 7 ps 0.28 lc rgb '%s' notitle, "
                     "\\\n",
                     block + 2 * s + 1, panel->series[s].look.colour);
    for (int s = 0; s < panel->n; s++) {
        put_line(t, f, panel, s, block + 2 * s);
        text_put(t, s + 1 < panel->n ? ", \\\n" : "\n");
    }
}

/* Boxes, whiskers, single runs. */
static void put_bars(text *t, const figure_panel *panel, int block) {
    text_put(t, "  set boxwidth 0.62\n  plot \\\n");
    for (int s = 0; s < panel->n; s++) {
        const char *colour = panel->series[s].look.colour;
        text_add(t,
                 "    dat index %d using 1:2 with boxes fc rgb '%s' fs transparent solid 0.30 "
                 "border lc rgb '%s' lw 1.2 notitle, \\\n",
                 block + 2 * s, colour, colour);
        text_add(
            t,
            "    dat index %d using 1:3:(0):($4-$3) with vectors heads size screen 0.006,90 lw 1.3 "
            "dt 1 lc rgb '%s' "
            "notitle, \\\n",
            block + 2 * s, colour);
        text_add(t, "    dat index %d using 1:2 with points pt 6 ps 0.5 lc rgb '%s' notitle%s\n",
                 block + 2 * s + 1, colour, s + 1 < panel->n ? ", \\" : "");
    }
}

/* Nine points of the viridis map (Smith and van der Walt, 2015), interpolated. */
static unsigned viridis(double share) {
    static const unsigned char stop[9][3] = {{68, 1, 84},    {72, 40, 120},  {62, 74, 137},
                                             {49, 104, 142}, {38, 130, 142}, {31, 158, 137},
                                             {53, 183, 121}, {110, 206, 88}, {181, 222, 43}};
    double at = fmin(1, fmax(0, share)) * 8;
    int i = at >= 8 ? 7 : (int)at;
    unsigned colour = 0;
    for (int k = 0; k < 3; k++)
        colour =
            colour << 8 | (unsigned)lround(stop[i][k] + (at - i) * (stop[i + 1][k] - stop[i][k]));
    return colour;
}

/* Cells are rectangles with their number: no image inside the svg, and it reads in grey. */
static void put_heatmap(text *t, const figure *f, const figure_panel *panel, int block) {
    for (int i = 0; i < panel->series[0].n; i++) {
        const figure_point *p = &panel->series[0].point[i];
        double share = (p->low - f->y_low) / (f->y_high - f->y_low);
        text_add(t,
                 "  set object %d rectangle center %.9g,%.9g size 0.97,0.97 fc rgb '#%06x' fs "
                 "solid noborder front\n",
                 i + 1, p->x, p->y, viridis(share));
        text_add(t, "  set label %d '%.*f' at %.9g,%.9g center tc rgb '%s' front\n", i + 10,
                 f->unit_y ? 2 : 3, p->low, p->x, p->y, share < 0.6 ? "#ffffff" : "#111111");
    }
    text_add(t, "  plot dat index %d using 1:2 with dots lc rgb '#888888' notitle\n", block);
}

/* Set by hand, in pixels: gnuplot's own key guesses widths differently for every terminal. */
static void put_legend(text *t, const figure *f, const layout *l) {
    const figure_series *series[MAX_LEGEND];
    int n = legend_series(series, f, MAX_LEGEND);
    if (l->legend == 0) return;
    int left = (l->width - l->legend_columns * l->legend_width + 20) / 2;
    text_put(t, "  # legend\n");
    for (int i = 0; i < n; i++) {
        const style *look = &series[i]->look;
        int x = left + i % l->legend_columns * l->legend_width;
        int y = l->height - l->legend + 10 + 20 * (i / l->legend_columns);
        double w = l->width, h = 1 - (double)y / l->height;
        /* gnuplot's svg joins lines of one colour and keeps the dashes of the first: a line of
         * another colour and no length keeps them apart. */
        if (f->kind != FIGURE_POINTS || !look->marker)
            text_add(t,
                     "  set arrow %d from screen %.5f,%.5f to screen %.5f,%.5f nohead lc rgb '%s' "
                     "dt %d lw 1.6 front\n  set arrow %d from screen %.5f,%.5f to screen "
                     "%.5f,%.5f nohead lc rgb '#fefefe' lw 0.1 front\n",
                     100 + 2 * i, x / w, h, (x + 34) / w, h, look->colour, look->dash, 101 + 2 * i,
                     x / w, h, x / w, h);
        if (f->kind != FIGURE_CURVES && look->marker && look->marker % 2 == 0)
            text_add(
                t,
                "  set label '' at screen %.5f,%.5f point pt %d ps 0.85 lc rgb '#fefefe' front\n",
                (x + 17) / w, h, look->marker + 1);
        if (f->kind != FIGURE_CURVES && look->marker)
            text_add(t,
                     "  set label '' at screen %.5f,%.5f point pt %d ps 0.85 lc rgb '%s' front\n",
                     (x + 17) / w, h, look->marker, look->colour);
        put_label(t, l, series[i]->title, x + 42, y, "left front");
    }
}

/* The whole script, for one loop over the formats. */
static const char *script_text(arena *a, const figure *f, const layout *l, unsigned formats) {
    text t = text_new(a);
    text_add(&t,
             "# %s.gp - redraw with: gnuplot %s.gp (in this folder)\nreset\nset encoding utf8\n"
             "set minussign\ndat = '%s.dat'\n",
             f->id, f->id, f->id);
    put_terminals(&t, f, l, formats);
    bool map = f->kind == FIGURE_HEATMAP;
    for (int p = 0, block = 0; p < f->n; block += 2 * f->panel[p++].n) {
        put_frame(&t, f, l, p);
        text_add(&t,
                 "  unset key\n  set border %d lw 0.8\n  set tics nomirror out scale 0.5\n"
                 "  set style fill transparent solid 0.14 noborder\n",
                 map ? 0 : 3);
        text_put(&t,
                 map ? "  unset grid\n" : "  set grid ytics lc rgb '#d8d8d8' lw 0.8 dt 1 back\n");
        if (f->x_scale != SCALE_LINEAR)
            text_add(&t, "  set logscale x %d; unset mxtics\n", f->x_scale == SCALE_LOG2 ? 2 : 10);
        if (f->log_y) text_put(&t, "  set logscale y 10\n");
        /* All panels have one y axis: its numbers stand at the left ones only. */
        text_add(&t, "  set format x '%%g'; set format y '%s'\n", p % l->columns ? "" : "%g");
        text_add(&t, "  set xrange [%.9g:%.9g]\n", f->panel[p].x_low, f->panel[p].x_high);
        if (map)
            text_add(&t, "  set yrange [0.5:%d.5]\n", f->n_y_tick);
        else
            text_add(&t, "  set yrange [%.9g:%.9g]\n", f->y_low, f->y_high);
        put_x_ticks(&t, f, l, p);
        if (f->unit_y && !map) text_put(&t, "  set ytics 0.2\n");
        if (f->y_tick && p % l->columns == 0) put_ticks(&t, "y", f->y_tick, f->n_y_tick, false);
        if (f->y_tick && p % l->columns) text_put(&t, "  unset ytics\n");
        if (p == f->n - 1) put_legend(&t, f, l);
        if (map)
            put_heatmap(&t, f, &f->panel[p], block);
        else if (f->kind == FIGURE_BARS)
            put_bars(&t, &f->panel[p], block);
        else
            put_lines(&t, f, &f->panel[p], block);
    }
    text_put(&t, "  unset multiplot\n  set output\n  reset\n}\n");
    return t.s;
}

status figure_write(arena *a, figure *f, const char *folder, unsigned formats, error *e) {
    layout l = layout_of(a, f);
    f->width = l.width;
    f->height = l.height;
    const char *data = data_text(a, f), *script = script_text(a, f, &l, formats);
    const char *name = arena_printf(a, "%s.gp", f->id);
    const char *svg_path = arena_printf(a, "%s/%s.svg", folder, f->id);
    if (file_write(arena_printf(a, "%s/%s.dat", folder, f->id), data, (long)strlen(data), e) ||
        file_write(arena_printf(a, "%s/%s", folder, name), script, (long)strlen(script), e) ||
        gnuplot_run(folder, name, e))
        return e->code;
    if (!(formats & FIGURE_SVG)) return STATUS_OK;
    long n;
    const char *raw = file_read(a, svg_path, &n);
    if (!raw) return error_set(e, STATUS_ENVIRONMENT, "gnuplot ran but did not write %s", svg_path);
    f->svg = svg_clean(a, raw, f->id);
    return file_write(svg_path, f->svg, (long)strlen(f->svg), e);
}
