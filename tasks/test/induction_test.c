/* induction_test.c - structure and distribution of the induction head task. */
#include "tasks/test/task_fixture.h"

static void test_induction(void **unused) {
    (void)unused;
    enum { LENGTH = 12, VOCAB = 7, LAST = LENGTH - 1, DRAWS = 20000 };
    long place[LENGTH - 2] = {0}, answer[VOCAB - 1] = {0};
    fixture f = set_open("induction", "length=12 vocab=7", (task_options){.data_seed = 7});
    assert_int_equal(f.s->time, LENGTH);
    for (uint64_t p = 0; p < DRAWS; p++) {
        int specials = 0, first = LENGTH;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        check_ranges(&f);
        for (int t = LENGTH; t-- > 0;) {
            if (f.x.ids[t] == VOCAB - 1) specials++, first = t;
            assert_true((f.x.labels[t] >= 0) == (t == LAST));
        }
        assert_int_equal(specials, 2);
        assert_int_equal(f.x.ids[LAST], VOCAB - 1);
        assert_int_equal(f.x.labels[LAST], f.x.ids[first + 1]);
        int distance = slice_at(&f, 0, LAST);
        assert_true(distance <= LAST - first && LAST - first < 2 * distance);
        place[first]++;
        answer[f.x.labels[LAST]]++;
    }
    assert_true(chi_square_excess(place, NULL, LENGTH - 2) < 5);
    assert_true(chi_square_excess(answer, NULL, VOCAB - 1) < 5);
    arena_free(f.a);
}

static void test_errors(void **unused) {
    (void)unused;
    task_options few = {.test_count = 2};
    EXPECT_ERROR("induction", "length=2", few, "task.length", "2", "3");
    EXPECT_ERROR("induction", "vocab=2", few, "task.vocab", "2", "3");
    EXPECT_ERROR("induction", "length=3 vocab=3", few, "only about 2", "2 test");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_induction),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
