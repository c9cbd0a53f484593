/* journal_test.c - journals survive what kills their writer, and say when they cannot be written.
 */
#include "results/journal_read.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static place p;

static int setup(void **state) {
    (void)state;
    p = place_new();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    place_remove(&p);
    return 0;
}

/* Lines a reader sees. *e gets its error. */
static long count_lines(const char *run, error *e) {
    journal_reader *r;
    const char *text;
    json_t *line;
    long n = 0;
    assert_int_equal(journal_read_open(&r, p.journals, run, e), STATUS_OK);
    if (!r) return -1;
    while (journal_read_line(r, &text, &line, e)) n++;
    journal_read_close(r);
    return n;
}

static void append(const char *run, const char *bytes, size_t n) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s.jsonl", p.journals, run);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void test_lines_come_back(void **state) {
    (void)state;
    error e = {0};
    journal *j = journal_open(p.journals, "a", &e);
    assert_non_null(j);
    double values[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.0};
    journal_attempt(j, "a", "{\n \"x\":1}", "{}", 1, -1, 1.5);
    for (int i = 0; i < 6; i++) journal_metric(j, "val", "gap=8", "loss", i, values[i]);
    journal_metric(j, "val", "", "loss", 6, (double)NAN);
    journal_metric(j, "val", "", "loss", 7, (double)-INFINITY);
    journal_event(j, "odd \"text\"\n", "bad utf-8: \xff\xc3 \xe2\x82\xac \x1b[31m");
    assert_int_equal(journal_close(j, &e), STATUS_OK);

    journal_reader *r;
    const char *text;
    json_t *line;
    assert_int_equal(journal_read_open(&r, p.journals, "a", &e), STATUS_OK);
    assert_true(journal_read_line(r, &text, &line, &e));
    assert_string_equal(json_string_value(json_object_get(line, "type")), "attempt");
    for (int i = 0; i < 6; i++) {
        assert_true(journal_read_line(r, &text, &line, &e));
        assert_true(json_number_value(json_object_get(line, "value")) == values[i]);
    }
    assert_true(journal_read_line(r, &text, &line, &e));
    assert_string_equal(json_string_value(json_object_get(line, "value")), "nan");
    assert_true(journal_read_line(r, &text, &line, &e));
    assert_string_equal(json_string_value(json_object_get(line, "value")), "-inf");
    assert_true(journal_read_line(r, &text, &line, &e));
    assert_string_equal(json_string_value(json_object_get(line, "what")), "odd \"text\"\n");
    assert_string_equal(json_string_value(json_object_get(line, "detail")),
                        "bad utf-8: \xef\xbf\xbd\xef\xbf\xbd \xe2\x82\xac \x1b[31m");
    assert_false(journal_read_line(r, &text, &line, &e));
    assert_int_equal(e.code, STATUS_OK);
    journal_read_close(r);
}

/* Cut at every byte, the reader never errs and the next writer goes on with whole lines. */
static void test_torn_tail_at_every_byte(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 3, RUN_DONE, 1);
    char path[256], whole[8192];
    snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
    FILE *file = fopen(path, "rb");
    size_t n = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_true(n > 500 && n < sizeof whole);
    for (size_t cut = 0; cut <= n; cut++) {
        assert_int_equal(truncate(path, 0), 0);
        append("a", whole, cut);
        long newlines = 0;
        for (size_t i = 0; i < cut; i++) newlines += whole[i] == '\n';
        error e = {0};
        assert_int_equal(count_lines("a", &e), newlines);
        assert_int_equal(e.code, STATUS_OK);
        journal *j = journal_open(p.journals, "a", &e);
        assert_non_null(j);
        journal_event(j, "resumed", "");
        assert_int_equal(journal_close(j, &e), STATUS_OK);
        assert_int_equal(count_lines("a", &e), newlines + 1);
    }
}

static void test_last_line_of_zeros_is_cut(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 3, RUN_RUNNING, 1);
    error e = {0};
    long n = count_lines("a", &e);
    append("a", "\0\0\0\0\n", 5);
    assert_int_equal(count_lines("a", &e), n);
    assert_int_equal(e.code, STATUS_OK);
    fixture_attempt(&p, "a", 2, 3, 4, RUN_DONE, 1);
    assert_true(count_lines("a", &e) > n);
    assert_int_equal(e.code, STATUS_OK);
}

static void test_damage_in_the_middle_is_named(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 0, RUN_RUNNING, 1); /* 4 lines */
    append("a", "{\"v\":1,\"type\":\"metr\n", 20);
    append("a", "{\"v\":1,\"type\":\"event\"}\n", 23);
    error e = {0};
    assert_int_equal(count_lines("a", &e), 4);
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "a.jsonl, line 5 is damaged"));
}

/* Jansson would take the last of two equal keys, and SQLite takes the first. */
static void test_key_given_twice_is_damage(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 0, RUN_RUNNING, 1); /* 4 lines */
    append("a", "{\"v\":1,\"v\":1,\"type\":\"event\"}\n", 29);
    error e = {0};
    assert_int_equal(count_lines("a", &e), 4); /* at the end: torn */
    assert_int_equal(e.code, STATUS_OK);
    append("a", "{\"v\":1,\"type\":\"event\"}\n", 23);
    assert_int_equal(count_lines("a", &e), 4);
    assert_non_null(strstr(e.text, "a.jsonl, line 5 is damaged"));
}

static void test_newer_version_is_refused(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 0, RUN_RUNNING, 1);
    append("a", "{\"v\":2,\"type\":\"event\"}\n", 23);
    error e = {0};
    count_lines("a", &e);
    assert_non_null(strstr(e.text, "newer mixgrid"));
}

static void test_second_writer_is_refused(void **state) {
    (void)state;
    error e = {0};
    journal *first = journal_open(p.journals, "a", &e);
    assert_non_null(first);
    assert_null(journal_open(p.journals, "a", &e));
    assert_non_null(strstr(e.text, "already being trained"));
    e = (error){0};
    assert_int_equal(journal_close(first, &e), STATUS_OK);
    first = journal_open(p.journals, "a", &e);
    assert_non_null(first);
    journal_close(first, &e);
}

/* A limit on the size of files stands for a full disk. In a child: the limit cannot be undone. */
static void test_full_disk_is_sticky(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 3, RUN_RUNNING, 1);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {2000, 2000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        error e = {0}, again = {0};
        journal *j = journal_open(p.journals, "a", &e);
        for (long i = 4; i < 200; i++) journal_metric(j, "train", "", "loss", i, 1.0);
        bool said = journal_flush(j, true, &e) == STATUS_ENVIRONMENT &&
                    strstr(e.text, "a.jsonl could not be written: File too large");
        journal_metric(j, "train", "", "loss", 200, 1.0);
        bool sticky = journal_close(j, &again) == STATUS_ENVIRONMENT;
        _exit(said && sticky ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    assert_int_equal(result, 0);
    error e = {0};
    assert_true(count_lines("a", &e) > 8); /* what was written before is readable */
    assert_int_equal(e.code, STATUS_OK);
}

static void test_bad_folder_is_one_sentence(void **state) {
    (void)state;
    error e = {0};
    assert_null(journal_open("/nowhere/at/all", "a", &e));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "/nowhere/at/all cannot be created"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_lines_come_back),
        TEST(test_torn_tail_at_every_byte),
        TEST(test_last_line_of_zeros_is_cut),
        TEST(test_damage_in_the_middle_is_named),
        TEST(test_key_given_twice_is_damage),
        TEST(test_newer_version_is_refused),
        TEST(test_second_writer_is_refused),
        TEST(test_full_disk_is_sticky),
        TEST(test_bad_folder_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
