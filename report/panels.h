/* panels.h - which rows stand in which panel and series of a figure. Internal to request.c and
 * panels.c.
 *
 * Conditions are panels, methods are series: a reader compares what stands in one frame. Panels are
 * made as rows ask for them, so a panel or series without any data does not exist. */
#pragma once
#include "request.h"

enum { MAX_PANELS = 6 }; /* of one file */

typedef struct plan {
    arena *arena;
    const choice *choice;
    sqlite3 *db;
    const request *q;
    figure *f; /* all panels; cut into files at the end */
    unsigned long series, panel;
} plan;

/* Splits the shown axes but x into p->series and p->panel. */
void plan_axes(plan *p);
bool plan_has_bars(const plan *p);
/* The axis that has the colours. */
bool is_mixer(const axis *x);

/* The panel of a row, made where it is new. The pointer is good until the next panel. */
figure_panel *panel_of(plan *p, const variant *v);
/* The series of a row in its panel, made where it is new. The pointer is good until the next
 * series. */
figure_series *series_of(plan *p, const variant *v);
/* A mean of the row with its interval, and its single runs where they are few enough to be seen. An
 * empty sample adds nothing, no panel either. */
void add_sample(plan *p, const variant *v, double x, const sample *y);
/* Scale and ticks of all panels for the x values v [n], ascending; many values are left to the
 * figure. */
void set_ticks(plan *p, const double *v, int n);
/* The same, panel by panel, for the values that its points have. */
void set_own_ticks(plan *p);
