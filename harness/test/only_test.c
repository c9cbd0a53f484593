/* only_test.c - --only EXPR: what it takes in, what it leaves out, and what it refuses. */
#include "harness/only.h"

#include "harness/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* 2 x 3 cells of attention without and lcat with the setting model.select, one seed each. */
static const char text[] = "experiment: e\n"
                           "defaults:\n"
                           "  task: {name: nar}\n"
                           "grid:\n"
                           "  model.mixer: [attention, lcat]\n"
                           "  train.lr: [1e-4, 1e-3, 1e-2]\n"
                           "when:\n"
                           "  - if: {model.mixer: lcat}\n"
                           "    set: {model.conv.on: [[q, k]]}\n";

static const grid *load(arena *a) {
    diag *d = diag_new(a);
    const grid *g = grid_read(a, catalog_schema(), text, (long)strlen(text), "e.yaml", NULL, 0, d);
    diag_print(d, stderr);
    assert_non_null(g);
    assert_int_equal(g->n, 6);
    return g;
}

/* One letter per cell: x taken, . left. */
static void assert_takes(const char *expression, const char *expected) {
    arena *a = arena_new();
    const grid *g = load(a);
    error e = {0};
    const only *o = only_read(a, g, expression, &e);
    char actual[8] = "";
    if (!o) fail_msg("%s: %s", expression, e.text);
    for (int i = 0; i < g->n; i++) actual[i] = only_holds(o, &g->cell[i]) ? 'x' : '.';
    if (strcmp(actual, expected)) fail_msg("%s: %s, not %s", expression, actual, expected);
    arena_free(a);
}

static void assert_refused(const char *expression, const char *sentence) {
    arena *a = arena_new();
    error e = {0};
    assert_null(only_read(a, load(a), expression, &e));
    assert_int_equal(e.code, STATUS_USAGE);
    if (!strstr(e.text, sentence)) fail_msg("%s: %s", expression, e.text);
    arena_free(a);
}

static void conditions_choose_cells(void **state) {
    (void)state;
    assert_takes(NULL, "xxxxxx");
    assert_takes("mixer=lcat", "...xxx");
    assert_takes("model.mixer=lcat", "...xxx");
    assert_takes("mixer=lcat|attention", "xxxxxx");
    assert_takes("mixer!=lcat", "xxx...");
    assert_takes("mixer!=lcat|cat", "xxx...");
    assert_takes("lr=0.001", ".x..x.");
    assert_takes("lr=1e-3|.01", ".xx.xx");
    assert_takes("lr<1e-3", "x..x..");
    assert_takes("lr<=1e-3", "xx.xx.");
    assert_takes("lr>1e-3", "..x..x");
    assert_takes("lr>=1e-3", ".xx.xx");
    assert_takes("mixer=lcat, lr>1e-4,lr!=1e-2", "....x.");
    assert_takes("mixer=lcat lr=0.01", ".....x");
    assert_takes("lcat", "...xxx"); /* a part of the label */
    assert_takes("train.batch=64", "xxxxxx");
    assert_takes(",, ,lcat, ,", "...xxx"); /* nothing between two commas */
}

static void settings_that_a_cell_lacks_are_unequal_only(void **state) {
    (void)state;
    assert_takes("conv.on=[q,k]", "...xxx");
    assert_takes("conv.on!=[q,k]", "xxx...");
    assert_takes("conv.width>0", "...xxx");
}

static void nonsense_is_refused(void **state) {
    (void)state;
    assert_refused("mixr=lcat", "no cell of e.yaml has a setting mixr");
    assert_refused("mixer=mamba", "fits no cell; labels look like \"mixer=attention");
    assert_refused("=3", "`=3` is no condition");
    assert_refused("lr < 3", "without spaces inside");
    assert_refused("lr<abc", "train.lr< takes one number, not abc.");
    assert_refused("lr<1|2", "train.lr< takes one number, not 1|...");
    assert_refused("lr=", "train.lr= lacks a value");
    assert_refused("nothing", "fits no cell");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_choose_cells),
        cmocka_unit_test(settings_that_a_cell_lacks_are_unequal_only),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
