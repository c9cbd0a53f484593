/* mqar_test.c - multi-query recall: structure, slot weights, fillers, mixtures, lengths. */
#include "tasks/test/task_fixture.h"

static const task_options plain = {.data_seed = 7};

/* Checks the example in f as one of `pairs` pairs over `length` tokens. */
static void check_example(const fixture *f, int pairs, int length, bool zero) {
    const int *x = f->x.ids, half = f->s->vocab / 2;
    int queries = 0;
    check_ranges(f);
    for (int j = 0; j < pairs; j++) {
        int asked = 0;
        assert_in_range(x[2 * j], 1, half - 1);
        assert_in_range(x[2 * j + 1], half, f->s->vocab - 1);
        for (int k = 0; k < j; k++) {
            assert_int_not_equal(x[2 * k], x[2 * j]);
            assert_int_not_equal(x[2 * k + 1], x[2 * j + 1]);
        }
        for (int t = 2 * pairs; t < length; t++) {
            assert_int_not_equal(x[t], x[2 * j + 1]);
            if (x[t] != x[2 * j]) continue;
            asked++;
            assert_int_equal(t % 2, 0);
            assert_int_equal(f->x.labels[t], x[2 * j + 1]);
            assert_int_equal(slice_at(f, 0, t), pairs);
            int gap = slice_at(f, 1, t);
            assert_true(gap <= t - 2 * j && t - 2 * j < 2 * gap);
        }
        assert_int_equal(asked, 1);
    }
    for (int t = 0; t < f->s->time; t++) {
        queries += f->x.labels[t] >= 0;
        if (t >= 2 * pairs && f->x.labels[t] < 0 && (zero || t >= length))
            assert_int_equal(x[t], 0);
    }
    assert_int_equal(queries, pairs);
}

static void check_examples(const char *settings, long length, int pairs, int time, bool zero) {
    fixture f = set_open("mqar", settings, (task_options){.length = length});
    assert_int_equal(f.s->time, time);
    for (uint64_t p = 0; p < 300; p++) {
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        check_example(&f, pairs, time, zero);
    }
    arena_free(f.a);
}

static void test_structure(void **unused) {
    (void)unused;
    check_examples("", 0, 4, 64, true);
    check_examples("length=64 pairs=16", 0, 16, 64, true); /* every slot is taken */
    check_examples("length=4 vocab=6 pairs=1", 0, 1, 4, true);
    check_examples("length=32 vocab=34 pairs=8 filler=random", 0, 8, 32, false);
    check_examples("length=256 pairs=64 power=2", 0, 64, 256, true);
}

static void test_other_lengths(void **unused) {
    (void)unused;
    check_examples("length=64 pairs=8", 256, 8, 256, true);
    check_examples("length=64 pairs=8", 16, 4, 16, true); /* only 4 fit */
    check_examples("mix.length=[32] mix.pairs=[8] mix.examples=[1] pairs=2", 128, 2, 128, true);
}

/* One pair: the slot follows the weights exactly; several: the first slots still lead. */
static void test_slot_weights(void **unused) {
    (void)unused;
    enum { SLOTS = 15, DRAWS = 30000 };
    const double powers[] = {0.01, 1, 1.7};
    for (int k = 0; k < 3; k++) {
        char settings[64];
        long count[SLOTS] = {0};
        double share[SLOTS], sum = 0;
        for (int i = 0; i < SLOTS; i++) sum += share[i] = pow(i + 1, powers[k] - 1);
        for (int i = 0; i < SLOTS; i++) share[i] /= sum;
        snprintf(settings, sizeof settings, "length=32 pairs=1 power=%g", powers[k]);
        fixture f = set_open("mqar", settings, plain);
        for (uint64_t p = 0; p < DRAWS; p++) {
            int t = 2;
            task_get(f.s, SPLIT_TRAIN, p, &f.x);
            while (f.x.labels[t] < 0) t++;
            count[(t - 2) / 2]++;
        }
        assert_true(chi_square_excess(count, share, SLOTS) < 5);
        arena_free(f.a);
    }
}

/* Two pairs: the pair of slots follows successive sampling without replacement. */
static void test_without_replacement(void **unused) {
    (void)unused;
    enum { SLOTS = 6, CELLS = SLOTS * (SLOTS - 1), DRAWS = 30000 };
    long count[CELLS] = {0};
    double share[CELLS], weight[SLOTS], sum = 0;
    for (int i = 0; i < SLOTS; i++) sum += weight[i] = pow(i + 1, .01 - 1);
    for (int i = 0; i < SLOTS; i++)
        for (int k = 0; k < SLOTS - 1; k++)
            share[i * (SLOTS - 1) + k] = weight[i] / sum * weight[k + (k >= i)] / (sum - weight[i]);
    fixture f = set_open("mqar", "length=16 pairs=2", plain);
    for (uint64_t p = 0; p < DRAWS; p++) {
        int slot[2];
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int t = 4; t < 16; t += 2)
            for (int j = 0; j < 2; j++)
                if (f.x.ids[t] == f.x.ids[2 * j]) slot[j] = (t - 4) / 2;
        count[slot[0] * (SLOTS - 1) + slot[1] - (slot[1] > slot[0])]++;
    }
    assert_true(chi_square_excess(count, share, CELLS) < 5);
    arena_free(f.a);
}

static void test_mix(void **unused) {
    (void)unused;
    enum { DRAWS = 3000 };
    const int lengths[] = {16, 64}, pairs[] = {2, 8};
    const double share[] = {.25, .75};
    long count[2] = {0};
    fixture f = set_open("mqar", "mix.length=[16,64] mix.pairs=[2,8] mix.examples=[100,300]",
                         (task_options){.val_count = 10});
    assert_int_equal(f.s->time, 64);
    assert_string_equal(f.s->slice_name[2], "length");
    for (uint64_t p = 0; p < DRAWS; p++) {
        int scored = 0, last = 0;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int t = 0; t < 64; t++)
            if (f.x.labels[t] >= 0) scored++, last = t;
        int m = scored == pairs[1];
        check_example(&f, pairs[m], lengths[m], true);
        assert_int_equal(slice_at(&f, 2, last), lengths[m]);
        count[m]++;
    }
    assert_true(chi_square_excess(count, share, 2) < 5);
    arena_free(f.a);
}

static void test_errors(void **unused) {
    (void)unused;
    EXPECT_ERROR("mqar", "length=63", plain, "task.length", "63", "even");
    EXPECT_ERROR("mqar", "vocab=8191", plain, "task.vocab", "8191", "even");
    EXPECT_ERROR("mqar", "length=64 vocab=64", plain, "task.vocab", "64", "task.length");
    EXPECT_ERROR("mqar", "length=64 pairs=17", plain, "task.pairs", "17", "at most 16");
    EXPECT_ERROR("mqar", "", ((task_options){.length = 65}), "task.length", "65", "even");
    EXPECT_ERROR("mqar", "mix.length=[64]", plain, "task.mix.pairs", "0", "equally many");
    EXPECT_ERROR("mqar", "mix.length=[64] mix.pairs=[20] mix.examples=[1]", plain, "task.mix.pairs",
                 "20", "at most 16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure),    cmocka_unit_test(test_other_lengths),
        cmocka_unit_test(test_slot_weights), cmocka_unit_test(test_without_replacement),
        cmocka_unit_test(test_mix),          cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
