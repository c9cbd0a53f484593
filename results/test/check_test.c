/* check_test.c - a database held to its journals: every column that comes from them is compared,
 * and what is in order is called so. */
#include "place_fixture.h"

/* Two runs with everything a journal can hold, one that is pending, and their cells. */
static void fill(void) {
    static const store_cell cell[] = {{"a", FIXTURE_CONFIG, "one", "{\"train.lr\":0.3}"},
                                      {"b", FIXTURE_CONFIG, "two", "{\"train.lr\":0.4}"},
                                      {"c", FIXTURE_CONFIG, "three", "{\"train.lr\":0.5}"}};
    error e = {0};
    long runs, written;
    fixture_attempt(&p, "a", 1, -1, 6, RUN_PREEMPTED, 1);
    fixture_attempt(&p, "a", 2, 4, 9, RUN_DONE, 1);
    fixture_attempt(&p, "b", 1, -1, 9, RUN_FAILED, 2);
    journal *j = journal_open(p.journals, "a", &e);
    journal_event_at(j, 1e9, "note", "x");
    journal_artifact(j, "out/x.safetensors", "weights", 77, "ab12");
    assert_int_equal(journal_close(j, &e), STATUS_OK);
    store *s = fixture_open(&p);
    assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
    assert_int_equal(store_experiment(s, "x", "x.yaml", "{}", cell, 3, NULL, &e), STATUS_OK);
    /* puts the experiment beside the journals */
    assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &e), STATUS_OK);
    store_close(s);
}

static int setup_filled(void **state) {
    place_setup(state);
    fill();
    return 0;
}

/* What the check finds; its lines are in `said`. */
static store_check_result check(char said[4096]) {
    store_check_result found;
    error e = {0};
    FILE *lines = tmpfile();
    if (store_check(&found, p.db, p.journals, lines, &e)) fail_msg("%s", e.text);
    rewind(lines);
    said[fread(said, 1, 4095, lines)] = '\0';
    fclose(lines);
    return found;
}

static void change(const char *sql) {
    store *s = fixture_open(&p);
    if (sqlite3_exec(store_handle(s), sql, NULL, NULL, NULL))
        fail_msg("%s: %s", sql, sqlite3_errmsg(store_handle(s)));
    assert_true(sqlite3_changes(store_handle(s)) > 0);
    store_close(s);
}

static void test_rows_as_imported_differ_in_nothing(void **state) {
    (void)state;
    char said[4096];
    const store_check_result found = check(said);
    assert_int_equal(found.runs, 3);
    assert_int_equal(found.differ + found.pages + found.unheld, 0);
    assert_string_equal(said, "");
}

static void test_every_change_is_noticed_and_rebuilt(void **state) {
    (void)state;
    static const char *const planted[][2] = {
        {"UPDATE run SET config = '{}' WHERE id = 'a'", "configuration or state"},
        {"UPDATE run SET state = 'failed' WHERE id = 'a'", "configuration or state"},
        {"UPDATE run SET mixer = 'dog' WHERE id = 'a'", "configuration or state"},
        {"UPDATE run SET seed = 8 WHERE id = 'a'", "configuration or state"},
        {"UPDATE run SET params = 1235 WHERE id = 'a'", "configuration or state"},
        {"UPDATE run SET wall_s = wall_s + 1 WHERE id = 'a'", "configuration or state"},
        {"UPDATE run_param SET number = 0.31 WHERE run = 'a' AND key = 'train.lr'", "settings"},
        {"DELETE FROM run_param WHERE run = 'a' AND key = 'train.lr'", "settings"},
        {"UPDATE point SET value = value + 1e-16 WHERE step = 3 AND series IN "
         "(SELECT number FROM series WHERE run = 'a')",
         "curves"},
        {"DELETE FROM point WHERE step = 3 AND series IN "
         "(SELECT number FROM series WHERE run = 'a')",
         "curves"},
        {"UPDATE series SET name = 'lost' WHERE run = 'a'", "curves"},
        {"UPDATE final SET value = NULL, flag = 'nan' WHERE run = 'a' AND slice = ''",
         "final values"},
        {"UPDATE param_hash SET hash = '0' WHERE run = 'a' AND step = 2", "parameter hashes"},
        {"UPDATE attempt SET resumed_from = 3 WHERE run = 'a' AND number = 2", "attempts"},
        {"UPDATE environment SET json = '{\"host\":\"two\"}'", "attempts"},
        {"UPDATE event SET detail = 'y'", "events"},
        {"UPDATE artifact SET bytes = 78", "artifacts"},
        {"UPDATE cell SET variant = '{}' WHERE run = 'a'", "cells"},
        {"UPDATE cell SET position = 9 WHERE run = 'a'", "cells"},
        {"UPDATE experiment SET spec = '{\"select\":1}'", "cells"},
    };
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        char said[4096];
        error e = {0};
        long runs, written;
        change(planted[i][0]);
        store_check_result found = check(said);
        if (!found.differ || found.pages || !strstr(said, "run a differs from its journal: ") ||
            !strstr(said, planted[i][1]))
            fail_msg("%s: %ld differ, %ld pages: %s", planted[i][0], found.differ, found.pages,
                     said);
        store *s = fixture_open(&p);
        assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &e), STATUS_OK);
        store_close(s);
        found = check(said);
        assert_int_equal(found.differ, 0);
    }
}

/* What an index holds is part of no row: a query that uses it would lie. */
static void test_index_that_lies_is_noticed(void **state) {
    (void)state;
    char said[4096];
    change("PRAGMA writable_schema = ON;"
           "UPDATE sqlite_schema SET sql = 'CREATE INDEX run_by_task ON run (task, mixer, params)' "
           "WHERE name = 'run_by_task'");
    const store_check_result found = check(said);
    assert_true(found.pages > 0);
    assert_non_null(strstr(said, "run_by_task"));
}

static void test_reference_to_nothing_is_noticed(void **state) {
    (void)state;
    char said[4096];
    change("PRAGMA foreign_keys = OFF; UPDATE run SET id = 'aa' WHERE id = 'a'");
    assert_true(check(said).pages > 0);
    assert_non_null(strstr(said, "belongs to no row of run"));
}

static void test_run_without_a_journal_is_counted(void **state) {
    (void)state;
    char said[4096], path[256];
    snprintf(path, sizeof path, "%s/b.jsonl", p.journals);
    assert_int_equal(unlink(path), 0);
    const store_check_result found = check(said);
    assert_int_equal(found.unheld, 1);
    assert_int_equal(found.differ, 0);
}

/* As a mixgrid left it that knew no files of experiments. */
static void test_experiment_without_a_file_is_no_difference(void **state) {
    (void)state;
    char said[4096], path[256];
    snprintf(path, sizeof path, "%s/experiments/results.db/x.jsonl", p.journals);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(check(said).differ, 0);
}

static void test_database_in_use_is_left_alone(void **state) {
    (void)state;
    error e = {0};
    store_check_result found;
    store *s = fixture_open(&p);
    assert_int_equal(store_check(&found, p.db, p.journals, stdout, &e), STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "is being written by process "));
    store_close(s);
}

/* The rows of a whole journal are worth more than what is left of it. */
static void test_cut_journal_does_not_replace_its_rows(void **state) {
    (void)state;
    char path[256], before[65], after[65];
    long runs, written;
    error e = {0};
    snprintf(path, sizeof path, "%s/a.jsonl", p.journals);
    FILE *file = fopen(path, "rb");
    char bytes[1 << 14];
    const long n = (long)fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    store *s = fixture_open(&p);
    assert_int_equal(store_content_hash(s, before, &e), STATUS_OK);
    for (long cut = 0; cut < n; cut += 97) {
        assert_int_equal(truncate(path, cut), 0);
        error why = {0};
        assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &why), STATUS_ENVIRONMENT);
        assert_non_null(strstr(why.text, "a.jsonl was cut off or damaged: "));
        file = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, (size_t)n, file), n);
        fclose(file);
    }
    /* the way out that the sentence names */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &e), STATUS_OK);
    assert_int_equal(written, 1);
    assert_int_equal(store_content_hash(s, after, &e), STATUS_OK);
    assert_string_equal(before, after);
    assert_int_equal(store_rebuild(s, p.journals, &runs, &written, &e), STATUS_OK);
    store_close(s);
}

/* Runs on texts: a print and the settings that say which text. */
static void test_runs_on_other_data_are_named(void **state) {
    (void)state;
    static const char *const data[] = {"0123 corpus=x tokens=byte", "0123 corpus=x tokens=word",
                                       "4567 corpus=x tokens=word"};
    static const char *const run[] = {"a", "b", "d"};
    error e = {0};
    fixture_attempt(&p, "d", 1, -1, 2, RUN_DONE, 1);
    store *s = fixture_open(&p);
    for (int i = 0; i < 3; i++) {
        char said[4096];
        FILE *notes = tmpfile();
        if (i < 2) assert_int_equal(store_refuse_other_data(s, data[i], &e), STATUS_OK);
        journal *j = journal_open(p.journals, run[i], &e);
        journal_event(j, "data", data[i]);
        assert_int_equal(journal_close(j, &e), STATUS_OK);
        assert_int_equal(store_import_all(s, p.journals, NULL, &e), STATUS_OK);
        assert_int_equal(store_tell_mixed_data(s, notes, &e), STATUS_OK);
        rewind(notes);
        said[fread(said, 1, sizeof said - 1, notes)] = '\0';
        fclose(notes);
        if (i < 2)
            assert_string_equal(said, "");
        else
            assert_non_null(
                strstr(said, "the 2 runs on corpus=x tokens=word read 2 different texts"));
    }
    assert_int_equal(store_refuse_other_data(s, data[0], &e), STATUS_OK);
    assert_int_equal(store_refuse_other_data(s, data[1], &e), STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "the data of corpus=x tokens=word have changed since run d "));
    store_close(s);
}

#define FILLED(f) cmocka_unit_test_setup_teardown(f, setup_filled, place_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        FILLED(test_rows_as_imported_differ_in_nothing),
        FILLED(test_every_change_is_noticed_and_rebuilt),
        FILLED(test_index_that_lies_is_noticed),
        FILLED(test_reference_to_nothing_is_noticed),
        FILLED(test_run_without_a_journal_is_counted),
        FILLED(test_experiment_without_a_file_is_no_difference),
        FILLED(test_runs_on_other_data_are_named),
        FILLED(test_database_in_use_is_left_alone),
        FILLED(test_cut_journal_does_not_replace_its_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
