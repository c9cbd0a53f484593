/* choice_test.c - what is chosen, what is averaged, what is called best. */
#include "report_fixture.h"

static const char search[] = "{\"axes\": {}, \"select\": {\"over\": [\"train.lr\"], \"by\": "
                             "\"val/token_acc\", \"mode\": \"max\"}}";

/* The larger learning rate looks better on test; only val may decide. */
static void test_val_decides(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "trap", search);
    for (long seed = 0; seed < 3; seed++) {
        add_run(&f, "trap", "cat", 0.001, seed, "done", 0.80, 0.50);
        add_run(&f, "trap", "cat", 0.01, seed, "done", 0.60, 0.95);
    }
    fixture_ready(&f);
    const char *csv = printed(&f, "trap", "main", TABLE_CSV);
    has(csv, "cat,0.001,1000,0.5,");
    has_not(csv, "0.95");
    has(printed(&f, "trap", "main", TABLE_TERMINAL), "of 2 settings");
    fixture_close(&f);
}

/* Means are over finished runs and say so; a failure counts in solve rates and in the choice. */
static void test_diverged(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "bad", search);
    for (long seed = 0; seed < 3; seed++) {
        bool lost = seed == 2;
        add_run(&f, "bad", "cat", 0.001, seed, "done", 0.70, 0.70);
        add_run(&f, "bad", "cat", 0.01, seed, lost ? "diverged" : "done", lost ? (double)NAN : 0.99,
                0.99);
    }
    for (long seed = 0; seed < 3; seed++)
        add_run(&f, "bad", "mamba", 0.01, seed, seed == 1 ? "failed" : "done",
                seed == 1 ? (double)NAN : 1.0, 1.0);
    fixture_ready(&f);
    const char *csv = printed(&f, "bad", "main", TABLE_CSV);
    /* .99 twice and a failure: .66 on average, so .001 wins. */
    has(csv, "cat,0.001,1000,0.7,");
    has(csv, "mamba,0.01,1000,1,0,1,1,2,3,");
    const char *shown = printed(&f, "bad", "main", TABLE_TERMINAL);
    has(shown, "1.000 ± 0.000 (n=2/3)");
    has(shown, "2/3");
    has(shown, "1 failed or diverged run is not in the means.");
    /* mamba's mean is higher, but over the runs that went well. */
    has_not(shown, "*");
    fixture_close(&f);
}

static void test_unfinished(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "open", "{}");
    add_run(&f, "open", "cat", 0, 0, "done", 0.5, 0.5);
    add_run(&f, "open", "cat", 0, 1, "running", (double)NAN, 0);
    fixture_ready(&f);
    const char *shown = printed(&f, "open", "main", TABLE_TERMINAL);
    has(shown, "0.500 (n=1/2)");
    has(shown, "0/1"); /* solved: of finished or failed, and the running one is neither */
    has(shown, "1 run is not finished yet.");
    fixture_close(&f);
}

/* Bold needs a significant difference to every rival, after correction. */
static void test_best(void **state) {
    (void)state;
    static const double noise[] = {0, 0.01, -0.01, 0.02, -0.02};
    fixture f = fixture_open();
    add_experiment(&f, "clear", "{}");
    add_experiment(&f, "close", "{}");
    for (long seed = 0; seed < 5; seed++) {
        add_run(&f, "clear", "cat", 0, seed, "done", 0, 0.9 + noise[seed]);
        add_run(&f, "clear", "mamba", 0, seed, "done", 0, 0.5 - noise[4 - seed]);
        add_run(&f, "clear", "linear", 0, seed, "done", 0, 0.3);
    }
    f.position = 0;
    for (long seed = 0; seed < 5; seed++) {
        add_run(&f, "close", "cat", 0, seed, "done", 0, 0.9 + noise[seed]);
        add_run(&f, "close", "mamba", 0, seed, "done", 0, 0.895 - noise[seed]);
    }
    fixture_ready(&f);
    const char *clear = printed(&f, "clear", "main", TABLE_MARKDOWN);
    has(clear, "**0.900 ± 0.020**");
    has_not(clear, "**0.5");
    has(clear, "over 2 comparisons");
    has_not(printed(&f, "close", "main", TABLE_MARKDOWN), "**0.");
    fixture_close(&f);
}

static void test_published(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "paper",
                   "{\"published\": [{\"mixer\": \"cat\", \"value\": 0.97, \"source\": \"A & B\"}, "
                   "{\"label\": \"elsewhere\", \"value\": \"no\", \"note\": \"d = 8\"}]}");
    add_run(&f, "paper", "cat", 0, 0, "done", 0.5, 0.5);
    add_run(&f, "paper", "mamba", 0, 0, "done", 0.25, 0.25);
    fixture_ready(&f);
    const char *csv = printed(&f, "paper", "published", TABLE_CSV);
    has(csv, "cat,token accuracy,0.97,0.5,");
    has(csv, "elsewhere,token accuracy,no,");
    has_not(csv, "0.25");
    has(printed(&f, "paper", "published", TABLE_LATEX), "A \\& B");
    has(printed(&f, "paper", "published", TABLE_TERMINAL), "another protocol");
    fixture_close(&f);
}

static void test_solve_threshold(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "lax", "{\"report\": {\"solve\": 0.5}}");
    add_run(&f, "lax", "cat", 0, 0, "done", 0.5, 0.5);
    add_run(&f, "lax", "cat", 0, 1, "done", 0.4, 0.4);
    fixture_ready(&f);
    has(printed(&f, "lax", "main", TABLE_TERMINAL), "1/2");
    fixture_close(&f);
}

/* A search without the value it chooses by must not look like a choice. */
static void test_nothing_to_choose_by(void **state) {
    (void)state;
    fixture f = fixture_open();
    add_experiment(&f, "blind", "{\"select\": {\"over\": [\"train.lr\"], \"by\": \"val/bpb\"}}");
    add_run(&f, "blind", "cat", 0.001, 0, "done", 0.5, 0.5);
    add_run(&f, "blind", "cat", 0.01, 0, "done", 0.9, 0.9);
    fixture_ready(&f);
    const char *shown = printed(&f, "blind", "main", TABLE_TERMINAL);
    has(shown, "No run has a final val bits per");
    has(shown, "no interval");
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_val_decides),
        cmocka_unit_test(test_diverged),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_solve_threshold),
        cmocka_unit_test(test_nothing_to_choose_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
