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

typedef status print_summary(const summary *, store *, FILE *, error *);

static const char *summarized(print_summary *print, store *s, const summary *what) {
    error e = {0};
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    if (print(what, s, out, &e)) fail_msg("%s", e.text);
    fclose(out);
    return printed;
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
    assert_string_equal(
        summarized(summary_print, s, &(summary){.scheduler = SCHEDULER_GONE}),
        "experiment  cells  done  failed  diverged  timeout  running  pending  preempted  "
        "cancelled  wall_s\n"
        "----------  -----  ----  ------  --------  -------  -------  -------  ---------  "
        "---------  ------\n"
        "x               4     1       1         1        0        0        1          0          "
        "0     3.5\n");
    assert_string_equal(
        summarized(summary_print_json, s, &(summary){.scheduler = SCHEDULER_ALIVE}),
        "[\n{\"experiment\":\"x\",\"cells\":4,\"done\":1,\"failed\":1,\"diverged\":1,\"timeout\":0,"
        "\"running\":0,\"pending\":1,\"preempted\":0,\"cancelled\":0,\"wall_s\":3.5,"
        "\"scheduler\":\"alive\",\"runs\":[]}\n]\n");
    assert_int_equal(summary_print(&(summary){.experiment = "y"}, s, stdout, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "holds no experiment `y`; it has x."));
    store_close(s);
}

static void says(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("no \"%s\" in:\n%s", part, text);
}

/* Twelve runs that are running, the last of them in its second attempt, and one that is done. */
static void test_running(void **state) {
    (void)state;
    enum { N = 12 };
    error e = {0};
    place q = place_new();
    store *s = fixture_open(&q);
    store_cell cells[N + 1];
    for (int i = 0; i <= N; i++) {
        static char id[N + 1][8], label[N + 1][16];
        snprintf(id[i], sizeof id[i], "r%02d", i);
        snprintf(label[i], sizeof label[i], "seed=%d", i);
        cells[i] = (store_cell){id[i], "{}", label[i], "{}"};
        journal *j = journal_open(q.journals, id[i], &e);
        const char *config = i == 2 ? "{\"train.steps\":40,\"train.epochs\":0.5}"
                                    : "{\"train.steps\":40,\"train.epochs\":0}";
        journal_attempt(j, id[i], config, FIXTURE_ENVIRONMENT, 1, -1, 1000 + i);
        for (int step = 1; step <= 3 && i != 1; step++) {
            const double loss = i == 3 && step == 3 ? (double)NAN : 3.0 / step;
            journal_metric(j, "train", "", "loss", step, loss);
            journal_metric(j, "train", "", "token_acc", step, 0.25 * step);
        }
        if (i == N - 1) journal_attempt(j, id[i], config, FIXTURE_ENVIRONMENT, 2, 2, 900);
        if (i == N) journal_end(j, RUN_DONE, 40, 2, "");
        assert_int_equal(journal_close(j, &e), STATUS_OK);
    }
    store_import_all(s, q.journals, NULL, &e);
    store_experiment(s, "x", "x.yaml", "{}", cells, N + 1, NULL, &e);
    store_experiment(s, "y", "y.yaml", "{}", cells + 3, 1, NULL, &e);
    store_experiment(s, "z", "z.yaml", "{}", (store_cell[]){cells[N], cells[N]}, 2, NULL, &e);
    assert_int_equal(e.code, STATUS_OK);
    const summary all = {.scheduler = SCHEDULER_ALIVE, .now_s = 1060.4},
                  one = {"y", SCHEDULER_GONE, 1060};
    long n;
    assert_int_equal(summary_count_running(&n, &all, s, &e), STATUS_OK);
    assert_int_equal(n, N);
    assert_int_equal(summary_count_running(&n, &one, s, &e), STATUS_OK);
    assert_int_equal(n, 1);

    const char *text = summarized(summary_print, s, &all);
    says(text, "\nz               2     2       0         0        0        0        0          0"
               "          0       2\n"); /* the time of a run in two cells counts once */
    says(text, "\nrun  label    step  loss    acc    running_s\n");
    says(text, "\nr11  seed=11  2/40  1.5000  0.500        160\n" /* later points are void */
               "r00  seed=0   3/40  1.0000  0.750         60\n"   /* the last of each curve */
               "r01  seed=1   0/40                        59\n"   /* nothing is logged yet */
               "r02  seed=2   3     1.0000  0.750         58\n"); /* steps follow from epochs */
    says(text, "r08  seed=8");
    assert_null(strstr(text, "r09"));
    assert_null(strstr(text, "r12"));
    says(text, "\nand 2 more\n");
    assert_null(strstr(text, "no scheduler"));

    text = summarized(summary_print, s, &one);
    says(text, "\nr03  seed=3  3/40  nan   0.750\nno scheduler is running: give");
    assert_null(strstr(text, "more"));

    json_t *array = json_loads(summarized(summary_print_json, s, &all), 0, NULL);
    assert_int_equal(json_array_size(array), 3);
    json_t *x = json_array_get(array, 0), *runs = json_object_get(x, "runs");
    assert_int_equal(json_array_size(runs), N);
    assert_int_equal(json_array_size(json_object_get(json_array_get(array, 1), "runs")), 1);
    char *first = json_dumps(json_array_get(runs, 0), JSON_COMPACT);
    assert_string_equal(first, "{\"run\":\"r00\",\"label\":\"seed=0\",\"step\":3,\"steps\":40,"
                               "\"loss\":1,\"token_acc\":0.75,\"start_s\":1000}");
    free(first);
    assert_true(json_is_null(json_object_get(json_array_get(runs, 2), "steps")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(runs, 3), "loss")), "nan");
    assert_true(json_is_null(json_object_get(json_array_get(runs, 1), "loss")));
    json_decref(array);
    store_close(s);
    place_remove(&q);
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
        cmocka_unit_test(test_running),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_provenance),
    };
    return cmocka_run_group_tests(tests, setup, place_teardown);
}
