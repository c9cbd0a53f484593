/* grid.h - from a grid file and command-line overrides to the list of cells.
 *
 * File: experiment (required), recipe, defaults, grid, zip, when, exclude, baseline_changes, seeds,
 * select, early_terminate, published, report, method; or a W&B sweep file (method, parameters).
 * Nested maps and dotted keys mean the same.
 *
 * Order of cells: the axes of grid, zip and baseline_changes in file order, the last varying
 * fastest; inside each of these the axes that `when` clauses add; seeds innermost. Precedence, low
 * to high: field defaults, recipe, `defaults`, axes, `when`, command line. Cells whose
 * configurations are equal are one cell: the first stays, the others are counted in `merged`.
 * Adding values to an axis adds cells and changes no run id.
 * Cost: about 10 us a cell. */
#pragma once
#include "config.h"

enum { GRID_MAX_CELLS = 250000 };

typedef struct grid_cell {
    const config *config;  /* config->id is the run id */
    const char *label;     /* what tells it apart: "mixer=cat width=3 lr=0.001 seed=0" */
    const char *axes_json; /* all axes that apply, full keys, flat: {"model.mixer":"cat",...} */
} grid_cell;

/* `early_terminate`: at each of these fractions of the steps, of the settings that differ in the
 * keys of select.over only, the share `keep` goes on; see halving.h. */
typedef struct halving_rules {
    const char *metric; /* of the validation: "token_acc" */
    bool max;
    double keep;             /* over 0, under 1 */
    const double *at;        /* [n_at] over 0, under 1, rising */
    const char *const *over; /* [n_over] full keys */
    int n_at, n_over;
} halving_rules;

typedef struct grid {
    const char *experiment, *file;
    const grid_cell *cell; /* [n], n >= 1 */
    int n;
    int merged;   /* cells left out because an earlier one is the same run */
    int excluded; /* cells left out by `exclude` */
    int n_axes;
    const char *const *axis; /* [n_axes] full keys of what varies, the seed last */
    const char *seed_key;
    const halving_rules *halving; /* NULL: every cell is trained to its end */
    /* For reports: {"experiment","file","description","recipe","axes":{key:[values]},
     * "determined":[keys],"seeds":[],"select":{"over","by","mode"}|null,"published":[],"report":{},
     * "text"}: text is the whole file, description its leading comment lines, determined the keys
     * of `when` that vary but are no axes, as the axes decide them. */
    const char *spec_json;
} grid;

/* Reads a grid file. `override` [n] are command-line settings. NULL after errors, which are all in
 * `d`; warnings may be there in any case. */
const grid *grid_load(arena *a, const schema *s, const char *path, const char *const *argument,
                      int n, diag *d);
/* The same from text; `name` is what places call it. */
const grid *grid_read(arena *a, const schema *s, const char *text, long bytes, const char *name,
                      const char *const *argument, int n, diag *d);
