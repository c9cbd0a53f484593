/* figure.h - a figure in memory, and its way through gnuplot.
 *
 * figure_write keeps ID.gp and ID.dat beside the images, so that a reader can change and redraw
 * them. Text of the database reaches gnuplot in single quotes with enhanced text off; data are
 * numbers only; file names are slugs. The svg is freed of what differs between gnuplot versions,
 * its ids are prefixed, and black becomes currentColor, so that pages can inline it. */
#pragma once
#include "style.h"
#include "text.h"

typedef struct figure_point {
    double x, y, low, high; /* low, high: NAN where there is no interval */
} figure_point;

typedef struct figure_series {
    const char *title;
    style look;
    figure_point *point;
    int n, cap;
    figure_point *dot; /* single runs */
    int n_dot, cap_dot;
} figure_series;

typedef struct figure_tick {
    double at;
    const char *label;
} figure_tick;

typedef struct figure_panel {
    const char *title;
    figure_series *series;
    int n, cap;
    double mark, chance; /* vertical and horizontal line, NAN: none */
    figure_tick *x_tick; /* [n_x_tick], NULL: chosen by figure_write */
    int n_x_tick, cap_x_tick;
    double x_low, x_high; /* set by figure_fit */
} figure_panel;

typedef enum figure_kind {
    FIGURE_LINES,
    FIGURE_CURVES,
    FIGURE_POINTS,
    FIGURE_BARS,
    FIGURE_HEATMAP
} figure_kind;
typedef enum figure_scale { SCALE_LINEAR, SCALE_LOG2, SCALE_LOG10 } figure_scale;

typedef struct figure {
    figure_kind kind;
    const char *id, *title, *caption, *x_label, *y_label;
    figure_scale x_scale;
    bool log_y, unit_y;   /* unit_y: y in [0, 1] */
    bool lone_name;       /* a lone series is named in the legend too: others have no values */
    bool own_x;           /* every panel has the x range of its own points */
    double y_low, y_high; /* set by figure_fit: all panels have one y axis */
    figure_tick *y_tick;  /* [n_y_tick], heat maps only */
    int n_y_tick;
    const char *mark_label;
    figure_panel *panel;
    int n, cap;
    const char *svg; /* set by figure_write: the cleaned image, NULL: not drawn */
    int width, height;
} figure;

enum { FIGURE_SVG = 1, FIGURE_PNG = 2, FIGURE_PDF = 4 };

/* Sets ranges from the points. */
void figure_fit(figure *f);
/* A number as short as a tick needs: "128", "3e-4". */
const char *figure_tick_label(arena *a, double v);
/* Logarithmic where values grow by factors: by 2 for powers of two, by 10 beyond a factor of 8. */
figure_scale figure_scale_of(const double *v, int n);
/* A tick of a panel; figure_tick_label gives the label of a number. */
void figure_tick_add(arena *a, figure_panel *p, double at, const char *label);
/* A new series or panel in arena `a`. */
figure_panel *figure_panel_add(arena *a, figure *f, const char *title);
figure_series *figure_series_add(arena *a, figure_panel *p, const char *title, style look);
void figure_point_add(arena *a, figure_series *s, figure_point p);
void figure_dot_add(arena *a, figure_series *s, double x, double y);

/* Writes folder/ID.dat, ID.gp, draws, and cleans ID.svg. */
status figure_write(arena *a, figure *f, const char *folder, unsigned formats, error *e);

/* gnuplot's svg without what differs between its versions, ids prefixed, black as currentColor. */
const char *svg_clean(arena *a, const char *svg, const char *id);

/* Runs gnuplot in a folder. A missing program is one sentence that says what to install. */
status gnuplot_run(const char *folder, const char *script, error *e);
bool gnuplot_found(void);
