/* grid_input.h - grid files for fuzz targets: the schema of the program, in cells that end soon.
 *
 * A grid of 250,000 cells is right and takes seconds, so grid_take stops reading, by a jump out of
 * the schema's check, at more than CELLS; all that grid_read took is in the arena. Settings of each
 * cell are checked, but only the first cell of an input is laid before its task and mixers, as what
 * the program learns of a task it never forgets. */
#pragma once
#include "harness/catalog.h"
#include "harness/grid.h"
#include "kernels/test/fuzz.h"

#include <setjmp.h>
#include <stdlib.h>

enum { CELLS = 32 };

static jmp_buf grid_too_large;
static int grid_cells;

static inline const char *check_few(const config *c, arena *a, const char **key) {
    if (grid_cells++ == CELLS) longjmp(grid_too_large, 1);
    return grid_cells == 1 ? catalog_schema()->check(c, a, key) : NULL;
}

static inline const schema *grid_schema(void) {
    static schema few;
    if (!few.check) {
        unsetenv("MIXGRID_DATA");
        few = *catalog_schema();
        few.check = check_few;
    }
    return &few;
}

/* NULL: refused, or too large. What was refused has a place and a sentence. */
static inline const grid *grid_take(arena *a, const char *text, size_t bytes,
                                    const char *const *argument, int n) {
    diag *d = diag_new(a);
    grid_cells = 0;
    if (setjmp(grid_too_large)) return NULL;
    const grid *g = grid_read(a, grid_schema(), text, (long)bytes, "input", argument, n, d);
    CHECK(!g == (diag_errors(d) > 0));
    for (int i = 0; diag_line(d, i); i++) CHECK(strlen(diag_line(d, i)) > 16);
    return g;
}
