/* store_test.c - what comes out of the database is what the journals say, whatever happens in
 * between. */
#include "place_fixture.h"
#include "results/clock.h"
#include "results/store_place.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void take(store *s, const char *run) {
    error e = {0};
    if (store_import(s, p.journals, run, &e)) fail_msg("%s", e.text);
}

static void test_a_run_arrives(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 9, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    ask_is(s, "SELECT task || ' ' || mixer || ' ' || seed || ' ' || state FROM run",
           "nar cat 7 done");
    ask_is(s, "SELECT params || ' ' || state_size || ' ' || wall_s FROM run", "1234 64.0 1.5");
    ask_is(s,
           "SELECT group_concat(key || '=' || text || '/' || ifnull(number, '-'), ' ') "
           "FROM run_param",
           "eval.lengths=[64,128]/- model.gated=true/1.0 model.mixer=cat/- task.name=nar/- "
           "train.lr=0.3/0.3 train.seed=7/7.0");
    ask_is(s, "SELECT count(*) FROM metric", "10");
    ask_is(s, "SELECT value FROM metric WHERE step = 3", "0.25");
    ask_is(s, "SELECT hash FROM param_hash WHERE step = 1", "9e3779b97f4a7c15");
    ask_is(s, "SELECT group_concat(slice || ':' || value, ' ') FROM v_final",
           ":0.5 length=256:0.25");
    ask_is(s, "SELECT config FROM run", FIXTURE_CONFIG);
    ask_is(s, "SELECT json FROM environment", FIXTURE_ENVIRONMENT);
    ask_is(s, "SELECT state || step || ifnull(exit_code, '-') FROM v_runs", "done9-");
    store_close(s);
}

static void test_import_is_idempotent_and_incremental(void **state) {
    (void)state;
    char once[65], again[65], rebuilt[65];
    store *s = fixture_open(&p);
    take(s, "a"); /* no journal yet */
    fixture_attempt(&p, "a", 1, -1, 9, RUN_PREEMPTED, 1);
    take(s, "a");
    fixture_attempt(&p, "a", 2, 5, 12, RUN_DONE, 1);
    take(s, "a");
    content_hash(s, once);
    for (int i = 0; i < 3; i++) take(s, "a");
    content_hash(s, again);
    assert_string_equal(once, again);
    ask_is(s, "SELECT count(*) FROM attempt", "2");
    ask_is(s, "SELECT wall_s FROM run", "3.0");
    store_close(s);

    unlink(p.db);
    s = fixture_open(&p);
    long n;
    error e = {0};
    assert_int_equal(store_import_all(s, p.journals, &n, &e), STATUS_OK);
    assert_int_equal(n, 1);
    content_hash(s, rebuilt);
    assert_string_equal(once, rebuilt);
    store_close(s);
}

static void test_resumed_attempt_drops_later_steps(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 9, RUN_PREEMPTED, 1);
    fixture_attempt(&p, "a", 2, 5, 7, RUN_RUNNING, 2);
    store *s = fixture_open(&p);
    take(s, "a");
    ask_is(s, "SELECT group_concat(step, ' ') FROM metric", "0 1 2 3 4 5 6 7");
    ask_is(s, "SELECT max(step) FROM param_hash", "7");
    ask_is(s, "SELECT value FROM metric WHERE step = 7", "0.25");
    ask_is(s, "SELECT state || attempts FROM run", "running2");
    store_close(s);
}

static void test_same_attempt_replaces(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 9, RUN_FAILED, 1);
    fixture_attempt(&p, "a", 1, -1, 4, RUN_DONE, 2);
    store *s = fixture_open(&p);
    take(s, "a");
    ask_is(s, "SELECT count(*) || state FROM attempt", "1done");
    ask_is(s, "SELECT count(*) || ' ' || max(value) FROM metric", "5 2.0");
    store_close(s);
}

static void test_replaced_or_shrunk_journal_starts_over(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
    fixture_attempt(&p, "a", 1, -1, 9, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    unlink(path);
    fixture_attempt(&p, "a", 1, -1, 3, RUN_RUNNING, 4); /* shorter */
    take(s, "a");
    ask_is(s, "SELECT count(*) || ' ' || max(value) FROM metric", "4 4.0");
    ask_is(s, "SELECT count(*) FROM final", "0");
    unlink(path);
    fixture_attempt(&p, "a", 1, -1, 19, RUN_DONE, 8); /* longer */
    take(s, "a");
    ask_is(s, "SELECT count(*) || ' ' || max(value) FROM metric", "20 8.0");
    ask_is(s, "PRAGMA foreign_key_check", "(none)");
    store_close(s);
}

static void test_not_finite_values_keep_their_kind(void **state) {
    (void)state;
    error e = {0};
    journal *j = journal_open(p.journals, "a", &e);
    journal_attempt(j, "a", "{}", "{}", 1, -1, 0);
    journal_metric(j, "train", "", "loss", 1, (double)NAN);
    journal_metric(j, "train", "", "loss", 2, (double)INFINITY);
    journal_metric(j, "train", "", "loss", 3, 2.5);
    journal_final(j, "test", "", "loss", (double)-INFINITY);
    journal_end(j, RUN_DIVERGED, 3, 1, "loss is nan at step 1");
    journal_close(j, &e);
    store *s = fixture_open(&p);
    take(s, "a");
    ask_is(s, "SELECT group_concat(ifnull(value, flag), ' ') FROM metric", "nan inf 2.5");
    ask_is(s, "SELECT ifnull(value, 'NULL') || flag FROM final", "NULL-inf");
    ask_is(s, "SELECT state || ': ' || message FROM run", "diverged: loss is nan at step 1");
    store_close(s);
}

static void test_content_hash_ignores_time_and_order(void **state) {
    (void)state;
    char first[65], second[65], third[65];
    const char *order[2][2] = {{"a", "b"}, {"b", "a"}};
    for (int round = 0; round < 2; round++) {
        store *s = fixture_open(&p);
        for (int i = 0; i < 2; i++) {
            error e = {0};
            const char *run = order[round][i];
            journal *j = journal_open(p.journals, run, &e);
            journal_attempt(j, run, "{\"seed\":1}", round ? "{\"host\":\"x\"}" : "{}", 1, -1,
                            100.0 * round);
            journal_metric(j, "train", "", *run == 'a' ? "loss" : "acc", 1, 0.5);
            journal_end(j, RUN_DONE, 1, 7.0 + round, "");
            journal_close(j, &e);
            take(s, run);
        }
        content_hash(s, round ? second : first);
        store_close(s);
        if (round == 0) {
            place_remove(&p);
            p = place_new();
        }
    }
    assert_string_equal(first, second);
    fixture_attempt(&p, "c", 1, -1, 1, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "c");
    content_hash(s, third);
    assert_string_not_equal(second, third);
    store_close(s);
}

static void test_experiment_shares_runs(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 1, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    store_cell cells[] = {
        {"a", FIXTURE_CONFIG, "lr=0.3 seed=7", "{\"train.lr\":0.3,\"train.seed\":7}"},
        {"b", "{\"train.seed\":8}", "lr=0.3 seed=8", "{\"train.lr\":0.3,\"train.seed\":8}"},
    };
    error e = {0};
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{\"axes\":[]}", cells, 2, NULL, &e),
                     STATUS_OK);
    assert_int_equal(store_experiment(s, "y", "y.yaml", "{}", cells, 1, NULL, &e), STATUS_OK);
    ask_is(s, "SELECT experiments FROM v_runs WHERE run = 'a'", "x y");
    ask_is(s, "SELECT state FROM run WHERE id = 'b'", "pending");
    ask_is(s, "SELECT group_concat(DISTINCT variant) FROM cell", "{\"train.lr\":0.3}");
    ask_is(s,
           "SELECT runs || ' ' || n || ' ' || mean FROM v_by_seed "
           "WHERE experiment = 'x' AND slice = ''",
           "2 1 0.5");
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", cells, 1, NULL, &e), STATUS_OK);
    ask_is(s, "SELECT count(*) FROM cell", "2");
    ask_is(s, "SELECT count(*) FROM run", "2");
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{", cells, 1, NULL, &e),
                     STATUS_ENVIRONMENT);
    ask_is(s, "SELECT count(*) FROM cell", "2"); /* taken back as a whole */
    store_close(s);
}

/* Written first: an older file would be believed by a rebuild. */
static void test_experiment_whose_file_cannot_be_written(void **state) {
    (void)state;
    store *s = fixture_open(&p);
    const store_cell cell = {"a", FIXTURE_CONFIG, "seed=7", "{\"train.seed\":7}"};
    char nowhere[160];
    snprintf(nowhere, sizeof nowhere, "%s/journal", p.db); /* a file is no folder */
    error e = {0};
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", &cell, 1, nowhere, &e),
                     STATUS_ENVIRONMENT);
    ask_is(s, "SELECT count(*) FROM experiment", "0");
    e = (error){0};
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", &cell, 1, p.journals, &e), STATUS_OK);
    snprintf(nowhere, sizeof nowhere, "%s/experiments/results.db/x.jsonl", p.journals);
    assert_int_equal(access(nowhere, F_OK), 0);
    store_close(s);
}

static void test_verdict_on_a_dead_worker(void **state) {
    (void)state;
    char incremental[65], rebuilt[65], log[6000];
    memset(log, 'x', sizeof log - 1);
    log[sizeof log - 1] = '\0';
    error e = {0};
    fixture_attempt(&p, "a", 1, -1, 5, RUN_RUNNING, 1);
    store *s = fixture_open(&p);
    assert_int_equal(store_run_fail(s, p.journals, "a", FIXTURE_CONFIG, RUN_FAILED, 139, 11,
                                    "killed by SIGSEGV", log, &e),
                     STATUS_OK);
    ask_is(s,
           "SELECT count(*) || state || exit_code || '/' || signal || '/' || length(log_tail) "
           "FROM attempt",
           "1failed139/11/4096");
    /* One that never started, of a run nobody has heard of. */
    assert_int_equal(store_run_fail(s, p.journals, "b", FIXTURE_CONFIG, RUN_TIMEOUT, 1, 0,
                                    "never started", NULL, &e),
                     STATUS_OK);
    ask_is(s, "SELECT number || state || ifnull(signal, '-') FROM attempt WHERE run = 'b'",
           "1timeout-");
    /* The first run again, which had ended: one more attempt. */
    assert_int_equal(store_run_fail(s, p.journals, "a", FIXTURE_CONFIG, RUN_CANCELLED, 1, 0,
                                    "never started", "", &e),
                     STATUS_OK);
    store_run run;
    assert_int_equal(store_run_get(s, "a", &run, &e), STATUS_OK);
    assert_int_equal(run.state, RUN_CANCELLED);
    assert_int_equal(run.attempts, 2);
    assert_string_equal(run.message, "never started");
    assert_int_equal(store_run_get(s, "unknown", &run, &e), STATUS_OK);
    assert_int_equal(run.state, RUN_PENDING);
    content_hash(s, incremental);
    store_close(s);
    unlink(p.db);
    s = fixture_open(&p);
    assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
    content_hash(s, rebuilt);
    assert_string_equal(incremental, rebuilt);
    store_close(s);
}

static void test_wrong_lines_keep_what_precedes(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "{\"v\":1,\"type\":\"metric\",\"split\":\"val\"}",
        "{\"v\":1,\"type\":\"metric\",\"split\":\"val\",\"slice\":\"\",\"name\":\"x\",\"step\":1,"
        "\"value\":\"many\"}",
        "{\"v\":1,\"type\":\"end\",\"attempt\":9,\"state\":\"done\",\"step\":1,\"wall_s\":1,"
        "\"message\":\"\"}",
        "{\"v\":1,\"type\":\"end\",\"attempt\":1,\"state\":\"fine\",\"step\":1,\"wall_s\":1,"
        "\"message\":\"\"}",
        "{\"v\":1,\"type\":\"news\"}",
        "{\"v\":1}",
        "[]",
        "{\"v\":1,\"type\":\"attempt\",\"run\":\"other\",\"attempt\":2,\"resumed_from\":0,"
        "\"start_s\":0,\"config\":{},\"environment\":{}}",
        "{\"v\":1,\"type\":\"attempt\",\"run\":\"a\",\"attempt\":2,\"resumed_from\":0,"
        "\"start_s\":0,\"config\":3,\"environment\":{}}",
    };
    store *s = fixture_open(&p);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
        unlink(path);
        fixture_attempt(&p, "a", 1, -1, 3, RUN_RUNNING, 1); /* 10 lines */
        FILE *file = fopen(path, "a");
        fprintf(file, "%s\n", wrong[i]);
        fclose(file);
        error e = {0};
        assert_int_equal(store_import(s, p.journals, "a", &e), STATUS_ENVIRONMENT);
        if (!strstr(e.text, "a.jsonl, line 11 is ")) fail_msg("%zu: %s", i, e.text);
        ask_is(s, "SELECT count(*) FROM metric", "4");
        ask_is(s, "SELECT state FROM run", "running");
    }
    store_close(s);
}

static void test_two_writers(void **state) {
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        error e = {0};
        bool rebuild;
        store *s = store_open(p.db, &rebuild, &e);
        ssize_t n = write(ready[1], s ? "y" : "n", 1);
        (void)n;
        pause(); /* killed here, without closing anything */
        _exit(0);
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    bool rebuild;
    error e = {0};
    assert_null(store_open(p.db, &rebuild, &e));
    char pid[64];
    snprintf(pid, sizeof pid, "is being written by process %d on host ", (int)child);
    assert_non_null(strstr(e.text, pid));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    e = (error){0};
    store *s = store_open(p.db, &rebuild, &e);
    assert_non_null(s);
    assert_false(rebuild);
    /* A reader needs no lock; a child that lives on does not keep it. */
    store *reader = store_open_readonly(p.db, &e);
    assert_non_null(reader);
    store_close(reader);
    child = fork();
    if (child == 0) {
        store_detach(s);
        pause();
        _exit(0);
    }
    store_close(s);
    s = store_open(p.db, &rebuild, &e);
    assert_non_null(s);
    store_close(s);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

/* Lines that Jansson takes and SQLite does not, or takes otherwise: wrong lines, not a database
 * that fails. Nothing of them stays. */
static void test_line_that_sqlite_reads_otherwise(void **state) {
    (void)state;
    enum { DEEP = 2020 }; /* between the two limits */
    static char deep[2 * DEEP + 16];
    snprintf(deep, sizeof deep, "{\"a\":%0*d%0*d}", DEEP, 0, DEEP, 0);
    memset(deep + 5, '[', DEEP);
    memset(deep + 5 + DEEP, ']', DEEP);
    const struct {
        const char *key, *config, *sentence;
    } cases[] = {
        {"config", deep, "line 1 is wrong: SQLite cannot read it (malformed JSON)"},
        {"con\\u0066ig", "{}", "line 1 is wrong: \"config\" or \"environment\" is no object"}};
    for (int i = 0; i < 2; i++) {
        char path[200];
        mkdir(p.journals, 0777);
        snprintf(path, sizeof path, "%s/odd.jsonl", p.journals);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file,
                "{\"v\":1,\"type\":\"attempt\",\"run\":\"odd\",\"attempt\":1,\"resumed_from\":-1,"
                "\"start_s\":1,\"%s\":%s,\"environment\":{}}\n",
                cases[i].key, cases[i].config);
        fclose(file);
        error e = {0};
        store *s = fixture_open(&p);
        assert_int_equal(store_import(s, p.journals, "odd", &e), STATUS_ENVIRONMENT);
        if (!strstr(e.text, cases[i].sentence)) fail_msg("%s", e.text);
        assert_string_equal(fixture_ask(s, "SELECT count(*) FROM run"), "0");
        store_close(s);
    }
}

/* Out of memory or disk, SQLite takes back the whole transaction by itself: what the import would
 * still do must not be written alone. */
static void test_import_stops_with_its_transaction(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 500, RUN_DONE, 1);
    store *s = fixture_open(&p);
    const store_cell cell = {"a", "{}", "the one cell", "{}"};
    error e = {0};
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", &cell, 1, NULL, &e), STATUS_OK);
    assert_int_equal(sqlite3_exec(store_handle(s),
                                  "CREATE TEMP TRIGGER fails BEFORE UPDATE ON attempt BEGIN "
                                  "SELECT RAISE(ROLLBACK, 'as out of memory'); END",
                                  0, 0, 0),
                     SQLITE_OK);
    assert_int_equal(store_import(s, p.journals, "a", &e), STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "as out of memory"));
    ask_is(s, "SELECT state || attempts FROM run", "pending0");
    store_close(s);
    s = fixture_open(&p);
    take(s, "a");
    ask_is(s, "SELECT state || attempts FROM run", "done1");
    store_close(s);
}

static void overwrite(const char *path, long at, const char *bytes, size_t n) {
    FILE *file = fopen(path, "r+b");
    if (!file) file = fopen(path, "wb");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void test_damaged_database_is_moved_aside(void **state) {
    (void)state;
    char before[65], after[65], aside[256];
    fixture_attempt(&p, "a", 1, -1, 500, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    content_hash(s, before);
    store_close(s);
    for (int kind = 0; kind < 2; kind++) {
        char junk[4096];
        memset(junk, 0x5a, sizeof junk);
        overwrite(p.db, kind == 0 ? 16 : 8192, junk, sizeof junk); /* behind the mark of SQLite */
        bool rebuild = false;
        error e = {0};
        s = store_open(p.db, &rebuild, &e);
        if (!s) fail_msg("%s", e.text);
        assert_true(rebuild);
        snprintf(aside, sizeof aside, "%s.damaged-%d", p.db, kind + 1);
        assert_int_equal(access(aside, F_OK), 0);
        assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
        content_hash(s, after);
        assert_string_equal(before, after);
        store_close(s);
    }
}

static void test_foreign_and_newer_databases_are_left_alone(void **state) {
    (void)state;
    sqlite3 *db;
    bool rebuild;
    error e = {0};
    sqlite3_open(p.db, &db);
    sqlite3_exec(db, "CREATE TABLE precious (x); INSERT INTO precious VALUES (1)", 0, 0, 0);
    sqlite3_close(db);
    assert_null(store_open(p.db, &rebuild, &e));
    assert_non_null(strstr(e.text, "another program and was left alone"));
    e = (error){0};
    char text[512], path[256];
    snprintf(path, sizeof path, "%s.txt", p.db);
    overwrite(path, 0, "precious: 1", 11);
    assert_null(store_open(path, &rebuild, &e));
    snprintf(text, sizeof text, "%s is no SQLite database and is left alone; ", path);
    assert_non_null(strstr(e.text, text));
    assert_int_equal(access(path, F_OK), 0);
    e = (error){0};
    assert_null(store_open_readonly(p.db, &e));
    unlink(p.db);
    store_close(fixture_open(&p));
    sqlite3_open(p.db, &db);
    sqlite3_exec(db, "PRAGMA user_version = 99", 0, 0, 0);
    sqlite3_close(db);
    e = (error){0};
    assert_null(store_open(p.db, &rebuild, &e));
    assert_non_null(strstr(e.text, "update mixgrid"));
}

static void test_older_databases_are_upgraded(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 2, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    char before[65], after[65];
    content_hash(s, before);
    store_close(s);
    sqlite3 *db;
    bool rebuild;
    error e = {0};
    sqlite3_open(p.db, &db);
    assert_int_equal(sqlite3_exec(db,
                                  "DROP VIEW v_runs; CREATE VIEW v_runs AS SELECT id FROM run;"
                                  "ALTER TABLE run DROP COLUMN forward_flops_per_token;"
                                  "PRAGMA user_version = 1",
                                  0, 0, 0),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_null(store_open_readonly(p.db, &e));
    assert_non_null(strstr(e.text, "`mixgrid rebuild` brings it to 2"));
    e = (error){0};
    s = store_open(p.db, &rebuild, &e);
    assert_non_null(s);
    assert_false(rebuild);
    ask_is(s, "SELECT forward_flops_per_token || ' ' || flops_per_token FROM v_runs",
           "5000.0 15000.0");
    content_hash(s, after);
    assert_string_equal(before, after);
    store_close(s);
}

static void test_bad_places_are_one_sentence(void **state) {
    (void)state;
    bool rebuild;
    error e = {0};
    assert_null(store_open("/nowhere/results.db", &rebuild, &e));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "there is no folder /nowhere"));
    e = (error){0};
    assert_null(store_open_readonly(p.db, &e));
    assert_non_null(strstr(e.text, "`mixgrid run FILE` creates it"));
    pid_t child = fork(); /* root may write anywhere: go without */
    if (child == 0) {
        error denied = {0};
        if (chmod(p.folder, 0555) != 0 || (getuid() == 0 && setuid(65534) != 0)) _exit(2);
        store *s = store_open(p.db, &rebuild, &denied);
        _exit(!s && strstr(denied.text, "is read-only for you") ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    assert_int_equal(result, 0);
    chmod(p.folder, 0755);
}

static void test_full_disk_takes_the_import_back(void **state) {
    (void)state;
    fixture_attempt(&p, "a", 1, -1, 2000, RUN_DONE, 1);
    store_close(fixture_open(&p));
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {150000, 150000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        error e = {0};
        store *s = fixture_open(&p);
        bool failed = store_import(s, p.journals, "a", &e) == STATUS_ENVIRONMENT;
        bool back = strcmp(fixture_ask(s, "SELECT count(*) FROM metric"), "0") == 0;
        store_close(s);
        _exit(failed && back && strchr(e.text, '.') ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    assert_int_equal(result, 0);
    store *s = fixture_open(&p);
    take(s, "a"); /* with room again */
    ask_is(s, "SELECT count(*) FROM metric", "2001");
    store_close(s);
}

/* Killed at any moment, the next import ends with the same rows. */
static void test_killed_while_importing(void **state) {
    (void)state;
    char whole[65], resumed[65];
    fixture_attempt(&p, "a", 1, -1, 3000, RUN_DONE, 1);
    store *s = fixture_open(&p);
    take(s, "a");
    content_hash(s, whole);
    store_close(s);
    for (int i = 0; i < 12; i++) {
        unlink(p.db);
        pid_t child = fork();
        if (child == 0) {
            s = fixture_open(&p);
            take(s, "a");
            store_close(s);
            _exit(0);
        }
        usleep((useconds_t)(1000 + 4000 * i));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        s = fixture_open(&p);
        take(s, "a");
        content_hash(s, resumed);
        assert_string_equal(whole, resumed);
        store_close(s);
    }
}

/* A byte changed anywhere is refused in one sentence, but for the end of the last line, which may
 * be torn; the right journal put back in its place brings everything back. */
static void test_changed_bytes_are_refused(void **state) {
    (void)state;
    char path[256], before[65], after[65];
    static char text[8192];
    snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
    fixture_attempt(&p, "a", 1, -1, 2, RUN_DONE, 1);
    FILE *file = fopen(path, "rb");
    const long n = (long)fread(text, 1, sizeof text, file);
    fclose(file);
    store *s = fixture_open(&p);
    take(s, "a");
    content_hash(s, before);
    static const char other[] = "\"{}[],:\\-9eE.n\n \x80\xff";
    for (long at = 0; at < n; at += 2) {
        char was = text[at];
        text[at] = other[at * 7 % (long)(sizeof other - 1)];
        file = fopen(path, "wb");
        fwrite(text, 1, (size_t)n, file);
        fclose(file);
        error e = {0};
        if (store_import(s, p.journals, "a", &e))
            assert_true(strlen(e.text) > 20 && e.text[strlen(e.text) - 1] == '.');
        else if (text[at] != was && at < n - SEAL_BYTES - 1)
            fail_msg("byte %ld is %c, was %c, and is not noticed", at, text[at], was);
        text[at] = was;
    }
    file = fopen(path, "wb");
    fwrite(text, 1, (size_t)n, file);
    fclose(file);
    take(s, "a");
    content_hash(s, after);
    assert_string_equal(before, after);
    store_close(s);
}

/* Growth of the file is asserted; the speed depends on the machine and is only printed. */
static void test_100k_points(void **state) {
    (void)state;
    enum { N_SERIES = 5, N_STEP = 20000 };
    static const char *const name[N_SERIES] = {"loss", "token_acc", "grad_norm", "lr", "tokens_s"};
    error e = {0};
    journal *j = journal_open(p.journals, "a", &e);
    journal_attempt(j, "a", FIXTURE_CONFIG, FIXTURE_ENVIRONMENT, 1, -1, 0);
    double start = clock_unix_s();
    for (long step = 0; step < N_STEP; step++)
        for (int i = 0; i < N_SERIES; i++)
            journal_metric(j, "train", "", name[i], step, 1.0 / (double)(step + i + 1));
    assert_int_equal(journal_close(j, &e), STATUS_OK);
    double written = clock_unix_s();
    store *s = fixture_open(&p);
    take(s, "a");
    double imported = clock_unix_s();
    ask_is(s, "SELECT count(*) FROM metric", "100000");
    store_close(s);
    char path[256];
    struct stat info, lines;
    snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
    assert_int_equal(stat(p.db, &info), 0);
    assert_int_equal(stat(path, &lines), 0);
    const double n = N_SERIES * N_STEP, bytes = (double)info.st_size / n,
                 line_bytes = (double)lines.st_size / n;
    print_message("100000 points: journal %.2f s, import %.2f s, %.1f bytes a point, %.1f in the "
                  "journal\n",
                  written - start, imported - written, bytes, line_bytes);
    assert_true(bytes < 24);
    assert_true(line_bytes < 128);
}

static void test_network_file_systems_are_known(void **state) {
    (void)state;
    assert_string_equal(place_remote_kind(0x6969), "NFS");
    assert_string_equal(place_remote_kind(0xff534d42), "SMB");
    assert_null(place_remote_kind(0xef53)); /* ext4 */
    assert_null(place_remote(p.db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_run_arrives),
        TEST(test_import_is_idempotent_and_incremental),
        TEST(test_resumed_attempt_drops_later_steps),
        TEST(test_same_attempt_replaces),
        TEST(test_replaced_or_shrunk_journal_starts_over),
        TEST(test_not_finite_values_keep_their_kind),
        TEST(test_content_hash_ignores_time_and_order),
        TEST(test_experiment_shares_runs),
        TEST(test_experiment_whose_file_cannot_be_written),
        TEST(test_verdict_on_a_dead_worker),
        TEST(test_wrong_lines_keep_what_precedes),
        TEST(test_two_writers),
        TEST(test_import_stops_with_its_transaction),
        TEST(test_damaged_database_is_moved_aside),
        TEST(test_line_that_sqlite_reads_otherwise),
        TEST(test_foreign_and_newer_databases_are_left_alone),
        TEST(test_older_databases_are_upgraded),
        TEST(test_bad_places_are_one_sentence),
        TEST(test_full_disk_takes_the_import_back),
        TEST(test_killed_while_importing),
        TEST(test_changed_bytes_are_refused),
        TEST(test_100k_points),
        TEST(test_network_file_systems_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
