/* override_fuzz.c - any words as the settings of a command line, one a line, over a grid that has a
 * bit of everything in two cells of one mixer: what settings do is decided before cells are many.
 * More words than MAX_WORDS would only repeat it. */
#include "grid_input.h"

enum { MAX_WORDS = 10 };

static const char grid_text[] = "experiment: e\n"
                                "recipe: null\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 8, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8}\n"
                                "grid:\n"
                                "  model.mixer: [cat]\n"
                                "  train.lr: [1e-3]\n"
                                "when:\n"
                                "  - if: {model.mixer: cat}\n"
                                "    set: {model.conv.width: [3, 4]}\n"
                                "seeds: 1\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > FUZZ_MAX_BYTES / 4) return 0;
    arena *a = arena_new();
    char *rest = arena_printf(a, "%.*s", (int)size, size ? (const char *)data : "");
    const char *word[MAX_WORDS];
    int n = 0;
    for (char *line; n < MAX_WORDS && (line = strsep(&rest, "\n"));)
        if (*line) word[n++] = line;
    const grid *g = grid_take(a, grid_text, sizeof grid_text - 1, word, n);
    if (g) CHECK(g->n >= 1);
    arena_free(a);
    return 0;
}
