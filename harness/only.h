/* only.h - which cells of a grid a command is about: --only "mixer=cat|lcat, lr<1e-3".
 *
 * Conditions are separated by commas or spaces, as in labels, and must all hold. KEY=A|B (one of
 * these), KEY!=A|B (none of these), KEY<N, KEY<=N, KEY>N, KEY>=N; KEY is a full key (train.lr) or
 * its end (lr). A setting that a cell does not have fulfils only !=. Values are compared as numbers
 * where both are, so that 0.001 is 1e-3. A text without an operator must be part of the label. */
#pragma once
#include "grid.h"

typedef struct only only;

/* NULL and one sentence where the text is no expression, names a setting that no cell has, or fits
 * no cell. text NULL: everything. */
const only *only_read(arena *a, const grid *g, const char *text, error *e);
bool only_holds(const only *o, const grid_cell *cell);
