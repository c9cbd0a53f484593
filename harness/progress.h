/* progress.h - what a person sees of a running sweep, on stderr.
 *
 * On a terminal: one line per worker and one for the sweep, redrawn in place. Elsewhere: a line per
 * finished run and one for the sweep now and then. NO_COLOR and dumb terminals are respected. */
#pragma once
#include "worker.h"

typedef struct progress_view progress_view;

progress_view *progress_new(arena *a, int slots, long total);
/* A worker began or ended (label NULL), or sent a message. cost: of the whole pack, any unit. */
void progress_slot(progress_view *v, int slot, const char *label, double cost, int runs);
void progress_update(progress_view *v, int slot, const progress *p);
/* A line that stays: a finished or failed run. bad: shown in red. */
void progress_line(progress_view *v, bool bad, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Cost that is done and that is left, for the ETA; counts of cells. */
void progress_totals(progress_view *v, long done, long running, long failed, long left,
                     double cost_left);
void progress_draw(progress_view *v, bool force);
void progress_end(progress_view *v);
