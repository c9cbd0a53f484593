/* survive_test.c - what happens to a database on a bad disk, on a network file system, with many
 * writers of journals and a reader, and when it comes from an older mixgrid. */
#include "place_fixture.h"
#include "results/clock.h"
#include "results/store_place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static void to_null(void) {
    if (!freopen("/dev/null", "w", stderr)) _exit(9);
}

/* ---- network file systems --------------------------------------------------------------------*/

/* In this program every file lies where the test says: the C library's own is not reached. */
static long planted_magic;
int statfs(const char *path, struct statfs *info) {
    (void)path;
    memset(info, 0, sizeof *info);
    info->f_type = planted_magic;
    return 0;
}

static void test_network_file_system_gets_no_write_ahead_log(void **state) {
    (void)state;
    static const struct {
        long magic;
        const char *kind, *mode;
    } c[] = {{0xef53, NULL, "wal"},
             {0x6969, "NFS", "truncate"},
             {0xff534d42, "SMB", "truncate"},
             {0x65735546, "FUSE", "truncate"},
             {0x0bd00bd0, "Lustre", "truncate"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        planted_magic = c[i].magic;
        const char *kind = place_remote(p.db);
        assert_true(!kind == !c[i].kind && (!kind || !strcmp(kind, c[i].kind)));
        fflush(NULL);
        int ends[2], how;
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork(); /* it is said once in a process */
        if (child == 0) {
            dup2(ends[1], STDERR_FILENO);
            store *s = fixture_open(&p);
            fixture_attempt(&p, "a", 1, -1, 3, RUN_DONE, 1);
            error e = {0};
            const bool good = store_import(s, p.journals, "a", &e) == STATUS_OK &&
                              !strcmp(fixture_ask(s, "PRAGMA journal_mode"), c[i].mode) &&
                              !strcmp(fixture_ask(s, "SELECT state FROM run"), "done");
            store_close(s);
            _exit(good ? 0 : 1);
        }
        close(ends[1]);
        waitpid(child, &how, 0);
        char said[1024] = "";
        assert_true(read(ends[0], said, sizeof said - 1) >= 0);
        close(ends[0]);
        assert_int_equal(how, 0);
        if (c[i].kind) {
            assert_non_null(strstr(said, c[i].kind));
            assert_non_null(strstr(said, "write-ahead log is unsafe there and is not used"));
        } else
            assert_string_equal(said, "");
    }
    planted_magic = 0xef53;
}

/* ---- damage ----------------------------------------------------------------------------------*/

/* What open, rebuild and a look give after a byte changed: 0 the same results, 1 a sentence that
 * says what to do, else a defect. */
static int result_of_damage(const char expect[65]) {
    error e = {0};
    bool damaged;
    char hash[65];
    long n, written;
    store *s = store_open(p.db, &damaged, &e);
    if (!s) return strlen(e.text) > 20 && e.text[strlen(e.text) - 1] == '.' ? 1 : 2;
    if (store_rebuild(s, p.journals, &n, &written, &e)) return 3;
    if (store_content_hash(s, hash, &e)) return 4;
    if (strcmp(hash, expect)) return 5;
    if (strcmp(fixture_ask(s, "SELECT count(*) || ' ' || (SELECT count(*) FROM cell) FROM run"),
               "2 2"))
        return 6;
    store_close(s);
    return 0;
}

static void test_bit_flips_anywhere_lose_nothing(void **state) {
    (void)state;
    static const store_cell cell[] = {{"a", FIXTURE_CONFIG, "one", "{\"train.lr\":0.3}"},
                                      {"b", FIXTURE_CONFIG, "two", "{\"train.lr\":0.4}"}};
    static char bytes[1 << 20];
    char expect[65];
    error e = {0};
    fixture_attempt(&p, "a", 1, -1, 60, RUN_DONE, 1);
    fixture_attempt(&p, "b", 1, -1, 9, RUN_FAILED, 2);
    store *s = fixture_open(&p);
    assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", cell, 2, NULL, &e), STATUS_OK);
    long runs, written; /* puts the experiment beside the journals */
    assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &e), STATUS_OK);
    content_hash(s, expect);
    store_close(s);
    FILE *file = fopen(p.db, "rb");
    const long n = (long)fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 50000 && n < (long)sizeof bytes);
    /* all of the header, then spread over every page */
    long same = 0, said = 0;
    for (long at = 0; at < n; at += at < 108 ? 4 : 2039) {
        const char was = bytes[at];
        bytes[at] = (char)(was ^ (1 << at % 8));
        file = fopen(p.db, "wb");
        assert_int_equal(fwrite(bytes, 1, (size_t)n, file), n);
        fclose(file);
        bytes[at] = was;
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            to_null();
            _exit(result_of_damage(expect));
        }
        int how;
        waitpid(child, &how, 0);
        if (!WIFEXITED(how) || WEXITSTATUS(how) > 1)
            fail_msg("byte %ld: %s %d", at, WIFEXITED(how) ? "result" : "signal",
                     WIFEXITED(how) ? WEXITSTATUS(how) : WTERMSIG(how));
        same += WEXITSTATUS(how) == 0;
        said += WEXITSTATUS(how) == 1;
    }
    print_message("%ld flips: %ld rebuilt to the same results, %ld refused with a sentence\n",
                  same + said, same, said);
    assert_true(same > 10 * said); /* refused: the file is said to be another program's, or newer */
}

/* ---- older files -----------------------------------------------------------------------------*/

static void test_file_of_version_1_is_upgraded(void **state) {
    (void)state;
    FILE *file = fopen("results/test/store_version1.sql", "rb");
    assert_non_null(file);
    static char script[1 << 16];
    script[fread(script, 1, sizeof script - 1, file)] = '\0';
    fclose(file);
    sqlite3 *db;
    sqlite3_open(p.db, &db);
    char *why = NULL;
    if (sqlite3_exec(db, script, NULL, NULL, &why)) fail_msg("%s", why);
    sqlite3_close(db);
    store *s = fixture_open(&p);
    ask_is(s, "PRAGMA user_version", "2");
    ask_is(s, "SELECT forward_flops_per_token || ' ' || flops_per_token FROM v_runs", "5.0 15.0");
    ask_is(s, "SELECT group_concat(value, ' ') FROM metric", "2.5 1.25");
    char upgraded[8192], fresh[8192];
    static const char columns[] =
        "SELECT group_concat(m.name || '.' || c.name, ' ') FROM (SELECT name FROM sqlite_master "
        "WHERE type IN ('table', 'view') ORDER BY name) AS m, pragma_table_info(m.name) AS c "
        "WHERE m.name <> 'run'";
    snprintf(upgraded, sizeof upgraded, "%s", fixture_ask(s, columns));
    ask_is(s, "PRAGMA integrity_check", "ok");
    store_close(s);
    unlink(p.db);
    s = fixture_open(&p);
    snprintf(fresh, sizeof fresh, "%s", fixture_ask(s, columns));
    assert_string_equal(upgraded, fresh);
    store_close(s);
}

/* ---- many at once ----------------------------------------------------------------------------*/

enum { N_WRITER = 8, N_STEP = 1500, N_FLUSH = 25 };

static void write_journal(int writer) {
    error e = {0};
    char run[16];
    snprintf(run, sizeof run, "run%d", writer);
    journal *j = journal_open(p.journals, run, &e);
    journal_attempt(j, run, FIXTURE_CONFIG, FIXTURE_ENVIRONMENT, 1, -1, 1e9);
    for (long step = 0; step < N_STEP; step++) {
        journal_metric(j, "train", "", "loss", step, (double)(writer * N_STEP + step));
        journal_hash(j, step, (uint64_t)step);
        if (step % N_FLUSH == 0) journal_flush(j, false, &e);
    }
    journal_end(j, RUN_DONE, N_STEP, 1, "");
    _exit(journal_close(j, &e));
}

/* Asks as query does, opening anew each time, until a byte can be read from `stop`. */
static void read_rows(int stop) {
    long last = 0, asked = 0;
    char byte;
    while (read(stop, &byte, 1) < 0) {
        error e = {0};
        store *s = store_open_readonly(p.db, &e);
        if (!s) _exit(2);
        sqlite3_busy_timeout(store_handle(s), 0); /* it never has to wait */
        sqlite3_stmt *row = NULL;
        if (sqlite3_prepare_v2(store_handle(s), "SELECT count(*) FROM metric", -1, &row, NULL) ||
            sqlite3_step(row) != SQLITE_ROW)
            _exit(3);
        const long now = (long)sqlite3_column_int64(row, 0);
        if (now < last) _exit(4);
        last = now;
        asked++;
        sqlite3_finalize(row);
        store_close(s);
    }
    _exit(asked > 5 ? 0 : 5);
}

static void test_eight_writers_an_importer_and_a_reader(void **state) {
    (void)state;
    int stop[2], how;
    pid_t writer[N_WRITER], reader;
    planted_magic = 0xef53;
    store *s = fixture_open(&p);
    assert_int_equal(pipe2(stop, O_NONBLOCK), 0);
    fflush(NULL);
    if ((reader = fork()) == 0) read_rows(stop[0]);
    for (int i = 0; i < N_WRITER; i++)
        if ((writer[i] = fork()) == 0) write_journal(i);
    /* An import that meets a journal in the middle of a line takes the lines before it. */
    int left = N_WRITER;
    while (left > 0) {
        error e = {0};
        for (int i = 0; i < N_WRITER; i++) {
            if (writer[i] && waitpid(writer[i], &how, WNOHANG) == writer[i]) {
                assert_int_equal(how, 0);
                writer[i] = 0;
                left--;
            }
        }
        if (access(p.journals, F_OK) == 0 && store_import_all(s, p.journals, NULL, &e))
            fail_msg("%s", e.text);
    }
    error e = {0};
    assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
    assert_int_equal(write(stop[1], "x", 1), 1);
    waitpid(reader, &how, 0);
    if (how) fail_msg("the reader ended with %d", WIFEXITED(how) ? WEXITSTATUS(how) : -1);
    ask_is(s, "SELECT count(*) || ' ' || count(DISTINCT value) FROM metric", "12000 12000");
    ask_is(s, "SELECT count(*) FROM param_hash", "12000");
    ask_is(s, "SELECT count(*) FROM run WHERE state = 'done'", "8");
    char at_once[65], later[65];
    content_hash(s, at_once);
    store_close(s);
    unlink(p.db);
    s = fixture_open(&p);
    assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
    content_hash(s, later);
    assert_string_equal(at_once, later);
    store_close(s);
    close(stop[0]), close(stop[1]);
}

int main(void) {
    planted_magic = 0xef53; /* ext4 */
    const struct CMUnitTest tests[] = {
        TEST(test_network_file_system_gets_no_write_ahead_log),
        TEST(test_bit_flips_anywhere_lose_nothing),
        TEST(test_file_of_version_1_is_upgraded),
        TEST(test_eight_writers_an_importer_and_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
