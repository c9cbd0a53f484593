/* nar_test.c - N-gram recall: structure, distribution and impossible settings. */
#include "tasks/test/task_fixture.h"

static const task_options plain = {.data_seed = 7};

/* Ends of all N-grams equal to the last one; returns how many. */
static int find_query(const int *x, int n, int time, int *ends) {
    int count = 0;
    for (int end = n - 1; end < time; end++)
        if (!memcmp(x + end - n + 1, x + time - n, sizeof *x * (size_t)n)) ends[count++] = end;
    return count;
}

static int count_near(const int *x, int n, int time, int i) {
    int count = 0;
    for (int j = n - 1; n > 1 && j + 1 < time - n; j++)
        count += j != i && x[j + 1] != x[i + 1] &&
                 !memcmp(x + j - n + 2, x + time - n + 1, sizeof *x * (size_t)(n - 1));
    return count;
}

static void check_examples(const char *settings, int n, bool distractors, bool all) {
    fixture f = set_open("nar", settings, plain);
    const int time = f.s->time, last = time - 1;
    int *ends = ARENA_NEW(f.a, int, time);
    for (uint64_t p = 0; p < (time > 1000 ? 50 : 500); p++) {
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        check_ranges(&f);
        assert_int_equal(f.x.ids[0], 0);
        for (int t = 1; t < time; t++) assert_int_not_equal(f.x.ids[t], 0);
        assert_int_equal(find_query(f.x.ids, n, time, ends), 2);
        assert_int_equal(ends[1], last);
        assert_true(ends[0] + 1 <= last - n);
        assert_int_equal(f.x.labels[last], f.x.ids[ends[0] + 1]);
        for (int t = 0; t < last; t++) assert_int_equal(f.x.labels[t], all ? f.x.ids[t + 1] : -1);
        int near = count_near(f.x.ids, n, time, ends[0]);
        if (distractors) assert_true(near >= 1);
        assert_int_equal(slice_at(&f, 0, last), n);
        int distance = slice_at(&f, 1, last), bucket = slice_at(&f, 2, last);
        assert_true(distance <= last - ends[0] && last - ends[0] < 2 * distance);
        assert_true(near ? bucket <= near && near < 2 * bucket : bucket == 0);
    }
    arena_free(f.a);
}

static void test_structure(void **unused) {
    (void)unused;
    check_examples("", 1, false, false);
    check_examples("vocab=3", 1, false, false); /* one token is left for all other places */
    check_examples("length=4 vocab=8", 1, false, false);
    check_examples("length=64 vocab=4 n=2", 2, false, false);
    check_examples("length=6 n=2", 2, false, false);
    check_examples("length=300 vocab=3 n=3", 3, false, false); /* plain rejection never ends */
    check_examples("length=32 vocab=8 n=2 distractors=true", 2, true, false);
    check_examples("length=8 vocab=4 n=2 distractors=true", 2, true, false);
    check_examples("length=64 vocab=64 n=4 distractors=true loss=all", 4, true, true);
    check_examples("length=4096 vocab=5 n=2", 2, false, false); /* weights must not underflow */
    check_examples("length=66 vocab=16 n=32", 32, false, false);
}

/* For N = 1 the rule is exact: place, query and answer are uniform, the answer is not the query. */
static void test_distribution(void **unused) {
    (void)unused;
    enum { LENGTH = 16, VOCAB = 6, DRAWS = 20000 };
    long place[LENGTH - 3] = {0}, pair[(VOCAB - 1) * (VOCAB - 2)] = {0};
    fixture f = set_open("nar", "length=16 vocab=6", plain);
    for (uint64_t p = 0; p < DRAWS; p++) {
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        int i = 1, q = f.x.ids[LENGTH - 1] - 1, answer = f.x.labels[LENGTH - 1] - 1;
        while (f.x.ids[i] != q + 1) i++;
        assert_int_not_equal(q, answer);
        place[i - 1]++;
        pair[q * (VOCAB - 2) + answer - (answer > q)]++;
    }
    assert_true(chi_square_excess(place, NULL, LENGTH - 3) < 5);
    assert_true(chi_square_excess(pair, NULL, (VOCAB - 1) * (VOCAB - 2)) < 5);
    arena_free(f.a);
}

/* N = 2, every sequence of 7 tokens out of 3: the share of each in "q and i uniform, the rest
 * redrawn until q occurs exactly twice" by enumeration, against the counts of our draws. */
static void test_equals_redrawing(void **unused) {
    (void)unused;
    enum { LENGTH = 8, CODES = 2187, PLACES = LENGTH - 5, QUERIES = 9, DRAWS = 50000 };
    static double share[CODES], ways[PLACES][QUERIES];
    static int place_of[CODES];
    static long count[CODES];
    for (int code = 0; code < CODES; code++) {
        int x[LENGTH] = {0}, ends[LENGTH];
        for (int t = 1, rest = code; t < LENGTH; t++, rest /= 3) x[t] = 1 + rest % 3;
        bool valid = find_query(x, 2, LENGTH, ends) == 2 && ends[0] - 2 < PLACES;
        place_of[code] = valid ? ends[0] - 2 : -1;
        if (valid) ways[place_of[code]][code / 243]++; /* the last two digits are the query */
    }
    for (int code = 0; code < CODES; code++)
        if (place_of[code] >= 0)
            share[code] = 1.0 / (PLACES * QUERIES * ways[place_of[code]][code / 243]);
    fixture f = set_open("nar", "length=8 vocab=4 n=2", plain);
    for (uint64_t p = 0; p < DRAWS; p++) {
        int code = 0;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int t = LENGTH; t-- > 1;) code = 3 * code + f.x.ids[t] - 1;
        assert_true(share[code] > 0);
        count[code]++;
    }
    int n = 0;
    for (int code = 0; code < CODES; code++) {
        if (!(share[code] > 0)) continue;
        share[n] = share[code];
        count[n++] = count[code];
    }
    assert_true(n > 300);
    assert_true(chi_square_excess(count, share, n) < 5);
    arena_free(f.a);
}

/* The count used to refuse small spaces: exact for N = 1, a bound from below for N = 2. */
static void test_count(void **unused) {
    (void)unused;
    enum { LENGTH = 8, VOCAB = 4 };
    for (int n = 1; n <= 2; n++) {
        long exist = 0, codes = 2187; /* 3^7 sequences after BOS */
        for (long code = 0; code < codes; code++) {
            int x[LENGTH] = {0}, ends[LENGTH];
            long rest = code;
            for (int t = 1; t < LENGTH; t++, rest /= VOCAB - 1)
                x[t] = 1 + (int)(rest % (VOCAB - 1));
            exist += find_query(x, n, LENGTH, ends) == 2 && ends[0] + 1 <= LENGTH - 1 - n;
        }
        fixture f = set_open("nar", n == 1 ? "length=8 vocab=4" : "length=8 vocab=4 n=2", plain);
        double counted = exp2(f.s->task->log2_examples(f.s));
        if (n == 1)
            assert_true(fabs(counted - (double)exist) < 1e-6 * (double)exist);
        else
            assert_true(counted <= (double)exist && counted > .3 * (double)exist);
        arena_free(f.a);
    }
    fixture f = set_open("nar", "length=4096 vocab=8192 n=3", plain); /* must not overflow */
    double bits = f.s->task->log2_examples(f.s);
    assert_true(bits > 13 * 4000 && bits < 13 * 4096);
    arena_free(f.a);
}

static void test_errors(void **unused) {
    (void)unused;
    EXPECT_ERROR("nar", "length=5 n=2", plain, "task.length", "5", "6");
    EXPECT_ERROR("nar", "length=7 n=2 distractors=true", plain, "task.length", "7", "8");
    EXPECT_ERROR("nar", "distractors=true", plain, "task.distractors", "task.n", "at least 2");
    EXPECT_ERROR("nar", "vocab=2", plain, "task.vocab", "2", "3");
    EXPECT_ERROR("nar", "vocab=3", ((task_options){.test_count = 100}), "only about 122", "100");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_equals_redrawing), cmocka_unit_test(test_count),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
