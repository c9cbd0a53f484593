/* lm_test.c - the windows of language modelling over a corpus. */
#include "tasks/test/corpus_fixture.h"

static const task_options whole = {.data_seed = 1};

/* Settings for the made prose of 600 lines, valid until the next call. */
static const char *prose(const char *settings) {
    static char text[512];
    arena *a = arena_new();
    const char *made = made_prose(a, 600);
    const char *path = made_text("prose.txt", made, strlen(made));
    snprintf(text, sizeof text, "%s", arena_printf(a, "corpus=%s %s", path, settings));
    arena_free(a);
    return text;
}

static const corpus *corpus_of(const char *settings, token_rule rule) {
    error e = {0};
    char path[256];
    snprintf(path, sizeof path, "%.*s", (int)strcspn(settings + 7, " "), settings + 7);
    const corpus *c = corpus_open(&(corpus_spec){path, rule, .05, .05}, &e);
    assert_non_null(c);
    return c;
}

/* Hashes of train (one epoch and a half), val and test. A change is a change of the task. */
static void test_golden(void **unused) {
    static const struct {
        const char *settings;
        uint64_t hash[N_SPLIT];
    } golden[] = {
        {"tokens=byte length=32", {0xa0434f79eedb56b5, 0xebb821672cc6afaf, 0xfe437569ada16dd8}},
        {"tokens=char length=33 stride=7",
         {0xbd60b903d14d5a33, 0xa59cd1d3def665cc, 0xd99d7c8325781494}},
        {"tokens=word length=16 stride=8",
         {0x6607b8db978ecc21, 0x57cc765d38838280, 0x48d9227b4923cbd5}},
    };
    int wrong = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        fixture f = set_open("lm", prose(golden[i].settings), whole);
        const uint64_t hash[] = {task_hash(f.s, SPLIT_TRAIN, f.s->count[SPLIT_TRAIN] * 3 / 2),
                                 task_hash(f.s, SPLIT_VAL, f.s->count[SPLIT_VAL]),
                                 task_hash(f.s, SPLIT_TEST, f.s->count[SPLIT_TEST])};
        if (memcmp(hash, golden[i].hash, sizeof hash)) {
            wrong++;
            print_error("{\"%s\", {0x%016llx, 0x%016llx, 0x%016llx}},\n", golden[i].settings,
                        (unsigned long long)hash[0], (unsigned long long)hash[1],
                        (unsigned long long)hash[2]);
        }
        arena_free(f.a);
    }
    assert_int_equal(wrong, 0);
}

/* Scores every label of a held-out split: each token but the first once, read after the tokens
 * right before it, and never with less context than the stride promises. */
static void check_cover(const char *settings, token_rule rule, long stride) {
    fixture f = set_open("lm", settings, whole);
    const corpus *c = corpus_of(settings, rule);
    const long time = f.s->time;
    for (int k = SPLIT_VAL; k < N_SPLIT; k++) {
        long next = 1; /* token to be scored */
        for (uint64_t i = 0; i < f.s->count[k]; i++) {
            const long start = (long)i * stride;
            long before = next;
            task_get(f.s, (split)k, i, &f.x);
            check_ranges(&f);
            for (long t = 0; t < time; t++) {
                if (start + t < c->tokens[k])
                    assert_int_equal(f.x.ids[t], corpus_token(c, (split)k, start + t));
                if (f.x.labels[t] < 0) continue;
                assert_int_equal(start + t + 1, next);
                assert_int_equal(f.x.labels[t], corpus_token(c, (split)k, next));
                if (i) assert_true(t >= time - stride);
                next++;
            }
            assert_true(next > before);
        }
        assert_int_equal(next, c->tokens[k]);
    }
    arena_free(f.a);
}

static void test_every_token_scored_once(void **unused) {
    (void)unused;
    char text[64];
    for (int rule = TOKEN_BYTE; rule <= TOKEN_WORD; rule++)
        for (long length = 1; length < 100; length = 3 * length + 1)
            for (long part = 0; part < 4; part++) { /* strides length, length/2, 1 */
                static const char *const name[] = {"byte", "char", "word"};
                const long stride = part == 0   ? 0
                                    : part == 1 ? (length + 1) / 2
                                    : part == 2 ? 1
                                                : length;
                snprintf(text, sizeof text, "tokens=%s length=%ld stride=%ld", name[rule], length,
                         stride);
                check_cover(prose(text), (token_rule)rule, stride ? stride : length);
            }
    check_cover(prose("tokens=word length=3000"), TOKEN_WORD, 3000); /* one window of padding */
}

/* Another length means other windows over the same tokens, with the same numbers. */
static void test_other_lengths(void **unused) {
    (void)unused;
    const task_options longer = {.length = 160, .data_seed = 1, .held_out_only = true};
    fixture trained = set_open("lm", prose("tokens=char length=20 stride=10"), whole);
    fixture f = set_open("lm", prose("tokens=char length=20 stride=10"), longer);
    fixture own = set_open("lm", prose("tokens=char length=160 stride=10"), whole);
    assert_int_equal(f.s->time, 160);
    assert_int_equal(f.s->vocab, trained.s->vocab);
    for (int k = SPLIT_VAL; k < N_SPLIT; k++) {
        assert_int_equal(f.s->tokens[k], trained.s->tokens[k]);
        assert_int_equal(f.s->count[k], own.s->count[k]);
        assert_int_equal(task_hash(f.s, (split)k, f.s->count[k]),
                         task_hash(own.s, (split)k, f.s->count[k]));
    }
    /* longer than the training split, but nothing is trained */
    arena_free(
        set_open("lm", prose("length=20"), (task_options){.length = 60000, .held_out_only = true})
            .a);
    arena_free(f.a), arena_free(own.a), arena_free(trained.a);
}

/* Which training window stands at a position: its first token, by comparing with all. */
static int window_at(fixture *f, const corpus *c, uint64_t position) {
    task_get(f->s, SPLIT_TRAIN, position, &f->x);
    for (long w = 0; w < (long)f->s->count[SPLIT_TRAIN]; w++) {
        long t = 0;
        const long start = w * f->s->time;
        while (t < f->s->time && f->x.ids[t] == corpus_token(c, SPLIT_TRAIN, start + t) &&
               f->x.labels[t] == corpus_token(c, SPLIT_TRAIN, start + t + 1))
            t++;
        if (t == f->s->time) return (int)w;
    }
    fail_msg("training position %d is no window", (int)position);
    return -1;
}

static void test_epochs(void **unused) {
    (void)unused;
    enum { MAX_WINDOWS = 400, EPOCHS = 3 };
    static int order[EPOCHS][MAX_WINDOWS];
    const char *settings = prose("tokens=char length=64");
    const corpus *c = corpus_of(settings, TOKEN_CHAR);
    fixture f = set_open("lm", settings, whole);
    const int count = (int)f.s->count[SPLIT_TRAIN];
    assert_int_equal(count, (c->tokens[SPLIT_TRAIN] - 1) / 64);
    assert_true(count > 100 && count <= MAX_WINDOWS);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        bool seen[MAX_WINDOWS] = {false};
        for (int i = 0; i < count; i++) {
            const int w = window_at(&f, c, (uint64_t)(epoch * count + i));
            assert_false(seen[w]);
            seen[w] = true;
            order[epoch][i] = w;
        }
        if (epoch)
            assert_memory_not_equal(order[epoch], order[epoch - 1], sizeof(int) * (size_t)count);
    }
    /* another seed: another order; another path: the same */
    arena *a = arena_new();
    const char *text = made_prose(a, 600);
    fixture other = set_open("lm", prose("tokens=char length=64"), (task_options){.data_seed = 2});
    const char *moved = arena_printf(a, "tokens=char length=64 corpus=%s",
                                     made_text("moved/prose.txt", text, strlen(text)));
    fixture there = set_open("lm", moved, whole);
    assert_int_not_equal(task_hash(other.s, SPLIT_TRAIN, 50), task_hash(f.s, SPLIT_TRAIN, 50));
    assert_int_equal(task_hash(there.s, SPLIT_TRAIN, 50), task_hash(f.s, SPLIT_TRAIN, 50));
    arena_free(other.a), arena_free(there.a), arena_free(f.a), arena_free(a);
}

static void test_pure(void **unused) {
    (void)unused;
    fixture f = set_open("lm", prose("tokens=word length=24 stride=5"), whole);
    fixture h = set_open("lm", prose("tokens=word length=24 stride=5"), whole);
    const size_t bytes = sizeof(int) * 24;
    h.x.slice = NULL;
    for (int k = 0; k < N_SPLIT; k++)
        for (uint64_t p = 0; p < 30; p++) {
            task_get(h.s, (split)k, 29 - p, &h.x);
            task_get(h.s, (split)k, p * 7 % 30, &h.x);
            memset(f.x.ids, 0x55, bytes), memset(f.x.labels, 0x55, bytes);
            task_get(f.s, (split)k, p * 7 % 30, &f.x);
            assert_memory_equal(f.x.ids, h.x.ids, bytes);
            assert_memory_equal(f.x.labels, h.x.labels, bytes);
            for (int t = 0; t < 24; t++)
                assert_int_equal(slice_at(&f, 0, t), f.x.labels[t] < 0 ? -1
                                                     : t < 2           ? t
                                                     : t < 4           ? 2
                                                     : t < 8           ? 4
                                                     : t < 16          ? 8
                                                                       : 16);
        }
    arena_free(f.a), arena_free(h.a);
}

static void test_limits(void **unused) {
    (void)unused;
    const task_options few = {.train_count = 5, .val_count = 3, .test_count = 1000000};
    const char *settings = prose("tokens=char length=64");
    const corpus *c = corpus_of(settings, TOKEN_CHAR);
    fixture f = set_open("lm", settings, few), all = set_open("lm", settings, whole);
    assert_int_equal(f.s->count[SPLIT_TRAIN], 5);
    assert_int_equal(f.s->count[SPLIT_VAL], 3);
    assert_int_equal(f.s->count[SPLIT_TEST], all.s->count[SPLIT_TEST]);
    assert_int_equal(task_hash(f.s, SPLIT_VAL, 3), task_hash(all.s, SPLIT_VAL, 3));
    bool seen[5] = {false};
    for (uint64_t p = 0; p < 5; p++) seen[window_at(&f, c, 5 + p)] = true;
    for (int w = 0; w < 5; w++) assert_true(seen[w]);
    arena_free(f.a), arena_free(all.a);
}

/* Ratios for bits per byte and word perplexity. Bytes as tokens: one byte each. */
static void test_ratios(void **unused) {
    (void)unused;
    char settings[300];
    const char *path =
        made_splits("ratios", "one two\n\xC3\xA9 four\n", "two four\n", "\n four one");
    snprintf(settings, sizeof settings, "corpus=%s tokens=word length=4", path);
    fixture f = set_open("lm", settings, whole);
    assert_int_equal(f.s->tokens[SPLIT_TRAIN], 6);
    assert_float_equal(f.s->bytes_per_token[SPLIT_TRAIN], 16. / 6, 1e-12);
    assert_float_equal(f.s->words_per_token[SPLIT_TRAIN], 4. / 6, 1e-12);
    assert_float_equal(f.s->bytes_per_token[SPLIT_TEST], 10. / 4, 1e-12);
    assert_float_equal(f.s->words_per_token[SPLIT_TEST], 2. / 4, 1e-12);
    arena_free(f.a);
    snprintf(settings, sizeof settings, "corpus=%s tokens=byte length=4", path);
    f = set_open("lm", settings, whole);
    assert_float_equal(f.s->bytes_per_token[SPLIT_VAL], 1, 0);
    assert_float_equal(f.s->words_per_token[SPLIT_VAL], 2. / 9, 1e-12);
    arena_free(f.a);
}

static void test_errors(void **unused) {
    (void)unused;
    char settings[300];
    const task_options many = {.train_count = 5000}, shorter = {.length = 32};
    EXPECT_ERROR("lm", "corpus=no/such", whole, "task.corpus", "no/such");
    EXPECT_ERROR("lm", prose("length=64 stride=65"), whole, "task.stride is 65", "64");
    EXPECT_ERROR("lm", prose("length=64 stride=50"), shorter, "task.stride is 50", "32",
                 "shortest length evaluated");
    EXPECT_ERROR("lm", prose("length=0"), whole, "task.length", "is 0");
    EXPECT_ERROR("lm", prose("stride=-1"), whole, "task.stride", "-1");
    EXPECT_ERROR("lm", prose("length=60000"), whole, "task.length is 60000", "length + 1");
    EXPECT_ERROR("lm", prose("length=64"), many, "train.examples is 5000",
                 "windows of task.length 64");
    EXPECT_ERROR("lm", prose("valid_share=0"), whole, "val split", "0 tokens", "task.valid_share");
    EXPECT_ERROR("lm", prose("test_share=1"), whole, "task.test_share 1", "below 1");
    EXPECT_ERROR("lm", prose("test_share=nan"), whole, "task.test_share", "nan");
    snprintf(settings, sizeof settings, "corpus=%s tokens=word",
             made_splits("tiny", "a b c d", "", "a"));
    EXPECT_ERROR("lm", settings, whole, "valid.txt", "is empty");
    snprintf(settings, sizeof settings, "corpus=%s tokens=word length=8",
             made_splits("tiny", "a b c d", "a b", "a\n"));
    EXPECT_ERROR("lm", settings, whole, "task.length is 8", "has 5 tokens");
}

/* The worked example of the README is what `mixgrid task show` prints. */
static void test_readme(void **unused) {
    (void)unused;
    char settings[300], *text = NULL, *shown = NULL;
    size_t n = 0;
    FILE *readme = fopen("tasks/README.md", "r");
    assert_non_null(readme);
    assert_true(getdelim(&text, &n, '\0', readme) > 0);
    fclose(readme);
    static const struct {
        const char *settings;
        uint64_t index;
    } worked[] = {{"tokens=char length=16 stride=4", 1}, {"tokens=word length=8", 0}};
    const char *path = made_splits("worked", "the cat and dog\nsat\tmore on\n", "a cat\n",
                                   "the dog sat\non a\tmat\n");
    for (size_t i = 0; i < 2; i++) {
        snprintf(settings, sizeof settings, "corpus=%s %s", path, worked[i].settings);
        fixture f = set_open("lm", settings, whole);
        FILE *file = open_memstream(&shown, &n);
        task_get(f.s, SPLIT_TEST, worked[i].index, &f.x);
        task_show(f.s, &f.x, file);
        fclose(file);
        if (!strstr(text, shown)) fail_msg("README lacks, for %s:\n%s", settings, shown);
        free(shown);
        arena_free(f.a);
    }
    free(text);
}

/* What a model must beat: perplexity of the WikiText-2 test split under the frequencies of the
 * training split, in which all of its words occur. Reference: counted in Python. */
static void test_unigram_perplexity(void **unused) {
    (void)unused;
    if (access(DATA "wikitext2/train.txt", R_OK)) {
        print_message("skipped: no " DATA "\n");
        return;
    }
    fixture f = set_open("lm", "corpus=" DATA "wikitext2 tokens=word", whole);
    const corpus *c = corpus_of("corpus=" DATA "wikitext2", TOKEN_WORD);
    double *count = ARENA_NEW(f.a, double, f.s->vocab), nll = 0, scored = 0;
    for (long i = 0; i < c->tokens[SPLIT_TRAIN]; i++) count[corpus_token(c, SPLIT_TRAIN, i)]++;
    for (uint64_t i = 0; i < f.s->count[SPLIT_TEST]; i++) {
        task_get(f.s, SPLIT_TEST, i, &f.x);
        for (int t = 0; t < f.s->time; t++)
            if (f.x.labels[t] >= 0) nll -= log(count[f.x.labels[t]] / 2088628), scored++;
    }
    assert_float_equal(scored, 245568, 0);
    assert_float_equal(exp(nll / scored), 911.7154428, 1e-6);
    arena_free(f.a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_every_token_scored_once),
        cmocka_unit_test(test_other_lengths), cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_pure),          cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ratios),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_readme),        cmocka_unit_test(test_unigram_perplexity),
    };
    unsetenv("MIXGRID_DATA");
    return cmocka_run_group_tests(tests, made_begin, made_end);
}
