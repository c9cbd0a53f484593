/* layout.h - where things stand in a figure, in pixels of its svg. Internal to layout.c and plot.c.
 *
 * gnuplot places text by the widths of its terminals' fonts, which differ between svg, png and pdf
 * and between machines. Here every place is computed from counted letters, so the same figure has
 * the same bytes everywhere and nothing overlaps that did not overlap in a test. */
#pragma once
#include "figure.h"

enum {
    MAX_LEGEND = 40,
    LETTER = 8, /* pixels of a letter, on the safe side: text is never measured */
    LINE = 17,  /* pixels from one line of text to the next */
    MAX_TITLE_LINES = 2,
    TURNED_LETTERS = 32, /* of the name of a bar that is turned */
};

typedef struct layout {
    int columns, rows, width, height; /* of the figure, in pixels of the svg */
    int panel_width, panel_height;    /* of the plotting area */
    int left, gap, right;             /* margins of the figure, and between two panels */
    int top, bottom;                  /* margins of a row of panels */
    int legend, legend_columns, legend_width;
    bool turned; /* names of bars do not fit side by side */
} layout;

layout layout_of(arena *a, const figure *f);
/* Left and upper edge of panel p's plotting area. */
int panel_x(const layout *l, int p);
int panel_y(const layout *l, int p);
/* Pixels from the left edge of a panel to the value v of its x axis. */
double panel_place(const figure *f, const layout *l, int p, double v);

/* Series of all panels without repetition, for the legend; returns their number, 0: no legend. */
int legend_series(const figure_series **out, const figure *f, int max);
/* A panel's title in at most two lines, broken at a comma where it can be, then cut; returns the
 * number of lines. */
int title_lines(const char *line[MAX_TITLE_LINES], arena *a, const char *title, int width);
/* The part of "cat, width = 3" up to the next comma; advances *s behind it. NULL at the end. */
const char *next_line(arena *a, const char **s);
/* Columns of the longest label. */
int widest_tick(const figure_tick *tick, int n);
