/* query_test.c - what query, status and show print, and what they refuse. */
#include "place_fixture.h"
#include "results/provenance.h"
#include "results/query.h"
#include "results/show.h"
#include "results/summary.h"

#include <jansson.h>
#include <math.h>

/* Runs aa1 (done), aa2 (failed), bb (diverged), cc (pending); experiment x holds all four. */
static int setup(void **state) {
    (void)state;
    error e = {0};
    p = place_new();
    fixture_attempt(&p, "aa1", 1, -1, 2, RUN_DONE, 1);
    fixture_attempt(&p, "aa2", 1, -1, 2, RUN_FAILED, 1);
    journal *j = journal_open(p.journals, "bb", &e);
    journal_attempt(j, "bb", "{\"train.seed\":9}", FIXTURE_ENVIRONMENT, 1, -1, 0);
    journal_metric(j, "train", "", "loss", 1, (double)NAN);
    journal_event(j, "note", "line one\nline | two");
    journal_artifact(j, "ck/bb.safetensors", "checkpoint", 10, "00ff");
    journal_end(j, RUN_DIVERGED, 1, 0.5, "loss is nan, \"quoted\"");
    journal_close(j, &e);
    store *s = fixture_open(&p);
    store_import_all(s, p.journals, NULL, &e);
    store_cell cells[] = {{"aa1", "{}", "lr=1 seed=1", "{\"lr\":1,\"seed\":1}"},
                          {"aa2", "{}", "lr=1 seed=2", "{\"lr\":1,\"seed\":2}"},
                          {"bb", "{}", "lr=2 seed=1", "{\"lr\":2,\"seed\":1}"},
                          {"cc", "{}", "lr=2 seed=2", "{\"lr\":2,\"seed\":2}"}};
    store_experiment(s, "x", "x.yaml", "{}", cells, 4, NULL, &e);
    store_close(s);
    return e.code;
}

static char printed[1 << 16];

static const char *ask(const char *what, const char *argument, query_format format, error *e) {
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    query_run(p.db, what, argument, format, out, e);
    fclose(out);
    return printed;
}

static void prints(const char *what, query_format format, const char *expected) {
    error e = {0};
    const char *got = ask(what, NULL, format, &e);
    if (e.code) fail_msg("%s", e.text);
    assert_string_equal(got, expected);
}

#define ODD                                                                                        \
    "SELECT 1 AS n, 0.1 AS x, 'a,\"b\"' AS t, NULL AS z, '' AS empty UNION ALL "                   \
    "SELECT 20, 1e300 * 1e300, 'caf\u00e9 | \n.', 2, 'x'"

static void test_formats(void **state) {
    (void)state;
    prints(ODD, QUERY_CSV,
           "n,x,t,z,empty\r\n"
           "1,0.1,\"a,\"\"b\"\"\",,\"\"\r\n"
           "20,inf,\"caf\u00e9 | \n.\",2,x\r\n");
    prints(ODD, QUERY_JSON,
           "[\n{\"n\":1,\"x\":0.1,\"t\":\"a,\\\"b\\\"\",\"z\":null,\"empty\":\"\"},\n"
           "{\"n\":20,\"x\":null,\"t\":\"caf\u00e9 | \\n.\",\"z\":2,\"empty\":\"x\"}\n]\n");
    prints(ODD, QUERY_TABLE,
           " n    x  t          z  empty\n"
           "--  ---  ---------  -  -----\n"
           " 1  0.1  a,\"b\"\n"
           "20  inf  caf\u00e9 |  .  2  x\n");
    prints(ODD, QUERY_MARKDOWN,
           "|   n |   x | t          |   z | empty |\n"
           "| --: | --: | ---------- | --: | ----- |\n"
           "|   1 | 0.1 | a,\"b\"      |     |       |\n"
           "|  20 | inf | caf\u00e9 \\|  . |   2 | x     |\n");
    prints("SELECT 1 WHERE 0", QUERY_JSON, "[]\n");
    prints("SELECT 1 AS a WHERE 0", QUERY_CSV, "a\r\n");
    prints("SELECT 0.1 + 0.2 AS x", QUERY_CSV, "x\r\n0.30000000000000004\r\n");
    prints("WITH t(x) AS (VALUES (1), (2)) SELECT sum(x) AS s FROM t; -- end", QUERY_TABLE,
           "s\n-\n3\n");
}

static void test_queries_that_read(void **state) {
    (void)state;
    static const char *const fine[] = {
        "SELECT * FROM v_runs",
        "EXPLAIN QUERY PLAN SELECT * FROM metric",
        "PRAGMA table_info(run)",
        "SELECT name FROM pragma_table_info('run')",
        "VALUES (1)",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3) SELECT * FROM c"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        error e = {0};
        ask(fine[i], NULL, QUERY_TABLE, &e);
        if (e.code) fail_msg("%s: %s", fine[i], e.text);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *what, *says;
    } table[] = {
        {"DELETE FROM run", "cannot change anything"},
        {"UPDATE run SET state = 'done'", "cannot change anything"},
        {"CREATE TABLE x (y)", "cannot change anything"},
        {"ATTACH 'other.db' AS o", "cannot change anything"},
        {"UPDATE sqlite_master SET sql = ''", ""},
        {"SELECT * FROM pragma_journal_mode('delete')", ""},
        {"VACUUM INTO '/tmp/copy.db'", "cannot change anything"},
        {"BEGIN IMMEDIATE", "cannot change anything"},
        {"PRAGMA journal_mode = DELETE", "cannot change anything"},
        {"PRAGMA writable_schema = 1", "cannot change anything"},
        {"SELECT load_extension('x')", ""},
        {"EXPLAIN DELETE FROM run", "cannot change anything"},
        {"SELECT 1; SELECT 2", "more than one statement"},
        {"SELECT 1; DROP TABLE run", "more than one statement"},
        {"", "empty"},
        {" ; -- nothing", "empty"},
        {"leaderbord", "there is no preset `leaderbord`; there are runs, final, leaderboard"},
        {"SELECT * FROM runs", "no such table: runs; there are the tables and views artifact, "},
        {"SELECT loss FROM metric", "no such column: loss; `PRAGMA table_info(TABLE)`"},
        {"SELEC 1 FROM run", "syntax error"},
        {"SELECT 'x", "could not read"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        error e = {0};
        ask(table[i].what, NULL, QUERY_TABLE, &e);
        assert_int_equal(e.code, STATUS_USAGE);
        if (!strstr(e.text, table[i].says)) fail_msg("%s: %s", table[i].what, e.text);
    }
    error e = {0};
    ask("runs", "aa1", QUERY_TABLE, &e);
    assert_non_null(strstr(e.text, "takes no argument"));
    prints("SELECT count(*) AS n FROM run", QUERY_CSV, "n\r\n4\r\n");
}

static void test_presets(void **state) {
    (void)state;
    for (int i = 0; i < n_query_preset; i++) {
        error e = {0};
        ask(query_preset_table[i].name, NULL, QUERY_CSV, &e);
        if (e.code) fail_msg("%s: %s", query_preset_table[i].name, e.text);
        assert_true(strlen(printed) > 20);
    }
    prints("failed", QUERY_CSV,
           "run,task,mixer,seed,state,step,exit_code,signal,attempts,message\r\n"
           "bb,,,9,diverged,1,,,1,\"loss is nan, \"\"quoted\"\"\"\r\n"
           "aa2,nar,cat,7,failed,2,,,1,why\r\n");
    prints("seeds", QUERY_CSV,
           "experiment,variant,runs,done,failed,open,wall_s\r\n"
           "x,\"{\"\"lr\"\":1}\",2,1,1,0,3\r\nx,\"{\"\"lr\"\":2}\",2,0,1,1,0.5\r\n");
    prints("leaderboard", QUERY_CSV,
           "experiment,variant,slice,name,mean,min,max,n,runs,failed\r\n"
           "x,\"{\"\"lr\"\":1}\",\"\",token_acc,0.5,0.5,0.5,1,2,1\r\n"
           "x,\"{\"\"lr\"\":1}\",length=256,token_acc,0.25,0.25,0.25,1,2,1\r\n");
    error e = {0};
    assert_string_equal(ask("metrics", "bb", QUERY_CSV, &e),
                        "run,split,slice,name,step,value\r\nbb,train,\"\",loss,1,nan\r\n");
    assert_string_equal(ask("metrics", "aa1", QUERY_CSV, &e),
                        "run,split,slice,name,step,value\r\naa1,train,\"\",loss,0,1\r\n"
                        "aa1,train,\"\",loss,1,0.5\r\n"
                        "aa1,train,\"\",loss,2,0.3333333333333333\r\n");
    prints("metrics", QUERY_TABLE,
           "run  split  slice  name  step  value\n---  -----  -----  ----  ----  ---------\n"
           "aa1  train         loss     2  0.3333333\naa2  train         loss     2  0.3333333\n"
           "bb   train         loss     1  nan\n");
}

/* Every block ```sql of the README runs, and there are ten. */
static void test_queries_of_the_readme(void **state) {
    (void)state;
    FILE *file = fopen("results/README.md", "r");
    assert_non_null(file);
    static char text[1 << 15];
    assert_true(fread(text, 1, sizeof text - 1, file) > 1000 && feof(file));
    fclose(file);
    int n = 0;
    for (char *block = strstr(text, "```sql"); block; n++) {
        char *start = block + 6, *end = strstr(start, "```");
        assert_non_null(end);
        *end = '\0';
        error e = {0};
        ask(start, NULL, QUERY_TABLE, &e);
        if (e.code) fail_msg("%s: %s", start, e.text);
        block = strstr(end + 1, "```sql");
    }
    assert_int_equal(n, 10);
}

static void test_no_database(void **state) {
    (void)state;
    error e = {0};
    assert_int_equal(query_run("/nowhere.db", "runs", NULL, QUERY_TABLE, stdout, &e),
                     STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "no results database /nowhere.db"));
}

static void test_full_output_is_an_error(void **state) {
    (void)state;
    FILE *out = fopen("/dev/full", "w");
    if (!out) skip();
    error e = {0};
    assert_int_equal(query_run(p.db, "runs", NULL, QUERY_CSV, out, &e), STATUS_ENVIRONMENT);
    fclose(out);
}

static void test_summary(void **state) {
    (void)state;
    error e = {0};
    store *s = store_open_readonly(p.db, &e);
    store_counts counts;
    assert_int_equal(store_counts_get(&counts, s, "x", &e), STATUS_OK);
    assert_int_equal(counts.cells, 4);
    assert_int_equal(counts.state[RUN_DONE], 1);
    assert_int_equal(counts.state[RUN_FAILED], 1);
    assert_int_equal(counts.state[RUN_DIVERGED], 1);
    assert_int_equal(counts.state[RUN_PENDING], 1);
    assert_true(counts.wall_s == 3.5);
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    assert_int_equal(summary_print(s, NULL, QUERY_CSV, out, &e), STATUS_OK);
    fclose(out);
    assert_string_equal(printed, "experiment,cells,done,failed,diverged,timeout,running,pending,"
                                 "preempted,cancelled,wall_s\r\nx,4,1,1,1,0,0,1,0,0,3.5\r\n");
    assert_int_equal(summary_print(s, "y", QUERY_CSV, stdout, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "holds no experiment `y`; it has x."));
    store_close(s);
}

static void test_show(void **state) {
    (void)state;
    error e = {0};
    store *s = store_open_readonly(p.db, &e);
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    if (run_show(s, "b", false, out, &e)) fail_msg("%s", e.text);
    fclose(out);
    assert_non_null(strstr(printed, "state                    diverged\n"));
    assert_non_null(strstr(printed, "train.seed"));
    assert_non_null(strstr(printed, "line one line | two"));
    assert_non_null(strstr(printed, "checkpoint"));

    memset(printed, 0, sizeof printed);
    out = fmemopen(printed, sizeof printed - 1, "w");
    assert_int_equal(run_show(s, "bb", true, out, &e), STATUS_OK);
    fclose(out);
    json_t *object = json_loads(printed, 0, NULL);
    assert_non_null(object);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(object, "config"), "train.seed")), 9);
    assert_int_equal(json_array_size(json_object_get(object, "attempts")), 1);
    json_decref(object);

    assert_int_equal(run_show(s, "aa", false, stdout, &e), STATUS_USAGE);
    assert_string_equal(e.text,
                        "2 runs have an id that starts with `aa` (aa1, aa2); give more of it.");
    e = (error){0};
    assert_int_equal(run_show(s, "zz", false, stdout, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "holds no run whose id starts with `zz`"));
    store_close(s);
}

static void test_provenance(void **state) {
    (void)state;
    arena *a = arena_new();
    setenv("OMP_NUM_THREADS", "3", 1);
    setenv("SECRET_TOKEN", "do not tell", 1);
    const char *once = provenance_json(a, "cpu-v3", "avx2", NULL, NULL);
    assert_string_equal(once, provenance_json(a, "cpu-v3", "avx2", NULL, NULL));
    assert_null(strstr(once, "do not tell"));
    json_t *object = json_loads(once, 0, NULL);
    assert_non_null(object);
    assert_int_equal(strlen(json_string_value(json_object_get(object, "binary_sha256"))), 64);
    assert_string_equal(json_string_value(json_object_get(object, "backend")), "cpu-v3");
    json_t *kept = json_object_get(object, "environment");
    assert_string_equal(json_string_value(json_object_get(kept, "OMP_NUM_THREADS")), "3");
    assert_true(json_is_boolean(json_object_get(object, "dirty")));
    static const char *const key[] = {"commit",    "compiler", "flags",      "sqlite", "cpu",
                                      "libc",      "kernel",   "host",       "locale", "processors",
                                      "libraries", "device",   "diff_bytes", "diff"};
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (!json_object_get(object, key[i])) fail_msg("no %s", key[i]);
    /* a dirty binary says how it differs, a clean one that it does not */
    const bool dirty = json_is_true(json_object_get(object, "dirty"));
    const char *diff = json_string_value(json_object_get(object, "diff"));
    assert_true(dirty == (json_integer_value(json_object_get(object, "diff_bytes")) > 0));
    assert_true(dirty == (diff && !strncmp(diff, "diff --git ", 11)));
    json_decref(object);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_queries_that_read),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_queries_of_the_readme),
        cmocka_unit_test(test_no_database),
        cmocka_unit_test(test_full_output_is_an_error),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_provenance),
    };
    return cmocka_run_group_tests(tests, setup, place_teardown);
}
