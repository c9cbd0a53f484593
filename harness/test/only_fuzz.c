/* only_fuzz.c - any text as an expression for --only: it fits a cell, or says why it does not. */
#include "harness/only.h"

#include "grid_input.h"

static const char grid_text[] = "experiment: e\n"
                                "defaults:\n"
                                "  task: {name: nar}\n"
                                "grid:\n"
                                "  model.mixer: [attention, lcat]\n"
                                "  train.lr: [1e-4, 1e-3, 1e-2]\n"
                                "when:\n"
                                "  - if: {model.mixer: lcat}\n"
                                "    set: {model.conv.on: [[q, k]]}\n"
                                "seeds: 2\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const grid *g;
    if (!g) {
        g = grid_take(arena_new(), grid_text, sizeof grid_text - 1, NULL, 0);
        CHECK(g && g->n == 12);
    }
    if (size > FUZZ_MAX_BYTES) return 0;
    arena *a = arena_new();
    error e = {0};
    const only *o = only_read(a, g, arena_printf(a, "%.*s", (int)size, (const char *)data), &e);
    int held = 0;
    for (int i = 0; o && i < g->n; i++) held += only_holds(o, &g->cell[i]);
    CHECK(!o == !held);
    if (!o) fuzz_check_error(&e);
    arena_free(a);
    return 0;
}
