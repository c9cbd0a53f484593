/* compare_test.c - what differs between two runs, and that nothing is not called equal. */
#include "pair_fixture.h"
#include "results/compare.h"

#include <math.h>
#include <stdlib.h>

static char *compared(const char *a, const char *b, bool json, bool *equal) {
    error e = {0};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    comparison *c = compare_open(ours.db, a, theirs.db, b, &e);
    if (!c || compare_results(equal, c, &e) || compare_print(c, json, out, &e))
        fail_msg("%s", e.text);
    compare_close(c);
    fclose(out);
    return text;
}

static void one_run(const place *p, const char *config, const char *environment, double at_7,
                    uint64_t hash, double final) {
    error e = {0};
    journal *j = journal_open(p->journals, "abc", &e);
    journal_attempt(j, "abc", config, environment, 1, -1, 1);
    for (long step = 0; step < 10; step++)
        journal_metric(j, "train", "", "loss", step, step == 7 ? at_7 : 0.5);
    journal_hash(j, 5, 1);
    journal_hash(j, 10, hash);
    journal_final(j, "test", "length=8", "acc", final);
    journal_final(j, "test", "", "nll", (double)NAN);
    journal_end(j, RUN_DONE, 10, 1, "");
    assert_int_equal(journal_close(j, &e), STATUS_OK);
    store *s = fixture_open(p);
    import_all(s, p);
    store_close(s);
}

static void test_compare_tells_each_difference(void **state) {
    (void)state;
    static const char base[] = "{\"model.mixer\":\"cat\",\"train.lr\":0.1}",
                      env[] = "{\"commit\":\"c1\",\"device\":\"x\"}";
    static const struct {
        const char *config, *environment;
        double at_7;
        uint64_t hash;
        double final;
        bool equal;
        const char *part;
    } c[] = {
        {base, env, 0.5, 2, 0.25, true,
         "Results: equal to the bit: 2 final values, 10 points, 2 hashes"},
        {"{\"model.mixer\":\"cat\",\"train.lr\":0.2}", env, 0.5, 2, 0.25, true,
         "Configuration: 1 settings differ"},
        {"{\"model.mixer\":\"cat\"}", env, 0.5, 2, 0.25, true, "train.lr  0.1"},
        {base, "{\"commit\":\"c2\",\"device\":\"x\"}", 0.5, 2, 0.25, true,
         "Code: 1 entries differ"},
        {base, "{\"commit\":\"c1\",\"device\":\"y\"}", 0.5, 2, 0.25, true, "device  x  y"},
        {base, env, 0.5 + 0x1p-53, 2, 0.25, false,
         "train         loss     7  0.5  0.5000000000000001"},
        {base, env, 0.5, 3, 0.25, false, "10  0000000000000002  0000000000000003"},
        {base, env, 0.5, 2, 0.25 + 0x1p-54, false, "Final values: 1 values differ"},
        {base, env, (double)NAN, 2, 0.25, false, "0.5  nan"},
    };
    one_run(&ours, base, env, 0.5, 2, 0.25);
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        bool equal;
        one_run(&theirs, c[i].config, c[i].environment, c[i].at_7, c[i].hash, c[i].final);
        char *text = compared("a", "abc", false, &equal);
        if (equal != c[i].equal || !strstr(text, c[i].part))
            fail_msg("case %zu: no \"%s\" in\n%s", i, c[i].part, text);
        if (!equal) assert_non_null(strstr(text, "Results: they differ"));
        free(text);
        text = compared("a", "abc", true, &equal);
        assert_non_null(strstr(text, equal ? "\"equal\":true" : "\"equal\":false"));
        assert_int_equal(text[strlen(text) - 2], '}');
        free(text);
        place_remove(&theirs);
        theirs = place_new();
    }
}

static void test_compare_of_nothing_is_said(void **state) {
    (void)state;
    static const char *const run[] = {"a", "b"};
    error e = {0};
    bool equal;
    store *s = fixture_open(&ours);
    add_experiment(s, &ours, "x", run, 2);
    store_close(s);
    comparison *c = compare_open(ours.db, "a", ours.db, "b", &e);
    assert_non_null(c);
    assert_int_equal(compare_results(&equal, c, &e), STATUS_RUNS_FAILED);
    assert_non_null(strstr(e.text, "neither run has any result yet"));
    compare_close(c);
    e = (error){0};
    assert_null(compare_open(ours.db, "a", ours.db, "q", &e));
    assert_non_null(strstr(e.text, "holds no run whose id starts with `q`"));
    e = (error){0};
    assert_null(compare_open(ours.db, "a", theirs.db, "q", &e));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_compare_tells_each_difference),
        TEST(test_compare_of_nothing_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
