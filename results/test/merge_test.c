/* merge_test.c - what is written out comes back as it was; what is joined is joined once, and the
 * better of two runs stays. */
#include "pair_fixture.h"
#include "results/claim.h"
#include "results/experiment_file.h"
#include "results/merge.h"
#include "results/whole_file.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *hash_of(store *s) {
    static char hash[4][65];
    static int next;
    char *out = hash[next++ % 4];
    content_hash(s, out);
    return out;
}

/* All bytes below a folder in one number, names with them. */
static uint64_t bytes_below(const char *folder) {
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    uint64_t h = 0xcbf29ce484222325u;
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char path[512];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        for (const char *c = entry[i]->d_name; *c; c++) h = (h ^ (uint64_t)*c) * 0x100000001b3u;
        if (entry[i]->d_name[0] != '.' && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            h ^= bytes_below(path) * 31;
        FILE *file = entry[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        for (int c; file && (c = fgetc(file)) != EOF;) h = (h ^ (uint64_t)c) * 0x100000001b3u;
        if (file) fclose(file);
        free(entry[i]);
    }
    free(entry);
    return h;
}

static status merge(store *s, const char *source, merge_counts *counts, error *e) {
    *e = (error){0};
    *counts = (merge_counts){0};
    FILE *notes = fopen("/dev/null", "w");
    status result = store_merge(s, ours.journals, source, false, counts, notes, e);
    fclose(notes);
    return result;
}

static merge_counts merge_well(store *s, const char *source) {
    error e;
    merge_counts counts;
    if (merge(s, source, &counts, &e)) fail_msg("%s", e.text);
    return counts;
}

/* A run that has everything a journal can hold. */
static void rich_run(const place *p, const char *run) {
    error e = {0};
    fixture_attempt(p, run, 1, -1, 6, RUN_PREEMPTED, 1);
    fixture_attempt(p, run, 2, 4, 9, RUN_RUNNING, 1);
    journal *j = journal_open(p->journals, run, &e);
    journal_metric(j, "val", "gap=8", "loss \"x\"", 9, (double)NAN);
    journal_metric(j, "val", "", "loss", 9, -(double)INFINITY);
    journal_metric(j, "val", "", "acc", 9, 0.1 + 0.2);
    journal_event(j, "note", "line\nbreak \xc3\xa9");
    journal_artifact(j, "out/x.safetensors", "weights", 77, "ab12");
    journal_verdict(j, run, FIXTURE_CONFIG, 2, RUN_FAILED, 139, 11, "killed", "the log");
    journal_close(j, &e);
    fixture_attempt(p, run, 3, 9, 12, RUN_DONE, 1);
    j = journal_open(p->journals, run, &e);
    journal_verdict(j, run, FIXTURE_CONFIG, 4, RUN_CANCELLED, 1, 0, "never started", "");
    assert_int_equal(journal_close(j, &e), STATUS_OK);
}

static const char *const all_rows[] = {
    "SELECT group_concat(id || config || state || message || wall_s || attempts || params, '|') "
    "FROM run",
    "SELECT group_concat(number || state || ifnull(start_s, '-') || wall_s || resumed_from || "
    "ifnull(step, '-') || ifnull(exit_code, '-') || ifnull(signal, '-') || message || log_tail || "
    "ifnull(environment, '-'), '|') FROM attempt",
    "SELECT group_concat(time_s || what || detail, '|') FROM (SELECT * FROM event ORDER BY number)",
    "SELECT group_concat(path || kind || bytes || sha256, '|') FROM artifact",
    "SELECT group_concat(experiment || position || run || label || axes || variant, '|') "
    "FROM (SELECT * FROM cell ORDER BY experiment, position)",
    "SELECT group_concat(name || file || spec, '|') FROM experiment",
    "SELECT group_concat(name || value || environment, '|') FROM bench",
};
enum { N_ROWS = sizeof all_rows / sizeof *all_rows };

static void keep_rows(store *s, char out[N_ROWS][4096]) {
    for (int i = 0; i < N_ROWS; i++) snprintf(out[i], 4096, "%s", fixture_ask(s, all_rows[i]));
}

static void test_rows_become_the_journal_they_came_from(void **state) {
    (void)state;
    static char before[N_ROWS][4096];
    char hash[65];
    error e = {0};
    rich_run(&ours, "a");
    store *s = fixture_open(&ours);
    import_all(s, &ours);
    snprintf(hash, sizeof hash, "%s", hash_of(s));
    keep_rows(s, before);
    assert_non_null(strstr(before[1], "139"));
    if (store_export_run(s, theirs.journals, "a", &e)) fail_msg("%s", e.text);
    store_close(s);
    uint64_t bytes = bytes_below(theirs.journals);
    s = fixture_open(&theirs);
    import_all(s, &theirs);
    assert_string_equal(hash, hash_of(s));
    for (int i = 0; i < N_ROWS; i++) assert_string_equal(before[i], fixture_ask(s, all_rows[i]));
    /* and once more, from those rows: the same bytes */
    if (store_export_run(s, theirs.journals, "a", &e)) fail_msg("%s", e.text);
    assert_true(bytes == bytes_below(theirs.journals));
    store_close(s);
}

static void add_bench(store *s, const place *p, double value) {
    error e = {0};
    const store_bench row = {1e9, value, "gemm", "8x8", "cpu", "GFLOP/s", "{\"host\":\"x\"}"};
    assert_int_equal(store_bench_add(s, p->journals, &row, &e), STATUS_OK);
}

static void test_rebuild_brings_everything_back(void **state) {
    (void)state;
    static char before[N_ROWS][4096];
    static const char *const run[] = {"a", "b", "c"}; /* c is pending, b has no journal */
    char hash[65];
    error e = {0};
    long n, written;
    rich_run(&ours, "a");
    fixture_attempt(&ours, "b", 1, -1, 3, RUN_DONE, 2);
    store *s = fixture_open(&ours);
    import_all(s, &ours);
    add_experiment(s, &ours, "small/../x", run, 3);
    add_bench(s, &ours, 5);
    snprintf(hash, sizeof hash, "%s", hash_of(s));
    keep_rows(s, before);
    char path[256];
    snprintf(path, sizeof path, "%s/b.jsonl", ours.journals);
    assert_int_equal(unlink(path), 0);
    /* what quick_check cannot see */
    sqlite3_exec(store_handle(s), "UPDATE point SET value = 3 WHERE step = 2", 0, 0, 0);
    assert_string_not_equal(hash, hash_of(s));
    sqlite3_exec(store_handle(s),
                 "UPDATE point SET value = CASE WHEN series = (SELECT number FROM series WHERE run "
                 "= 'b') THEN 2 / 3.0 ELSE 7 END WHERE step = 2",
                 0, 0, 0);
    if (store_rebuild(s, ours.journals, &n, &written, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 2);
    assert_int_equal(written, 1);
    assert_string_equal(hash, hash_of(s));
    for (int i = 0; i < N_ROWS; i++) assert_string_equal(before[i], fixture_ask(s, all_rows[i]));
    ask_is(s, "PRAGMA integrity_check", "ok");
    ask_is(s, "PRAGMA foreign_key_check", "(none)");
    store_close(s);
    /* from the folder alone */
    unlink(ours.db);
    s = fixture_open(&ours);
    import_all(s, &ours);
    assert_string_equal(hash, hash_of(s));
    for (int i = 0; i < N_ROWS; i++) assert_string_equal(before[i], fixture_ask(s, all_rows[i]));
    store_close(s);
}

/* The byte at `offset` behind the start of `found`, its first place in the file. */
static void change_byte(const char *path, const char *found, long offset, char to) {
    error e = {0};
    arena *a = arena_new();
    long n;
    char *bytes = file_bytes(a, path, -1, &n, &e);
    assert_non_null(bytes);
    bytes[n] = '\0';
    char *at = strstr(bytes, found);
    assert_non_null(at);
    assert_int_not_equal(at[offset], to);
    at[offset] = to;
    assert_int_equal(file_replace(path, bytes, n, &e), STATUS_OK);
    arena_free(a);
}

/* A line broken in two, and one digit of one value. */
static void test_damaged_journal_leaves_the_rows_in_place(void **state) {
    (void)state;
    long n, written;
    char path[256], hash[65];
    snprintf(path, sizeof path, "%s/a.jsonl", ours.journals);
    for (int kind = 0; kind < 2; kind++) {
        error e = {0};
        fixture_attempt(&ours, "a", 1, -1, 9, RUN_DONE, 1);
        store *s = fixture_open(&ours);
        import_all(s, &ours);
        snprintf(hash, sizeof hash, "%s", hash_of(s));
        if (kind == 0)
            change_byte(path, "\"step\":3", 0, '\n');
        else
            change_byte(path, "\"step\":3,\"value\":0.25", 19, '4');
        assert_int_equal(store_rebuild(s, ours.journals, &n, &written, &e), STATUS_ENVIRONMENT);
        assert_non_null(strstr(e.text, "a.jsonl, line 9 is damaged ("));
        assert_non_null(strstr(e.text, "Remove the line, or remove the file"));
        ask_is(s, "SELECT value FROM metric WHERE step = 3", "0.25");
        unlink(path); /* as the error says */
        e = (error){0};
        assert_int_equal(store_rebuild(s, ours.journals, &n, &written, &e), STATUS_OK);
        assert_int_equal(written, 1);
        assert_string_equal(hash, hash_of(s));
        store_close(s);
        unlink(path);
        unlink(ours.db);
    }
}

static const char cell_runs[] =
    "SELECT group_concat(run, ' ') FROM (SELECT run FROM cell ORDER BY experiment, position)";

static void test_experiment_files_of_two_databases_stay_apart(void **state) {
    (void)state;
    static const char *const first[] = {"a", "b"}, *const second[] = {"c"};
    error e = {0};
    bool rebuild;
    char other[160];
    snprintf(other, sizeof other, "%s/other.db", ours.folder);
    store *s = fixture_open(&ours);
    add_experiment(s, &ours, "x", first, 2);
    store_close(s);
    s = store_open(other, &rebuild, &e);
    add_experiment(s, &ours, "x", second, 1);
    store_close(s);
    unlink(ours.db);
    unlink(other);
    s = fixture_open(&ours);
    import_all(s, &ours);
    ask_is(s, cell_runs, "a b");
    store_close(s);
    s = store_open(other, &rebuild, &e);
    import_all(s, &ours);
    ask_is(s, cell_runs, "c");
    store_close(s);
    unlink(other);
    /* one that has no files of its own, as after a renaming, takes all */
    snprintf(other, sizeof other, "%s/renamed.db", ours.folder);
    s = store_open(other, &rebuild, &e);
    import_all(s, &ours);
    ask_is(s, cell_runs, "c a b");
    store_close(s);
}

static void test_damaged_experiment_file_is_named(void **state) {
    (void)state;
    static const char *const run[] = {"a", "b"};
    static const char *const tail[] = {"[]\n", "{\"v\":1,\"type\":\"cell\",\"run\":\"z\"}\n", NULL,
                                       ""};
    char path[256];
    snprintf(path, sizeof path, "%s/experiments/results.db/x.jsonl", ours.journals);
    for (int i = 0; i < 4; i++) {
        store *s = fixture_open(&ours);
        add_experiment(s, &ours, "x", run, 2);
        store_close(s);
        FILE *file = fopen(path, "a");
        if (tail[i]) fputs(tail[i], file);
        fclose(file);
        if (i == 3) change_byte(path, "\"train.lr\":0.3", 13, '2');
        if (!tail[i]) assert_int_equal(truncate(path, 200), 0);
        unlink(ours.db);
        s = fixture_open(&ours);
        error e = {0};
        assert_int_equal(store_import_all(s, ours.journals, NULL, &e), STATUS_ENVIRONMENT);
        assert_non_null(strstr(e.text, "x.jsonl"));
        ask_is(s, "SELECT count(*) FROM cell", "0");
        store_close(s);
    }
}

/* A database with journals beside it, the folder, one journal, and a database alone. */
static void test_merging_twice_changes_nothing(void **state) {
    (void)state;
    static const char *const run[] = {"a", "b", "d"}, *const own[] = {"c", "a"};
    char once[65], source[4][160];
    store *s = fixture_open(&theirs);
    rich_run(&theirs, "a");
    fixture_attempt(&theirs, "b", 1, -1, 3, RUN_DONE, 2);
    import_all(s, &theirs);
    add_experiment(s, &theirs, "x", run, 3);
    add_bench(s, &theirs, 5);
    store_close(s);
    const uint64_t untouched = bytes_below(theirs.folder);
    snprintf(source[0], sizeof source[0], "%s", theirs.db);
    snprintf(source[1], sizeof source[1], "%s", theirs.folder);
    snprintf(source[2], sizeof source[2], "%s", theirs.journals);
    snprintf(source[3], sizeof source[3], "%s/b.jsonl", theirs.journals);
    for (int kind = 0; kind < 4; kind++) {
        fixture_attempt(&ours, "c", 1, -1, 3, RUN_DONE, 3);
        s = fixture_open(&ours);
        import_all(s, &ours);
        add_experiment(s, &ours, "x", own, 2);
        merge_counts n = merge_well(s, source[kind]);
        assert_int_equal(n.added, kind == 3 ? 1 : 2);
        assert_int_equal(n.experiments.cells, kind == 3 ? 0 : 2);
        if (kind < 3) {
            ask_is(s, cell_runs, "c a b d");
            ask_is(s,
                   "SELECT group_concat(state, ' ') FROM (SELECT * FROM cell JOIN run ON id = run "
                   "ORDER BY position)",
                   "done cancelled done pending");
        }
        ask_is(s, "SELECT count(*) FROM bench", kind < 3 ? "1" : "0");
        snprintf(once, sizeof once, "%s", hash_of(s));
        const uint64_t bytes = bytes_below(ours.journals);
        n = merge_well(s, source[kind]);
        assert_int_equal(n.added + n.replaced + n.kept + n.conflicts + n.experiments.cells, 0);
        assert_int_equal(n.equal, n.runs);
        ask_is(s, "SELECT count(*) FROM bench", kind < 3 ? "1" : "0");
        assert_string_equal(once, hash_of(s));
        assert_true(bytes == bytes_below(ours.journals));
        store_close(s);
        /* the journals alone say the same */
        unlink(ours.db);
        s = fixture_open(&ours);
        import_all(s, &ours);
        assert_string_equal(once, hash_of(s));
        if (kind < 3) ask_is(s, cell_runs, "c a b d");
        ask_is(s, "SELECT count(*) FROM bench", kind < 3 ? "1" : "0");
        store_close(s);
        assert_true(untouched == bytes_below(theirs.folder));
        place_remove(&ours);
        ours = place_new();
    }
}

/* As a scheduler leaves it that is killed: the rows are in the log, and nothing may be created. */
static void test_killed_scheduler_is_a_source(void **state) {
    (void)state;
    char path[256];
    rich_run(&theirs, "a");
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        import_all(fixture_open(&theirs), &theirs);
        _exit(0);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    snprintf(path, sizeof path, "%s-shm", theirs.db);
    unlink(path);
    snprintf(path, sizeof path, "%s/a.jsonl", theirs.journals);
    unlink(path);
    snprintf(path, sizeof path, "%s-wal", theirs.db);
    assert_int_equal(access(path, F_OK), 0);
    const uint64_t untouched = bytes_below(theirs.folder);
    store *s = fixture_open(&ours);
    merge_counts n = merge_well(s, theirs.db);
    assert_int_equal(n.added + n.exported, 2);
    ask_is(s, "SELECT count(*) FROM attempt", "4");
    store_close(s);
    assert_true(untouched == bytes_below(theirs.folder));
}

static void test_database_without_journals_is_merged_from_its_rows(void **state) {
    (void)state;
    char hash[65], path[256];
    rich_run(&theirs, "a");
    fixture_attempt(&theirs, "b", 1, -1, 3, RUN_DONE, 2);
    store *s = fixture_open(&theirs);
    import_all(s, &theirs);
    snprintf(hash, sizeof hash, "%s", hash_of(s));
    store_close(s);
    snprintf(path, sizeof path, "%s/a.jsonl", theirs.journals);
    unlink(path);
    s = fixture_open(&ours);
    merge_counts n = merge_well(s, theirs.db);
    assert_int_equal(n.exported, 1);
    assert_int_equal(n.added, 2);
    assert_string_equal(hash, hash_of(s));
    const uint64_t bytes = bytes_below(ours.journals);
    n = merge_well(s, theirs.db);
    assert_int_equal(n.equal, 2);
    assert_true(bytes == bytes_below(ours.journals));
    store_close(s);
}

/* ours and theirs of one run, as states; what becomes of it */
static void test_the_better_run_stays(void **state) {
    (void)state;
    static const struct {
        run_state ours, theirs;
        double scale; /* of their values */
        int added, replaced, equal, kept, conflicts;
        const char *value; /* at step 2 afterwards */
    } c[] = {
        {RUN_RUNNING, RUN_DONE, 2, 0, 1, 0, 0, 0, "0.66"},
        {RUN_FAILED, RUN_DIVERGED, 2, 0, 1, 0, 0, 0, "0.66"},
        {RUN_TIMEOUT, RUN_DONE, 2, 0, 1, 0, 0, 0, "0.66"},
        {RUN_FAILED, RUN_TIMEOUT, 2, 0, 1, 0, 0, 0, "0.66"},
        {RUN_DONE, RUN_FAILED, 2, 0, 0, 0, 1, 0, "0.33"},
        {RUN_TIMEOUT, RUN_TIMEOUT, 2, 0, 0, 0, 1, 0, "0.33"},
        {RUN_PREEMPTED, RUN_FAILED, 2, 0, 0, 0, 1, 0, "0.33"},
        {RUN_DONE, RUN_DONE, 1, 0, 0, 1, 0, 0, "0.33"},
        {RUN_DONE, RUN_DONE, 2, 0, 0, 0, 0, 1, "0.33"},
        {RUN_DONE, RUN_DIVERGED, 1, 0, 0, 0, 0, 1, "0.33"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        error e = {0};
        fixture_attempt(&ours, "a", 1, -1, 5, c[i].ours, 1);
        /* an event tells the journals apart */
        fixture_attempt(&theirs, "a", 1, -1, 5, RUN_RUNNING, c[i].scale);
        journal *j = journal_open(theirs.journals, "a", &e);
        journal_event(j, "elsewhere", "");
        journal_close(j, &e);
        fixture_attempt(&theirs, "a", 2, -1, 5, c[i].theirs, c[i].scale);
        store *s = fixture_open(&ours);
        merge_counts n = merge_well(s, theirs.journals);
        if (n.added != c[i].added || n.replaced != c[i].replaced || n.equal != c[i].equal ||
            n.kept != c[i].kept || n.conflicts != c[i].conflicts)
            fail_msg("case %zu: added %ld, replaced %ld, equal %ld, kept %ld, conflicts %ld", i,
                     n.added, n.replaced, n.equal, n.kept, n.conflicts);
        ask_is(s, "SELECT substr(value, 1, 4) FROM metric WHERE step = 2", c[i].value);
        store_close(s);
        place_remove(&ours);
        place_remove(&theirs);
        ours = place_new();
        theirs = place_new();
    }
}

static void test_conflict_says_what_differs(void **state) {
    (void)state;
    error e = {0};
    merge_counts n = {0};
    char *text = NULL;
    size_t length;
    fixture_attempt(&ours, "a", 1, -1, 5, RUN_DONE, 1);
    fixture_attempt(&theirs, "a", 1, -1, 5, RUN_DONE, 2);
    store *s = fixture_open(&ours);
    FILE *notes = open_memstream(&text, &length);
    assert_int_equal(store_merge(s, ours.journals, theirs.folder, false, &n, notes, &e), STATUS_OK);
    fclose(notes);
    assert_int_equal(n.conflicts, 1);
    static const char *const part[] = {"run a has other results in ", "content hash ",
                                       "train loss from step 0 (1 | 2)",
                                       "neither code nor environment differs", "--prefer theirs"};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (!strstr(text, part[i])) fail_msg("no \"%s\" in %s", part[i], text);
    free(text);
    ask_is(s, "SELECT value FROM metric WHERE step = 1", "0.5");
    notes = fopen("/dev/null", "w");
    assert_int_equal(store_merge(s, ours.journals, theirs.folder, true, &n, notes, &e), STATUS_OK);
    fclose(notes);
    assert_int_equal(n.replaced, 1);
    ask_is(s, "SELECT value FROM metric WHERE step = 1", "1.0");
    store_close(s);
}

static void test_longer_journal_of_the_same_run_stays(void **state) {
    (void)state;
    error e = {0};
    fixture_attempt(&ours, "a", 1, -1, 5, RUN_RUNNING, 1);
    fixture_attempt(&theirs, "a", 1, -1, 5, RUN_RUNNING, 1);
    store *s = fixture_open(&ours);
    assert_int_equal(merge_well(s, theirs.journals).equal, 1);
    journal *j = journal_open(theirs.journals, "a", &e);
    journal_metric(j, "train", "", "loss", 6, 9);
    journal_close(j, &e);
    assert_int_equal(merge_well(s, theirs.journals).replaced, 1);
    ask_is(s, "SELECT value FROM metric WHERE step = 6", "9.0");
    j = journal_open(ours.journals, "a", &e);
    journal_metric(j, "train", "", "loss", 7, 8);
    journal_close(j, &e);
    assert_int_equal(merge_well(s, theirs.journals).equal, 1);
    ask_is(s, "SELECT max(step) FROM metric", "7");
    store_close(s);
}

static void test_run_in_training_is_left_alone(void **state) {
    (void)state;
    error e = {0};
    merge_counts n;
    fixture_attempt(&ours, "a", 1, -1, 2, RUN_RUNNING, 1);
    fixture_attempt(&theirs, "a", 1, -1, 5, RUN_DONE, 1);
    fixture_attempt(&theirs, "b", 1, -1, 5, RUN_DONE, 1);
    int claims = claims_open(ours.journals, &e);
    assert_true(claim_take(claims, "a"));
    assert_true(claim_take(claims, "a")); /* again by the same */
    store *s = fixture_open(&ours);
    assert_int_equal(merge(s, theirs.journals, &n, &e), STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "run a is being trained in "));
    assert_int_equal(n.added, 1); /* b */
    claim_release(claims, "a");
    assert_int_equal(merge_well(s, theirs.journals).replaced, 1);
    claims_close(claims);
    store_close(s);
}

static void test_wrong_sources_are_named_and_leave_nothing(void **state) {
    (void)state;
    static const struct {
        const char *source, *text, *part;
    } c[] = {
        {"absent", NULL, "No such file or directory; name a database, a journal folder"},
        {"notes.txt", "hello", "is neither a database, nor a folder, nor a journal"},
        {"empty.txt", "", "is neither a database, nor a folder, nor a journal"},
        {"short.db", "SQLite format 3", "is damaged ("},
        {"a.jsonl", "{\"v\":1,\"type\":\"metric\"}\n", "a journal starts with an attempt"},
        {"b.jsonl", "{\n{}\n", "line 1 is damaged"},
        {"c.jsonl", "{\"v\":7,\"type\":\"attempt\"}\n", "newer mixgrid"},
    };
    store *s = fixture_open(&ours);
    fixture_attempt(&ours, "z", 1, -1, 2, RUN_DONE, 1);
    import_all(s, &ours);
    char hash[65], source[256];
    snprintf(hash, sizeof hash, "%s", hash_of(s));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        error e;
        merge_counts n;
        snprintf(source, sizeof source, "%s/%s", theirs.folder, c[i].source);
        FILE *file = c[i].text ? fopen(source, "w") : NULL;
        if (file) fwrite(c[i].text, 1, strlen(c[i].text) + (i == 3), file);
        if (file) fclose(file);
        assert_int_not_equal(merge(s, source, &n, &e), STATUS_OK);
        if (!strstr(e.text, c[i].part)) fail_msg("%s: %s", c[i].source, e.text);
        assert_string_equal(hash, hash_of(s));
        ask_is(s, "SELECT count(*) FROM run WHERE attempts > 0", "1");
    }
    error e;
    merge_counts n;
    assert_int_equal(merge(s, ours.db, &n, &e), STATUS_USAGE);
    assert_int_equal(merge(s, ours.journals, &n, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "is merged into and cannot be merged as well"));
    snprintf(source, sizeof source, "%s/none", theirs.folder);
    mkdir(source, 0777);
    assert_int_equal(merge(s, source, &n, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "holds no journals (*.jsonl)"));
    store_close(s);
    /* nothing but the database and its journals is left */
    struct dirent **entry;
    const int n_left = scandir(ours.folder, &entry, NULL, NULL);
    for (int i = 0; i < n_left; i++) free(entry[i]);
    free(entry);
    assert_int_equal(n_left, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rows_become_the_journal_they_came_from),
        TEST(test_rebuild_brings_everything_back),
        TEST(test_damaged_journal_leaves_the_rows_in_place),
        TEST(test_experiment_files_of_two_databases_stay_apart),
        TEST(test_damaged_experiment_file_is_named),
        TEST(test_merging_twice_changes_nothing),
        TEST(test_killed_scheduler_is_a_source),
        TEST(test_database_without_journals_is_merged_from_its_rows),
        TEST(test_the_better_run_stays),
        TEST(test_conflict_says_what_differs),
        TEST(test_longer_journal_of_the_same_run_stays),
        TEST(test_run_in_training_is_left_alone),
        TEST(test_wrong_sources_are_named_and_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
