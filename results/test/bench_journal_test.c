/* bench_journal_test.c - measured speeds outlive their database, and each stays one row. */
#include "place_fixture.h"
#include "results/merge.h"

#include <sys/stat.h>
#include <sys/wait.h>

static const char rows[] =
    "SELECT group_concat(time_s || name || shape || backend || printf('%!.17g', value) || unit || "
    "(SELECT json FROM environment WHERE sha256 = environment), '|') "
    "FROM (SELECT * FROM bench ORDER BY time_s, value)";

static status add(store *s, double time_s, double value, const char *environment, error *e) {
    const store_bench row = {time_s, value, "step", "cat \"d64\"", "cpu", "s", environment};
    return store_bench_add(s, p.journals, &row, e);
}

static void add_well(store *s, double time_s, double value, const char *environment) {
    error e = {0};
    if (add(s, time_s, value, environment, &e)) fail_msg("%s", e.text);
}

static void add_three(store *s) {
    add_well(s, 1e9, 1 / 3.0, "{\"host\":\"one\"}");
    add_well(s, 1e9, 5e-324, "{\"host\":\"one\"}");
    add_well(s, 1e9 + 1, 7, "{\"host\":\"two\",\"x\":1e-3}");
}

static void import_all(store *s, const place *from) {
    error e = {0};
    if (store_import_all(s, from->journals, NULL, &e)) fail_msg("%s", e.text);
}

static void rebuild(store *s) {
    long n, written;
    error e = {0};
    if (store_rebuild(s, p.journals, &n, &written, &e)) fail_msg("%s", e.text);
}

static long bytes_of(const place *owner) {
    struct stat info;
    return stat(fixture_journal(owner, "bench"), &info) == 0 ? (long)info.st_size : -1;
}

static void test_rows_outlive_the_database_once(void **state) {
    (void)state;
    char before[4096];
    store *s = fixture_open(&p);
    add_three(s);
    ask_is(s, "SELECT count(*) FROM bench WHERE value = 1 / 3.0", "1");
    snprintf(before, sizeof before, "%s", fixture_ask(s, rows));
    store_close(s);
    const long bytes = bytes_of(&p);
    unlink(p.db);
    s = fixture_open(&p);
    for (int i = 0; i < 2; i++) {
        import_all(s, &p);
        ask_is(s, rows, before);
        ask_is(s, "SELECT count(*) FROM environment", "2");
        rebuild(s);
        ask_is(s, rows, before);
    }
    ask_is(s, "SELECT count(*) FROM run", "0"); /* bench.jsonl is no run */
    assert_int_equal(bytes_of(&p), bytes);
    store_close(s);
}

/* A database of an older mixgrid has no such file; one that lost some rows gets these. */
static void test_rows_without_a_file_are_written(void **state) {
    (void)state;
    char before[4096];
    store *s = fixture_open(&p);
    add_three(s);
    snprintf(before, sizeof before, "%s", fixture_ask(s, rows));
    const long bytes = bytes_of(&p);
    for (int lost = 0; lost < 2; lost++) {
        if (lost == 0)
            unlink(fixture_journal(&p, "bench"));
        else
            assert_int_equal(truncate(fixture_journal(&p, "bench"), bytes / 2),
                             0); /* a torn line as well */
        rebuild(s);
        ask_is(s, rows, before);
        store_close(s);
        unlink(p.db);
        s = fixture_open(&p);
        import_all(s, &p);
        ask_is(s, rows, before);
    }
    store_close(s);
}

static void test_databases_that_share_a_folder_share_the_file(void **state) {
    (void)state;
    enum { N = 2, ROWS = 12 };
    pid_t child[N];
    fflush(NULL);
    for (int i = 0; i < N; i++) {
        if ((child[i] = fork()) != 0) continue;
        error e = {0};
        bool damaged;
        char db[160];
        snprintf(db, sizeof db, "%s/%d.db", p.folder, i);
        store *s = store_open(db, &damaged, &e);
        for (int row = 0; row < ROWS && s && !e.code; row++)
            add(s, 1e9 + i, row, "{\"host\":\"one\"}", &e);
        store_close(s);
        _exit(s && !e.code ? 0 : 1);
    }
    for (int i = 0; i < N; i++) {
        int how;
        assert_int_equal(waitpid(child[i], &how, 0), child[i]);
        assert_int_equal(how, 0);
    }
    store *s = fixture_open(&p);
    import_all(s, &p);
    ask_is(s, "SELECT count(*) || ' ' || count(DISTINCT time_s) FROM bench", "24 2");
    store_close(s);
}

/* A folder without runs, the file itself, and again. */
static void test_merged_once(void **state) {
    (void)state;
    char before[4096], file[256];
    store *s = fixture_open(&p);
    add_three(s);
    snprintf(before, sizeof before, "%s", fixture_ask(s, rows));
    store_close(s);
    snprintf(file, sizeof file, "%s", fixture_journal(&p, "bench"));
    const char *const source[] = {p.folder, p.journals, file, p.db};
    for (int i = 0; i < 4; i++) {
        const place other = place_new();
        s = fixture_open(&other);
        for (int again = 0; again < 2; again++) {
            error e = {0};
            merge_counts counts = {0};
            if (store_merge(s, other.journals, source[i], false, &counts, stderr, &e))
                fail_msg("%s", e.text);
            ask_is(s, rows, before);
            assert_int_equal(bytes_of(&other), bytes_of(&p));
        }
        store_close(s);
        place_remove(&other);
    }
}

static void test_wrong_lines_are_named_and_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *line, *sentence;
    } c[] = {
        {"{\"v\":1,\"type\":\"bench\",\"time_s\":1,\"name\":\"n\",\"shape\":\"s\",\"backend\":"
         "\"b\","
         "\"value\":2,\"unit\":\"u\",\"environment\":\"00\"}",
         "bench.jsonl, line 6 is wrong: no line before it has its environment"},
        {"{\"v\":1,\"type\":\"bench\",\"value\":\"nan\"}", "line 6 is wrong: a field is missing"},
        {"{\"v\":1,\"type\":\"environment\",\"sha256\":\"00\",\"environment\":[]}",
         "line 6 is wrong: \"environment\" is no object"},
        {"{\"v\":1,\"type\":\"environment\",\"sha256\":\"00\",\"environ\\u006dent\":{}}",
         "line 6 is wrong: \"environment\" is no object"},
        {"{\"v\":1,\"type\":\"end\"}", "line 6 is wrong: lines of its type are unknown here"},
        {"{\"v\":2,\"type\":\"bench\"}", "line 6 is damaged (its checksum is missing)"},
    };
    char before[4096];
    store *s = fixture_open(&p);
    add_three(s);
    const long bytes = bytes_of(&p);
    snprintf(before, sizeof before, "%s", fixture_ask(s, rows));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        long n, written;
        error e = {0};
        FILE *out = fopen(fixture_journal(&p, "bench"), "a");
        fprintf(out, "%s\n", c[i].line);
        fclose(out);
        assert_int_equal(store_rebuild(s, p.journals, &n, &written, &e), STATUS_ENVIRONMENT);
        if (!strstr(e.text, c[i].sentence)) fail_msg("%s", e.text);
        e = (error){0};
        assert_int_equal(add(s, 2e9, 1, "{}", &e), STATUS_ENVIRONMENT);
        if (!strstr(e.text, c[i].sentence)) fail_msg("%s", e.text);
        ask_is(s, rows, before);
        assert_int_equal(truncate(fixture_journal(&p, "bench"), bytes), 0);
    }
    rebuild(s);
    ask_is(s, rows, before);
    store_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rows_outlive_the_database_once),
        TEST(test_rows_without_a_file_are_written),
        TEST(test_databases_that_share_a_folder_share_the_file),
        TEST(test_merged_once),
        TEST(test_wrong_lines_are_named_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
