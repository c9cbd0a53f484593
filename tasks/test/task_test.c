/* task_test.c - what holds for every synthetic task: pinned data, splits, order, purity, errors. */
#include "tasks/test/task_fixture.h"

static const task_options plain = {.val_count = 64, .test_count = 64, .data_seed = 1};

/* Hashes of the first 64 examples of each split at the options `plain`. A change here is a change
 * of the task: published numbers no longer compare. */
static const struct golden {
    const char *task, *settings;
    uint64_t hash[N_SPLIT];
} golden[] = {
#include "tasks/test/golden.def"
};
enum { N_GOLDEN = sizeof golden / sizeof *golden };

static void test_golden(void **unused) {
    int wrong = 0;
    (void)unused;
    for (int i = 0; i < N_GOLDEN; i++) {
        uint64_t hash[N_SPLIT];
        fixture f = set_open(golden[i].task, golden[i].settings, plain);
        for (int k = 0; k < N_SPLIT; k++) hash[k] = task_hash(f.s, (split)k, 64);
        if (memcmp(hash, golden[i].hash, sizeof hash)) {
            wrong++;
            print_error("{\"%s\", \"%s\", {0x%016llx, 0x%016llx, 0x%016llx}},\n", golden[i].task,
                        golden[i].settings, (unsigned long long)hash[0],
                        (unsigned long long)hash[1], (unsigned long long)hash[2]);
        }
        arena_free(f.a);
    }
    assert_int_equal(wrong, 0);
}

static void test_every_task_is_pinned(void **unused) {
    (void)unused;
    for (int i = 0; i < n_tasks; i++) {
        int n = 0;
        assert_ptr_equal(task_find(tasks[i]->name), tasks[i]);
        for (int k = 0; k < N_GOLDEN; k++) n += !strcmp(golden[k].task, tasks[i]->name);
        if (tasks[i]->draw && n < 2) fail_msg("task %s has %d golden rows", tasks[i]->name, n);
    }
    assert_null(task_find("no such task"));
}

/* The same bytes in any order, from a second set, and without slices. */
static void test_pure(void **unused) {
    (void)unused;
    for (int i = 0; i < N_GOLDEN; i++) {
        fixture f = set_open(golden[i].task, golden[i].settings, plain);
        fixture h = set_open(golden[i].task, golden[i].settings, plain);
        size_t bytes = sizeof(int) * (size_t)f.s->time;
        h.x.slice = NULL;
        for (int k = 0; k < N_SPLIT; k++) {
            for (uint64_t p = 64; p-- > 40;) task_get(h.s, (split)k, p, &h.x);
            for (uint64_t p = 0; p < 20; p++) {
                uint64_t index = p * 7 % 20;
                task_get(h.s, (split)k, 63 - index, &h.x);
                task_get(h.s, (split)k, index, &h.x);
                memset(f.x.ids, 0x55, bytes); /* leftovers must not matter */
                memset(f.x.labels, 0x55, bytes);
                task_get(f.s, (split)k, index, &f.x);
                assert_memory_equal(f.x.ids, h.x.ids, bytes);
                assert_memory_equal(f.x.labels, h.x.labels, bytes);
                check_ranges(&f);
            }
        }
        arena_free(f.a);
        arena_free(h.a);
    }
}

static uint64_t hash_with(const char *name, const char *settings, task_options options, split k) {
    fixture f = set_open(name, settings, options);
    uint64_t hash = task_hash(f.s, k, 64);
    arena_free(f.a);
    return hash;
}

/* A split does not notice the size of the others, nor that training is not wanted. */
static void test_splits_are_independent(void **unused) {
    (void)unused;
    for (int i = 0; i < N_GOLDEN; i++) {
        task_options larger = plain, no_train = plain, other_seed = plain;
        larger.train_count = 50, larger.val_count = 200, larger.test_count = 150;
        no_train.held_out_only = true;
        other_seed.data_seed = 2;
        for (int k = SPLIT_VAL; k < N_SPLIT; k++) {
            uint64_t hash = hash_with(golden[i].task, golden[i].settings, plain, (split)k);
            assert_int_equal(hash, hash_with(golden[i].task, golden[i].settings, larger, (split)k));
            assert_int_equal(hash,
                             hash_with(golden[i].task, golden[i].settings, no_train, (split)k));
            assert_int_not_equal(
                hash, hash_with(golden[i].task, golden[i].settings, other_seed, (split)k));
        }
    }
}

/* Test is drawn first: where draws repeat often, the validation set must still not move it. */
static void test_small_space_keeps_test(void **unused) {
    (void)unused;
    task_options with_val = {.val_count = 96, .test_count = 96}, alone = {.test_count = 96};
    assert_int_equal(hash_with("induction", "length=8 vocab=3", with_val, SPLIT_TEST),
                     hash_with("induction", "length=8 vocab=3", alone, SPLIT_TEST));
}

static void test_length_option_is_the_field(void **unused) {
    (void)unused;
    task_options at_96 = plain;
    at_96.length = 96;
    assert_int_equal(hash_with("nar", "length=32 n=2", at_96, SPLIT_TEST),
                     hash_with("nar", "length=96 n=2", plain, SPLIT_TEST));
    assert_int_equal(hash_with("mqar", "length=64 pairs=8", at_96, SPLIT_TEST),
                     hash_with("mqar", "length=96 pairs=8", plain, SPLIT_TEST));
    assert_int_not_equal(hash_with("nar", "length=96 n=2", plain, SPLIT_TEST),
                         hash_with("nar", "length=96 n=3", plain, SPLIT_TEST));
}

/* A task of 384 examples, half of them held out: all test and validation examples are distinct and
 * no training example, finite or endless, is one of them, compared token by token. */
static void test_splits_are_disjoint(void **unused) {
    (void)unused;
    enum { HELD = 192, TRAIN = 2000, TIME = 8 };
    static int held[HELD][TIME];
    for (long train = 0; train <= 192; train += 192) {
        fixture f = set_open("induction", "length=8 vocab=3",
                             (task_options){.train_count = train,
                                            .val_count = HELD / 2,
                                            .test_count = HELD / 2,
                                            .data_seed = 3});
        for (uint64_t p = 0; p < HELD; p++) {
            task_get(f.s, p < HELD / 2 ? SPLIT_VAL : SPLIT_TEST, p % (HELD / 2), &f.x);
            for (uint64_t q = 0; q < p; q++)
                assert_memory_not_equal(held[q], f.x.ids, sizeof held[q]);
            memcpy(held[p], f.x.ids, sizeof held[p]);
        }
        for (uint64_t p = 0; p < TRAIN; p++) {
            task_get(f.s, SPLIT_TRAIN, p, &f.x);
            for (int q = 0; q < HELD; q++)
                assert_memory_not_equal(held[q], f.x.ids, sizeof held[q]);
        }
        arena_free(f.a);
    }
}

/* Every epoch of a finite set is a permutation of the same examples, in another order; an endless
 * stream starts with the very same examples, in order of index. */
static void test_finite_set(void **unused) {
    (void)unused;
    enum { COUNT = 101, EPOCHS = 3 };
    task_options options = plain;
    fixture endless = set_open("induction", "", options);
    options.train_count = COUNT;
    fixture f = set_open("induction", "", options);
    const size_t bytes = sizeof(int) * (size_t)f.s->time;
    int order[EPOCHS][COUNT];
    for (uint64_t p = 0; p < EPOCHS * COUNT; p++) {
        int found = -1;
        task_get(f.s, SPLIT_TRAIN, p, &f.x);
        for (int i = 0; i < COUNT && found < 0; i++) {
            task_get(endless.s, SPLIT_TRAIN, (uint64_t)i, &endless.x);
            if (!memcmp(f.x.ids, endless.x.ids, bytes)) found = i;
        }
        assert_true(found >= 0);
        order[p / COUNT][p % COUNT] = found;
    }
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[COUNT] = {0};
        for (int i = 0; i < COUNT; i++) seen[order[epoch][i]]++;
        for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
        if (epoch) assert_memory_not_equal(order[epoch], order[epoch - 1], sizeof order[0]);
    }
    arena_free(f.a);
    arena_free(endless.a);
}

static void test_options_errors(void **unused) {
    (void)unused;
    task_options many = plain, negative = plain, length = plain;
    many.test_count = 1000; /* of 384 that exist */
    EXPECT_ERROR("induction", "length=8 vocab=3", many, "induction", "384", "1000");
    many.test_count = 64, many.train_count = 300;
    EXPECT_ERROR("induction", "length=8 vocab=3", many, "384", "300");
    negative.val_count = -5;
    EXPECT_ERROR("induction", "", negative, "eval.val", "-5");
    length.length = 2;
    EXPECT_ERROR("induction", "", length, "task.length", "is 2", "3");
    EXPECT_ERROR("mqar", "power=-1", plain, "task.power", "-1", "0");
    EXPECT_ERROR("mqar", "power=nan", plain, "task.power", "nan");
    EXPECT_ERROR("mqar", "mix.length=[64,2]", plain, "task.mix.length", "is 2", "4");
    EXPECT_ERROR("nar", "n=33", plain, "task.n", "33", "32");
}

/* A mixture of nearly always one of 272 examples and rarely one of very many: the space is large,
 * but new examples run out. */
static void test_uneven_space(void **unused) {
    (void)unused;
    const char *settings = "vocab=34 mix.length=[4,32] mix.pairs=[1,8] mix.examples=[10000000,1]";
    task_options options = {.test_count = 268};
    EXPECT_ERROR("mqar", settings, options, "mqar", "distinct", "of 64 training draws", "268");
    options.test_count = 300;
    EXPECT_ERROR("mqar", settings, options, "mqar", "distinct", "after 272", "test");
}

/* The worked examples of the README are what `mixgrid task show` prints. */
static void test_readme(void **unused) {
    (void)unused;
    const struct {
        const char *task, *settings;
    } worked[] = {{"nar", "length=24 vocab=16 n=2 distractors=true"},
                  {"mqar", "length=24 vocab=40 pairs=3"},
                  {"selective_copy", "length=8 tokens=4 vocab=8"},
                  {"selective_copy", "length=7 tokens=4 vocab=8 form=autoregressive"},
                  {"induction", "length=16 vocab=10"}};
    FILE *readme = fopen("tasks/README.md", "r");
    char *text = NULL;
    size_t n = 0;
    assert_non_null(readme);
    assert_true(getdelim(&text, &n, '\0', readme) > 0);
    fclose(readme);
    for (size_t i = 0; i < sizeof worked / sizeof *worked; i++) {
        char *shown = NULL;
        FILE *file = open_memstream(&shown, &n);
        fixture f = set_open(worked[i].task, worked[i].settings, (task_options){.test_count = 1});
        task_get(f.s, SPLIT_TEST, 0, &f.x);
        task_show(f.s, &f.x, file);
        fclose(file);
        if (!strstr(text, shown))
            fail_msg("README lacks, for task %s %s:\n%s", worked[i].task, worked[i].settings,
                     shown);
        free(shown);
        arena_free(f.a);
    }
    free(text);
}

static void test_show(void **unused) {
    (void)unused;
    for (int i = 0; i < N_GOLDEN; i++) {
        char *text = NULL;
        size_t n = 0;
        FILE *file = open_memstream(&text, &n);
        fixture f = set_open(golden[i].task, golden[i].settings, plain);
        task_get(f.s, SPLIT_TEST, 0, &f.x);
        task_show(f.s, &f.x, file);
        fclose(file);
        assert_non_null(strstr(text, "role"));
        assert_non_null(strstr(text, "label"));
        free(text);
        arena_free(f.a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_every_task_is_pinned),
        cmocka_unit_test(test_pure),
        cmocka_unit_test(test_splits_are_independent),
        cmocka_unit_test(test_small_space_keeps_test),
        cmocka_unit_test(test_length_option_is_the_field),
        cmocka_unit_test(test_splits_are_disjoint),
        cmocka_unit_test(test_finite_set),
        cmocka_unit_test(test_options_errors),
        cmocka_unit_test(test_uneven_space),
        cmocka_unit_test(test_readme),
        cmocka_unit_test(test_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
