/* plot.c - a figure as gnuplot script and data, and the image cleaned afterwards. See figure.h.
 *
 * Every figure is a multiplot of panels with margins fixed in screen units and a legend strip below
 * that is a plot of its own, so nothing can overlap and all panels are equally large. The same
 * commands draw svg, png and pdf in a loop over terminals. */
#include "figure.h"

#include <math.h>

static const char font[] = "Liberation Sans";

typedef struct layout {
    int columns, rows, width, height;     /* of the figure, in pixels of the svg */
    int panel_width, panel_height;        /* of the plotting area */
    int left, right, top, bottom, legend; /* margins of a panel; height of the legend strip */
    int legend_columns, legend_width, cell_width, cell_height;
} layout;

/* Series of all panels without repetition, for the legend. */
static int legend_series(const figure_series **out, const figure *f, int max) {
    int n = 0;
    for (int p = 0; p < f->n; p++)
        for (int s = 0; s < f->panel[p].n; s++) {
            const figure_series *series = &f->panel[p].series[s];
            bool seen = !series->title[0];
            for (int k = 0; k < n; k++) seen |= strcmp(out[k]->title, series->title) == 0;
            if (!seen && n < max) out[n++] = series;
        }
    return n;
}

enum { MAX_LEGEND = 40 };

/* Columns of the longest label. */
static int widest_tick(const figure_tick *tick, int n) {
    int widest = 1;
    for (int i = 0; i < n; i++)
        if (text_width(tick[i].label) > widest) widest = text_width(tick[i].label);
    return widest;
}

/* Places in pixels; text is taken as 7 to 8 pixels a letter, on the safe side. */
static layout layout_of(const figure *f) {
    const figure_series *series[MAX_LEGEND];
    int n = legend_series(series, f, MAX_LEGEND), widest = 1;
    for (int i = 0; i < n; i++)
        if (text_width(series[i]->title) > widest) widest = text_width(series[i]->title);
    layout l = {.columns = f->n < 3 ? f->n : f->n == 4 ? 2 : 3};
    bool map = f->kind == FIGURE_HEATMAP, bars = f->kind == FIGURE_BARS;
    l.rows = (f->n + l.columns - 1) / l.columns;
    l.panel_width = l.columns == 1 ? 540 : l.columns == 2 ? 330 : 240;
    l.panel_height = l.columns == 1 ? 310 : l.columns == 2 ? 230 : 195;
    l.left = map ? 50 + 8 * widest_tick(f->y_tick, f->n_y_tick) : 68;
    l.right = isnan(f->chance) ? 18 : 62;
    l.top = 12 + (f->panel[0].title[0] ? 22 : 0) + (f->mark_label ? 18 : 0);
    l.bottom = 62;
    if (bars) {
        int longest = widest_tick(f->x_tick, f->n_x_tick);
        bool flat = longest * 8 * f->n_x_tick < l.panel_width;
        l.bottom = flat ? 36 : 30 + 6 * longest;
        /* Turned labels of the first bars reach out to the left. */
        if (!flat && l.left < 6 * longest) l.left = 6 * longest;
    }
    l.cell_width = l.left + l.panel_width + l.right;
    l.cell_height = l.top + l.panel_height + l.bottom;
    l.width = l.columns * l.cell_width;
    if (n > 1 && !bars && !map) {
        l.legend_width = 66 + (int)(7.2 * widest);
        l.legend_columns = (l.width - 10) / l.legend_width;
        if (l.legend_columns < 1) l.legend_columns = 1;
        if (l.legend_columns > n) l.legend_columns = n;
        l.legend = 10 + 20 * ((n + l.legend_columns - 1) / l.legend_columns);
    }
    l.height = l.rows * l.cell_height + l.legend;
    return l;
}

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
    text_add(t, "  set %stics %s(", which, turned ? "rotate by 40 right " : "");
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

/* Labels must not touch: beyond what fits, every second, third ... one is written. */
static void put_x_ticks(text *t, const figure *f, const layout *l) {
    if (!f->x_tick) {
        int most = l->panel_width / 75;
        if (f->x_scale == SCALE_LINEAR && f->x_high > f->x_low) {
            double raw = (f->x_high - f->x_low) / most, unit = pow(10, floor(log10(raw)));
            double step = raw / unit <= 1 ? 1 : raw / unit <= 2 ? 2 : raw / unit <= 5 ? 5 : 10;
            text_add(t, "  set xtics %.9g\n", step * unit);
        }
        return;
    }
    if (f->kind == FIGURE_BARS || f->kind == FIGURE_HEATMAP) {
        put_ticks(t, "x", f->x_tick, f->n_x_tick, f->kind == FIGURE_BARS && l->bottom > 36);
        return;
    }
    int longest = widest_tick(f->x_tick, f->n_x_tick);
    double from = f->x_low, to = f->x_high;
    double span = f->x_scale == SCALE_LINEAR ? to - from : log(to / from), last = -1e9;
    figure_tick *kept = ARENA_NEW(t->arena, figure_tick, f->n_x_tick);
    int n = 0;
    for (int i = 0; i < f->n_x_tick; i++) {
        double at = f->x_tick[i].at;
        double pixel =
            (f->x_scale == SCALE_LINEAR ? at - from : log(at / from)) / span * l->panel_width;
        kept[n] = f->x_tick[i];
        if (pixel - last < longest * 7.5 + 8)
            kept[n].label = "";
        else
            last = pixel;
        n++;
    }
    put_ticks(t, "x", kept, n, false);
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

/* Trained length and chance level: grey, behind the data, named outside of the frame. */
static void put_marks(text *t, const figure *f, const layout *l, int p, int x, int y) {
    double mark = f->panel[p].mark, from = f->x_low, to = f->x_high;
    const char *grey = "tc rgb '#777777'";
    if (!isnan(mark)) {
        double share = f->x_scale == SCALE_LINEAR ? (mark - from) / (to - from)
                                                  : log(mark / from) / log(to / from);
        text_add(t,
                 "  set arrow 1 from %.9g,graph 0 to %.9g,graph 1 nohead lc rgb '#888888' dt 2 "
                 "lw 1 back\n",
                 mark, mark);
        if (f->mark_label)
            put_label(t, l, f->mark_label, x + share * l->panel_width, y - 9,
                      arena_printf(t->arena, "center %s", grey));
    }
    if (!isnan(f->chance)) {
        double share = (f->chance - f->y_low) / (f->y_high - f->y_low);
        text_add(t,
                 "  set arrow 2 from graph 0,first %.9g to graph 1,first %.9g nohead lc rgb "
                 "'#888888' dt 3 lw 1 back\n",
                 f->chance, f->chance);
        put_label(t, l, "chance", x + l->panel_width + 6, y + (1 - share) * l->panel_height,
                  arena_printf(t->arena, "left %s", grey));
    }
}

/* Margins, title and labels of panel p; axis labels stand at the outer panels only. */
static void put_frame(text *t, const figure *f, const layout *l, int p) {
    int column = p % l->columns, row = p / l->columns;
    double w = l->width, h = l->height;
    int x = column * l->cell_width + l->left, y = row * l->cell_height + l->top;
    text_add(t, "  # panel %d\n", p);
    text_add(t,
             "  set lmargin at screen %.5f; set rmargin at screen %.5f; set tmargin at screen "
             "%.5f; set bmargin at screen %.5f\n  unset label; unset arrow; unset object\n",
             x / w, (x + l->panel_width) / w, 1 - y / h, 1 - (y + l->panel_height) / h);
    bool lowest = p + l->columns >= f->n;
    put_label(t, l, f->panel[p].title, x + l->panel_width / 2, row * l->cell_height + 14, "center");
    if (lowest)
        put_label(t, l, f->x_label, x + l->panel_width / 2, y + l->panel_height + 45, "center");
    if (column == 0)
        put_label(t, l, f->y_label, 14, y + l->panel_height / 2, "center rotate by 90");
    put_marks(t, f, l, p, x, y);
}

/* Is there an interval with any width? */
static bool has_band(const figure_series *s) {
    for (int i = 0; i < s->n; i++)
        if (!isnan(s->point[i].low) && s->point[i].high > s->point[i].low) return true;
    return false;
}

/* Line and marker of a series, as gnuplot options. */
static void put_look(text *t, const style *look, const figure *f) {
    text_add(t, "lc rgb '%s' dt %d lw 1.6", look->colour, look->dash);
    if (f->kind != FIGURE_CURVES) text_add(t, " pt %d ps 0.85", look->marker);
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
        text_add(t, "    dat index %d using 1:2 with %s ", block + 2 * s,
                 f->kind == FIGURE_CURVES ? "lines" : "linespoints");
        put_look(t, &panel->series[s].look, f);
        text_add(t, " notitle%s\n", s + 1 < panel->n ? ", \\" : "");
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
        if (f->kind != FIGURE_POINTS)
            text_add(t,
                     "  set arrow %d from screen %.5f,%.5f to screen %.5f,%.5f nohead lc rgb '%s' "
                     "dt %d lw 1.6 front\n",
                     100 + i, x / w, h, (x + 34) / w, h, look->colour, look->dash);
        if (f->kind != FIGURE_CURVES)
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
                 map ? "  unset grid\n" : "  set grid ytics lc rgb '#d8d8d8' lw 0.5 dt 1 back\n");
        if (f->x_scale != SCALE_LINEAR)
            text_add(&t, "  set logscale x %d; unset mxtics\n", f->x_scale == SCALE_LOG2 ? 2 : 10);
        if (f->log_y) text_put(&t, "  set logscale y 10; set format y '%g'\n");
        text_add(&t, "  set xrange [%.9g:%.9g]\n", f->x_low, f->x_high);
        if (map)
            text_add(&t, "  set yrange [0.5:%d.5]\n", f->n_y_tick);
        else
            text_add(&t, "  set yrange [%.9g:%.9g]\n", f->y_low, f->y_high);
        put_x_ticks(&t, f, l);
        if (f->unit_y && !map) text_put(&t, "  set ytics 0.2\n");
        if (f->y_tick) put_ticks(&t, "y", f->y_tick, f->n_y_tick, false);
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

/* ---- the image ------------------------------------------------------------------------------- */

typedef struct swap {
    const char *from, *to;
} swap;

/* What gnuplot writes about itself, tooltips named after plots, ids that collide when several
 * images stand in one page, and black, which a dark page must be able to turn. */
static const char *svg_clean(arena *a, const char *svg, const char *id) {
    const swap table[] = {
        {"id='gp", arena_printf(a, "id='%s_gp", id)},
        {"'#gp", arena_printf(a, "'#%s_gp", id)},
        {"id='textbox'", arena_printf(a, "id='%s_textbox'", id)},
        {"id='greybox'", arena_printf(a, "id='%s_greybox'", id)},
        {"id=\"gnuplot_canvas\"", arena_printf(a, "id=\"%s_canvas\"", id)},
        {"\"black\"", "\"currentColor\""},
        {"'black'", "'currentColor'"},
        {"rgb(  0,   0,   0)", "currentColor"},
        {"'rgb(216, 216, 216)'", "'#808080' stroke-opacity='0.35'"},
        {"font-family=\"Liberation Sans\"",
         "font-family=\"Liberation Sans, Helvetica, Arial, sans-serif\""},
    };
    text t = text_new(a);
    while (*svg) {
        const char *end = NULL;
        if (strncmp(svg, "<title>", 7) == 0) end = strstr(svg, "</title>");
        if (strncmp(svg, "<desc>", 6) == 0) end = strstr(svg, "</desc>");
        if (end) {
            svg = strchr(end, '>') + 1;
            continue;
        }
        int i = 0, n = (int)(sizeof table / sizeof *table);
        while (i < n && strncmp(svg, table[i].from, strlen(table[i].from)) != 0) i++;
        if (i < n) {
            text_put(&t, table[i].to);
            svg += strlen(table[i].from);
        } else {
            int plain = 1 + (int)strcspn(svg + 1, "i'\"r<f");
            text_add(&t, "%.*s", plain, svg);
            svg += plain;
        }
    }
    return t.s;
}

status figure_write(arena *a, figure *f, const char *folder, unsigned formats, error *e) {
    layout l = layout_of(f);
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
