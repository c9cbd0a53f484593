/* request.h - which figures a report has, and what stands in them.
 *
 * Asked for in the grid file (report: {figures: [{kind, x, y, series, panel}]}), or by default what
 * the data allow (ask.c). request.c fills one figure from one request. Adding a kind: one function
 * in request.c that fills panels, one line in its table. */
#pragma once
#include "choice.h"
#include "figure.h"
#include "tabulate.h"

typedef struct figure_list {
    figure **figure;
    int n, cap;
} figure_list;

/* What one entry asks for, after names were looked up. */
typedef struct request {
    const char *kind, *id;
    const axis *x;               /* NULL: none */
    const slice_set *slices;     /* x of accuracy_vs_length and accuracy_vs_slice */
    const char *x_fact;          /* "params" or "state_size": x is a fact of the run */
    const char *split, *name;    /* y */
    unsigned long series, panel; /* axes as bits; 0: chosen here */
    bool chosen_by_user;
} request;

/* Appends the figure, in several files where it has many panels; none when there is no data. */
status request_draw(figure_list *out, arena *a, const choice *c, sqlite3 *db, const request *q,
                    const char *title, error *e);
/* The kind as a constant, or NULL. */
const char *request_kind(const char *kind);
/* "params" or "state_size" of a run; NAN: not known. */
double run_fact(const record_run *run, const char *fact);

/* db: for curves. An entry of the grid file that cannot be drawn is an error that names it. */
status draw_figures(figure_list *out, arena *a, const choice *c, sqlite3 *db, error *e);
