/* report_tasks_test.c - grids of several tasks: tables and figures hold what each task was measured
 * on, the settings that follow from the axes are listed, the leading comment becomes terms. */
#include "report_fixture.h"

#include "report/figure.h"

static const char spec[] =
    "{\"axes\": {\"task.name\": [], \"model.mixer\": [], \"model.conv.width\": []},"
    "\"determined\": [\"task.length\"], \"report\": {\"chance\": {\"nar\": 0.25}},"
    "\"description\": \"Hypothesis: width is\\n  needed.\\nSource: a paper\\n\\nmore\\nwords\"}";

static void add_final(fixture *f, const char *id, const char *slice, double y) {
    run_sql(f, arena_printf(f->arena,
                            "INSERT INTO final VALUES ('%s', 'test', '%s', 'token_acc', %.17g, "
                            "NULL)",
                            id, slice, y));
}

/* One cell; nar is trained at 64 and copy at 24. No width where it is 0. A failed run has no
 * values. */
static void add_cell(fixture *f, const char *task, const char *mixer, int width, long seed,
                     bool done, double y) {
    const bool nar = strcmp(task, "nar") == 0;
    const char *with = width ? arena_printf(f->arena, ", \"model.conv.width\": %d", width) : "";
    const char *axes = arena_printf(
        f->arena, "\"task.name\": \"%s\", \"model.mixer\": \"%s\", \"train.seed\": %ld%s", task,
        mixer, seed, with);
    const char *id = arena_printf(f->arena, "run-%04d", f->position);
    run_sql(f, arena_printf(f->arena,
                            "INSERT INTO run (id, config, task, mixer, seed, state, params, "
                            "wall_s, attempts) VALUES ('%s', '{%s, \"task.length\": %d}', '%s', "
                            "'%s', %ld, '%s', 1000, 1, 1); INSERT INTO cell VALUES ('two', %d, "
                            "'%s', 'label', '{%s}', '{}')",
                            id, axes, nar ? 64 : 24, task, mixer, seed, done ? "done" : "failed",
                            f->position, id, axes));
    f->position++;
    if (!done) return;
    add_final(f, id, "", y);
    add_final(f, id, nar ? "length=64" : "length=24", y);
    add_final(f, id, nar ? "length=128" : "length=48", y / 2);
    if (nar) add_final(f, id, "length=256", y / 4);
    if (!nar) add_final(f, id, "order=1", y);
    if (!nar) add_final(f, id, "order=2", y / 2);
    add_final(f, id, "n=1", y); /* one value: nothing to look along */
}

static void fill(fixture *f) {
    add_experiment(f, "two", spec);
    for (long seed = 0; seed < 2; seed++) {
        add_cell(f, "nar", "attention", 0, seed, true, 0.25);
        add_cell(f, "nar", "cat", 3, seed, true, 1);
        add_cell(f, "copy", "attention", 0, seed, false, 0);
        add_cell(f, "copy", "cat", 3, seed, true, 0.5);
        add_cell(f, "copy", "cat", 48, seed, true, 0.75);
    }
    fixture_ready(f);
}

static void lengths_task_by_task(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    const char *nar = printed(&f, "two", "by_length_nar", TABLE_MARKDOWN);
    has(nar, "**Token accuracy by length (nar)**");
    has(nar, "| mixer | width | 64 (trained) | 128 | 256 | mean longer |");
    /* Means over the lengths beyond 64: (1/2 + 1/4) / 2. */
    has(nar, "| cat | 3 | 1.000 ± 0.000 | 0.500 ± 0.000 | 0.250 ± 0.000 | 0.375 ± 0.000 |");
    has_not(nar, "48");
    has_not(nar, "n=0/2");
    const char *copy = printed(&f, "two", "by_length_copy", TABLE_MARKDOWN);
    has(copy, "| mixer | width | 24 (trained) | 48 | mean longer |");
    has(copy, "| cat | 48 | 0.750 ± 0.000 | 0.375 ± 0.000 | 0.375 ± 0.000 |");
    /* A failure is a result, not an empty cell. */
    has(copy, "| attention | – | failed (n=0/2) |");
    fixture_close(&f);
}

static void slices_of_one_task(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    const char *order = printed(&f, "two", "by_order_copy", TABLE_MARKDOWN);
    has(order, "(copy)");
    has(order, "| mixer | width | 1 | 2 |");
    error e = {0};
    assert_int_equal(table_print(stdout, f.path, "two", "by_order_nar", TABLE_CSV, false, &e),
                     STATUS_USAGE);
    has(e.text, "by_order_copy");
    has_not(e.text, "by_n_");
    fixture_close(&f);
}

/* The mean over all conditions compares methods that were run under all of them. */
static void only_complete_methods(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    const char *all = printed(&f, "two", "aggregate", TABLE_MARKDOWN);
    has(all, "| attention | – |");
    has(all, "| cat | 3 |");
    has_not(all, "| cat | 48 |");
    has(all, "1 row not run under all 2 conditions is left out");
    fixture_close(&f);
}

static void no_mean_over_one_condition(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "two", spec);
    add_cell(&f, "nar", "attention", 0, 0, true, 0.25);
    add_cell(&f, "copy", "cat", 3, 0, true, 0.5);
    fixture_ready(&f);
    error e = {0};
    assert_int_equal(table_print(stdout, f.path, "two", "aggregate", TABLE_CSV, false, &e),
                     STATUS_USAGE);
    fixture_close(&f);
}

static void page_and_figures(void **state) {
    (void)state;
    fixture f = fixture_open();
    fill(&f);
    FILE *log = fopen("/dev/null", "w");
    error e = {0};
    report_options options = {.out = arena_printf(f.arena, "%s/out", f.folder),
                              .image_formats = FIGURE_SVG};
    report_write(f.path, "two", &options, log, &e);
    fclose(log);
    if (e.code) fail_msg("%s", e.text);
    const char *md = read_out(&f, "out/report.md");
    has(md, "**Hypothesis:** Width is needed.\n\n**Source:** A paper\n\nmore words\n\n");
    has(md, "| task.length | task = nar | 64 |");
    has(md, "| task.length | task = copy | 24 |");
    has(read_out(&f, "out/index.html"), "<dt>Hypothesis</dt><dd>Width is needed.</dd>");
    if (gnuplot_found()) {
        const char *script = read_out(&f, "out/figures/vs_length.gp");
        has(script, "set label 'nar'");
        has(script, "set xtics nomirror ('64' 64, '128' 128, '256' 256)");
        has(script, "set xtics nomirror ('24' 24, '48' 48)");
        has(script, "set label 'chance'");
        has(script, "set arrow 1 from 24,graph 0");
        has_not(read_out(&f, "out/figures/bars.gp"), "rotate by 40");
    }
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_task_by_task),  cmocka_unit_test(slices_of_one_task),
        cmocka_unit_test(only_complete_methods), cmocka_unit_test(no_mean_over_one_condition),
        cmocka_unit_test(page_and_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
