/* grid_fuzz.c - any bytes as a grid file.
 *
 * Cells of a grid that is read are different runs; the configuration of each, written as JSON and
 * read again, is the same run; labels and axes are there, and what is said for reports is JSON. */
#include "grid_input.h"

#include <jansson.h>

static void check_json(const char *text) {
    json_t *root = json_loads(text, 0, NULL);
    if (!json_is_object(root)) BUG("no JSON object: %s", text);
    json_decref(root);
}

static void check_cell(arena *a, const grid_cell *cell) {
    diag *d = diag_new(a);
    const char *json = config_json(a, cell->config, CONFIG_ALL);
    check_json(json);
    check_json(cell->axes_json);
    CHECK(cell->label != NULL);
    grid_cells = 0;
    const config *again = config_from_json(a, grid_schema(), json, "json", d);
    if (!again) BUG("%s", diag_line(d, 0));
    CHECK(!strcmp(again->id, cell->config->id));
    CHECK(!strcmp(again->pack_key, cell->config->pack_key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > FUZZ_MAX_BYTES / 4) return 0;
    arena *a = arena_new();
    const grid *g = grid_take(a, (const char *)data, size, NULL, 0);
    if (g) {
        CHECK(g->n >= 1 && *g->experiment);
        check_json(g->spec_json);
        for (int i = 0; i < g->n && i < 4; i++) check_cell(a, &g->cell[i]);
        for (int i = 1; i < g->n; i++)
            CHECK(strcmp(g->cell[i].config->id, g->cell[i - 1].config->id));
    }
    arena_free(a);
    return 0;
}
