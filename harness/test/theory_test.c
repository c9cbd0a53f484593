/* theory_test.c - the engine does what theory predicts of hand-built weights. The cases are those
 * of mixgrid theory, with fewer examples where sequences are long. */
#include "harness/cli.h"
#include "harness/theory.h"

// cmocka needs these four before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// and is last
#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { TOKENS = 1 << 15, SMALL_VOCAB = 8, SMALL_TABLES = 64 };

static const backend *device(void) {
    error e = {0};
    const backend *b = backend_find("auto", &e);
    assert_non_null(b);
    return b;
}

/* Shares that are neither 0 nor 1 need many examples, but their sequences are short. */
static int tables_of(const theory_case *c) {
    if (c->build == BUILD_LANDMARK) return 1;
    if (c->vocab == SMALL_VOCAB) return SMALL_TABLES;
    const int tables = TOKENS / (c->length * c->batch);
    return tables ? tables : 1;
}

/* To the tolerance of a case come two standard errors of a share, as examples are fewer. */
static void check_cases(const char *check) {
    int n = 0;
    for (int i = 0; i < n_theory_cases; i++) {
        const theory_case *c = &theory_cases[i];
        if (strcmp(c->check, check)) continue;
        error e = {0};
        theory_result r;
        assert_int_equal(theory_measure(&r, c, device(), tables_of(c), &e), STATUS_OK);
        assert_true(r.examples >= c->batch);
        const double spread = c->quantity == QUANTITY_ELSEWHERE
                                  ? 0
                                  : sqrt(c->expected * (1 - c->expected) / (double)r.examples);
        if (!(fabs(r.measured - c->expected) <= c->tolerance + 2 * spread)) {
            arena *a = arena_new();
            fail_msg("%s %s, %s: %s is %.5f over %ld examples, expected %.5f", c->check, c->name,
                     theory_setting(a, c), theory_quantity_name[c->quantity], r.measured,
                     r.examples, c->expected);
        }
        n++;
    }
    assert_true(n > 3);
}

static void test_recall(void **state) {
    (void)state;
    check_cases("T1");
}
static void test_length(void **state) {
    (void)state;
    check_cases("T2");
}
static void test_landmark(void **state) {
    (void)state;
    check_cases("T3");
}
static void test_copy(void **state) {
    (void)state;
    check_cases("T4");
}

static const theory_case small = {.check = "T1",
                                  .name = "small",
                                  .build = BUILD_KEY_DELAY,
                                  .n = 2,
                                  .length = 32,
                                  .vocab = SMALL_VOCAB,
                                  .dim = 16,
                                  .width = 1,
                                  .ratio = .5,
                                  .sharpness = 12,
                                  .tables = 4,
                                  .batch = 8};

/* Not the share alone: attention mass is a real number, every bit of which must come again. */
static void test_same_bits_again(void **state) {
    (void)state;
    theory_case c = small;
    c.quantity = QUANTITY_ELSEWHERE;
    error e = {0};
    theory_result first, second;
    assert_int_equal(theory_measure(&first, &c, device(), 0, &e), STATUS_OK);
    assert_int_equal(theory_measure(&second, &c, device(), 0, &e), STATUS_OK);
    assert_memory_equal(&first.measured, &second.measured, sizeof first.measured);
    assert_int_equal(first.examples, c.tables * c.batch);
    assert_true(first.measured > .1 && first.measured < .9);
}

/* float and double run the same construction. */
static void test_double_agrees(void **state) {
    (void)state;
    theory_case c = small;
    c.quantity = QUANTITY_ELSEWHERE;
    error e = {0};
    theory_result single, twice;
    assert_int_equal(theory_measure(&single, &c, device(), 0, &e), STATUS_OK);
    assert_int_equal(theory_measure(&twice, &c, backend_find("f64", &e), 0, &e), STATUS_OK);
    assert_true(fabs(single.measured - twice.measured) < 1e-5);
}

static void test_impossible_task_is_refused(void **state) {
    (void)state;
    theory_case c = small;
    c.length = 5; /* 2 n + 2 is the least */
    error e = {0};
    theory_result r;
    assert_int_equal(theory_measure(&r, &c, device(), 0, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "length"));
}

static void test_command_names_an_unknown_check(void **state) {
    (void)state;
    char name[] = "theory", check[] = "T9";
    error e = {0};
    assert_int_equal(command_theory(2, (char *[]){name, check, NULL}, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "T9"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_landmark),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_same_bits_again),
        cmocka_unit_test(test_double_agrees),
        cmocka_unit_test(test_impossible_task_is_refused),
        cmocka_unit_test(test_command_names_an_unknown_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
