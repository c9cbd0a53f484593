/* selective_copy_test.c - structure of both forms, and that places are uniform. */
#include "tasks/test/task_fixture.h"

static const task_options plain = {.data_seed = 7};

static void check_examples(const char *settings, int length, int tokens, bool autoregressive,
                           bool distinct) {
    fixture f = set_open("selective_copy", settings, plain);
    const int prefix = length + tokens, marker = f.s->vocab - 1;
    assert_int_equal(f.s->time, prefix + tokens + autoregressive);
    for (uint64_t p = 0; p < 300; p++) {
        int found = 0, last_id = -1;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        check_ranges(&f);
        for (int t = 0; t < prefix; t++) {
            int id = f.x.ids[t];
            assert_int_equal(f.x.labels[t], -1);
            if (!id) continue;
            assert_in_range(id, 1, marker - 1);
            int at = prefix + found++;
            assert_int_equal(f.x.labels[at], id);
            int order = slice_at(&f, 0, at), distance = slice_at(&f, 1, at);
            assert_true(order <= found && found < 2 * order);
            assert_true(distance <= at - t && at - t < 2 * distance);
            assert_int_equal(f.x.ids[at], found > 1 && autoregressive ? last_id : marker);
            last_id = id;
            for (int u = 0; distinct && u < t; u++) assert_int_not_equal(f.x.ids[u], id);
        }
        assert_int_equal(found, tokens);
        if (autoregressive) {
            assert_int_equal(f.x.ids[f.s->time - 1], last_id);
            assert_int_equal(f.x.labels[f.s->time - 1], -1);
        }
    }
    arena_free(f.a);
}

static void test_structure(void **unused) {
    (void)unused;
    check_examples("length=64 tokens=8", 64, 8, false, false);
    check_examples("length=64 tokens=8 vocab=10 distinct=true", 64, 8, false, true);
    check_examples("length=64 tokens=8 form=autoregressive", 64, 8, true, false);
    check_examples("length=1 tokens=1 vocab=3 form=autoregressive", 1, 1, true, false);
    check_examples("length=20 tokens=30 vocab=40 form=autoregressive distinct=true", 20, 30, true,
                   true);
}

/* Every place of the prefix holds data equally often, the last one too, and so does every pair of
 * neighbouring places. Counts of a subset are negatively correlated, so uniform places give a
 * statistic below that of independent counts: the test is one-sided and strict enough. */
static void test_uniform_places(void **unused) {
    (void)unused;
    enum { LENGTH = 20, TOKENS = 5, PREFIX = LENGTH + TOKENS, DRAWS = 20000, VOCAB = 8 };
    long place[PREFIX] = {0}, both[PREFIX - 1] = {0}, value[VOCAB - 2] = {0};
    fixture f = set_open("selective_copy", "length=20 tokens=5 vocab=8", plain);
    for (uint64_t p = 0; p < DRAWS; p++) {
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int t = 0; t < PREFIX; t++) {
            if (!f.x.ids[t]) continue;
            place[t]++;
            value[f.x.ids[t] - 1]++;
            if (t && f.x.ids[t - 1]) both[t - 1]++;
        }
    }
    assert_true(chi_square_excess(place, NULL, PREFIX) < 5);
    assert_true(chi_square_excess(both, NULL, PREFIX - 1) < 5);
    assert_true(chi_square_excess(value, NULL, VOCAB - 2) < 5);
    double last = (double)place[PREFIX - 1] / DRAWS, pair = 0;
    for (int t = 0; t < PREFIX - 1; t++) pair += (double)both[t] / DRAWS / (PREFIX - 1);
    assert_true(fabs(last - (double)TOKENS / PREFIX) < .015); /* 5 standard deviations */
    assert_true(fabs(pair - (double)TOKENS / PREFIX * (TOKENS - 1) / (PREFIX - 1)) < .002);
    arena_free(f.a);
}

/* All subsets of a small prefix are equally likely, as is every order of distinct data. */
static void test_uniform_subsets(void **unused) {
    (void)unused;
    enum { SUBSETS = 20, ORDERS = 24, DRAWS = 20000 }; /* C(6,3); 4 * 3 * 2 */
    long subset[64] = {0}, order[64] = {0}, dense[ORDERS];
    fixture f = set_open("selective_copy", "length=3 tokens=3 vocab=6 distinct=true", plain);
    for (uint64_t p = 0; p < DRAWS; p++) {
        int places = 0, digits = 0;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int t = 0; t < 6; t++) places |= (f.x.ids[t] > 0) << t;
        for (int k = 6; k < 9; k++) digits = 4 * digits + f.x.labels[k] - 1;
        subset[places]++;
        order[digits]++;
    }
    int n = 0;
    for (int i = 0; i < 64; i++)
        if (subset[i]) dense[n++] = subset[i];
    assert_int_equal(n, SUBSETS);
    assert_true(chi_square_excess(dense, NULL, SUBSETS) < 5);
    n = 0;
    for (int i = 0; i < 64; i++)
        if (order[i]) dense[n++] = order[i];
    assert_int_equal(n, ORDERS);
    assert_true(chi_square_excess(dense, NULL, ORDERS) < 5);
    assert_true(fabs(exp2(f.s->task->log2_examples(f.s)) - SUBSETS * ORDERS) < 1e-6);
    arena_free(f.a);
}

static void test_errors(void **unused) {
    (void)unused;
    EXPECT_ERROR("selective_copy", "tokens=15 distinct=true", plain, "task.tokens", "15", "17");
    EXPECT_ERROR("selective_copy", "vocab=2", plain, "task.vocab", "2", "3");
    EXPECT_ERROR("selective_copy", "tokens=0", plain, "task.tokens", "0", "1");
    EXPECT_ERROR("selective_copy", "length=2 tokens=1 vocab=4", ((task_options){.test_count = 4}),
                 "only about 6", "4 test");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_uniform_places),
        cmocka_unit_test(test_uniform_subsets),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
