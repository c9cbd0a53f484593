/* journal_test.c - journals survive what kills their writer, and say when they cannot be written.
 */
#include "place_fixture.h"
#include "results/journal_read.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
    FILE *file = fopen(fixture_journal(&p, run), "ab");
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
    append("a", "{\"v\":3,\"type\":\"event\"}\n", 23);
    error e = {0};
    count_lines("a", &e);
    assert_non_null(strstr(e.text, "newer mixgrid"));
}

/* ---- checksums ---- */

static void write_whole(const char *path, const char *bytes, long n) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, file), n);
    fclose(file);
}

/* The first lines of a journal as a reader gets them, against those of `whole`: how many are the
 * same to the byte. Fails when one is not. */
static long lines_kept(const char *whole, const char *run, error *e) {
    journal_reader *r;
    const char *text;
    json_t *line;
    long n = 0;
    assert_int_equal(journal_read_open(&r, p.journals, run, e), STATUS_OK);
    for (; journal_read_line(r, &text, &line, e); n++) {
        const size_t length = strlen(text);
        if (strncmp(text, whole, length)) fail_msg("changed, and not noticed: %s", text);
        whole += length;
    }
    journal_read_close(r);
    return n;
}

/* A line with each kind of field. */
static long sample_journal(char *out, long cap, const char *path) {
    error e = {0};
    fixture_attempt(&p, "a", 1, -1, 1, RUN_DONE, 1 / 3.0);
    journal *j = journal_open(p.journals, "a", &e);
    journal_event_at(j, 1e9, "note", "odd \"text\"\n\xe2\x82\xac J*");
    journal_artifact(j, "c.safetensors", "weights", 77, "ab12");
    journal_verdict(j, "a", FIXTURE_CONFIG, 2, RUN_FAILED, 139, 11, "killed", "the log");
    assert_int_equal(journal_close(j, &e), STATUS_OK);
    FILE *file = fopen(path, "rb");
    const long n = (long)fread(out, 1, (size_t)cap, file);
    fclose(file);
    assert_true(n > 1000 && n < cap);
    out[n] = '\0';
    return n;
}

static void test_every_flipped_bit_is_found(void **state) {
    (void)state;
    char path[256], text[8192], whole[8192], said[64];
    snprintf(path, sizeof path, "%s", fixture_journal(&p, "a"));
    const long n = sample_journal(whole, sizeof whole - 1, path);
    memcpy(text, whole, sizeof text);
    long n_lines = 0, line = 1, torn = 0, found = 0;
    for (long i = 0; i < n; i++) n_lines += whole[i] == '\n';
    for (long at = 0; at < n; at++) {
        snprintf(said, sizeof said, "a.jsonl, line %ld is damaged (", line);
        for (int bit = 0; bit < 8; bit++) {
            text[at] = (char)(whole[at] ^ 1 << bit);
            write_whole(path, text, n);
            error e = {0};
            const long kept = lines_kept(whole, "a", &e);
            assert_int_equal(kept, line - 1);
            if (!e.code && line == n_lines)
                torn++;
            else if (e.code == STATUS_ENVIRONMENT && strstr(e.text, said))
                found++;
            else
                fail_msg("bit %d of byte %ld, line %ld: %s", bit, at, line, e.text);
        }
        text[at] = whole[at];
        line += whole[at] == '\n';
    }
    assert_int_equal(found + torn, 8 * n);
    assert_in_range(torn, 8, 8 * (SEAL_BYTES + 1)); /* where the last line ends */
    write_whole(path, whole, n);
    error e = {0};
    assert_int_equal(lines_kept(whole, "a", &e), n_lines);
    assert_int_equal(e.code, STATUS_OK);
}

static void test_version_decides_whether_a_checksum_is_needed(void **state) {
    (void)state;
    static const struct {
        const char *line, *sentence; /* NULL: it is read */
    } c[] = {
        {"{\"v\":1,\"type\":\"x\"}", NULL},
        {"{\"v\":2,\"type\":\"x\"}", "is damaged (its checksum is missing)"},
        {"{\"v\":2,\"type\":\"x\",\"crc\":\"0521381b\"}", NULL},
        {"{\"v\":2,\"type\":\"x\",\"crc\":\"0521381B\"}", "is damaged (its checksum is another)"},
        {"{\"v\":2,\"type\":\"x\",\"crc\":\"0521381b\" }", "is damaged (its checksum is missing)"},
        {"{\"v\":2,\"crc\":\"0521381b\",\"type\":\"x\"}", "is damaged (its checksum is missing)"},
        {"{\"v\":1,\"type\":\"x\",\"crc\":\"0521381b\"}", "is damaged (its checksum is another)"},
        {"{\"v\":3,\"type\":\"x\",\"crc\":\"0521381b\"}", "is damaged (its checksum is another)"},
        {"{\"v\":3,\"type\":\"x\",\"crc\":\"9e847474\"}", "newer mixgrid"},
        {"{\"v\":1,\"type\":\"x\",\"crc\":\"72bfeaeb\"}", NULL},
        {"{\"v\":2,\"type\":\"x,\"crc\":\"2e0578c3\"}", "is damaged ("}, /* right, but no JSON */
    };
    char path[256];
    snprintf(path, sizeof path, "%s", fixture_journal(&p, "a"));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        fixture_attempt(&p, "a", 1, -1, 0, RUN_RUNNING, 1); /* 4 lines */
        append("a", c[i].line, strlen(c[i].line));
        append("a", "\n", 1);
        error e = {0};
        assert_int_equal(count_lines("a", &e), c[i].sentence ? 4 : 5);
        if (c[i].sentence ? !strstr(e.text, c[i].sentence) : e.code)
            fail_msg("%s: %s", c[i].line, e.text);
        unlink(path);
    }
}

/* Nothing is written behind a damaged line, and it is not cut off as if it were torn. */
static void test_writer_refuses_a_damaged_journal(void **state) {
    (void)state;
    char path[256], text[8192];
    snprintf(path, sizeof path, "%s", fixture_journal(&p, "a"));
    const long n = sample_journal(text, sizeof text - 1, path);
    static const char *const where[] = {"\"train.lr\":0.3", "\"the log\""}; /* first, last line */
    for (int i = 0; i < 2; i++) {
        char *at = strstr(text, where[i]);
        assert_non_null(at);
        *at ^= 1;
        write_whole(path, text, n);
        error e = {0};
        assert_null(journal_open(p.journals, "a", &e));
        if (!strstr(e.text, i ? "line 12 is damaged" : "line 1 is damaged")) fail_msg("%s", e.text);
        FILE *file = fopen(path, "rb");
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        assert_int_equal(ftell(file), n);
        fclose(file);
        *at ^= 1;
    }
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

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_lines_come_back),
        TEST(test_torn_tail_at_every_byte),
        TEST(test_last_line_of_zeros_is_cut),
        TEST(test_damage_in_the_middle_is_named),
        TEST(test_key_given_twice_is_damage),
        TEST(test_newer_version_is_refused),
        TEST(test_every_flipped_bit_is_found),
        TEST(test_version_decides_whether_a_checksum_is_needed),
        TEST(test_writer_refuses_a_damaged_journal),
        TEST(test_second_writer_is_refused),
        TEST(test_full_disk_is_sticky),
        TEST(test_bad_folder_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
