/* sweep_test.c - whole sweeps by the built binary: the same results whatever happens on the way,
 * and a clear end when they cannot go on. */
#include "results/claim.h"
#include "sweep_fixture.h"

#include <setjmp.h>
#include <stdint.h>
#include <sys/prctl.h>

#include <cmocka.h>

static void same_sweep_same_hash_however_it_is_spread(void **state) {
    (void)state;
    static const char *const options[] = {"--workers 1", "--workers 2", "--workers 1 --pack 4",
                                          "--workers 2 --pack 3"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        folder f = small_sweep();
        const outcome o = sweep_in(&f, options[i]);
        assert_ended(&o, STATUS_OK);
        assert_string_equal(database_hash(&f), expected_hash());
        assert_string_equal(results_hash(&f), expected_hash()); /* from the journals alone */
        folder_remove(&f);
    }
}

static void rerun_does_nothing_and_new_cells_only_are_run(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = sweep_in(&f, "train.lr=1e-3");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "small: 4 cells: 4 done;");
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "small: 8 cells: 8 done (4 before);");
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "small: 8 cells: 8 done (8 before);");
    assert_string_equal(o.err, "");
    assert_true(ask_database(&f, "SELECT max(attempts) FROM run") == 1);
    assert_string_equal(database_hash(&f), expected_hash());
    folder_remove(&f);
}

static ino_t file_number(const folder *f, const char *name) {
    struct stat info;
    assert_int_equal(stat(folder_at(f, name), &info), 0);
    return info.st_ino;
}

/* As a scheduler that was killed between the two left it, or somebody else. */
static void file_of_an_experiment_is_made_to_agree_with_the_database(void **state) {
    (void)state;
    static const char name[] = "journal/experiments/results.db/small.jsonl";
    folder f = small_sweep();
    outcome o = sweep_in(&f, "train.lr=1e-3");
    assert_ended(&o, STATUS_OK);
    const char *older = folder_read(&f, name);
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    const char *whole = folder_read(&f, name);
    assert_true(strlen(older) > 0 && strlen(whole) > strlen(older));
    const char *const wrong[] = {older,
                                 arena_printf(f.arena, "%.*s", (int)strlen(whole) / 2, whole), ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        folder_write(&f, name, wrong[i]);
        o = sweep_in(&f, "");
        assert_ended(&o, STATUS_OK);
        assert_says(o.out, "8 done (8 before)");
        assert_string_equal(folder_read(&f, name), whole);
    }
    const ino_t number = file_number(&f, name);
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    assert_true(file_number(&f, name) == number); /* what is right is not written again */
    folder_remove(&f);
}

static void deleted_database_is_filled_from_the_journals(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = sweep_in(&f, "--workers 2");
    assert_ended(&o, STATUS_OK);
    assert_int_equal(unlink(folder_at(&f, "results.db")), 0);
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "8 done (8 before)");
    assert_string_equal(database_hash(&f), expected_hash());
    assert_int_equal(unlink(folder_at(&f, "results.db")), 0);
    o = mixgrid(&f, "rebuild --db {}/results.db");
    assert_ended(&o, STATUS_OK);
    assert_string_equal(database_hash(&f), expected_hash());
    folder_remove(&f);
}

/* ---- ended from outside ----------------------------------------------------------------------*/

static void interrupted_sweep_goes_on_where_it_was(void **state) {
    (void)state;
    static const int number[] = {SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        folder f = folder_new();
        const pid_t pid = start_long(&f, i % 2 ? "--workers 2" : "--workers 1 --pack 2");
        kill(pid, number[i]);
        const outcome o = mixgrid_wait(&f, pid);
        assert_ended(&o, STATUS_INTERRUPTED);
        assert_says(o.out, "interrupted: run the same command again");
        assert_says(o.err, "stopping: workers finish their step");
        const double done = ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'"),
                     begun = ask_database(&f, "SELECT count(*) FROM run WHERE attempts > 0");
        assert_true(done < 8 && begun > done);
        finish_long(&f);
        /* runs that were done were left alone, the others went on from a checkpoint */
        assert_true(ask_database(&f, "SELECT count(*) FROM attempt") == 8 + begun - done);
        assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE number = 2 AND "
                                     "resumed_from > 0") == begun - done);
        folder_remove(&f);
    }
}

static void second_interrupt_stops_at_once_and_loses_no_result(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid = start_long(&f, "--workers 2");
    kill(pid, SIGINT);
    kill(pid, SIGTERM);
    const outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_INTERRUPTED);
    finish_long(&f);
    folder_remove(&f);
}

static void killed_worker_is_tried_again_and_recorded(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid = start_long(&f, "--workers 1 --pack 2");
    const pid_t worker = worker_of(pid);
    assert_true(worker > 0);
    kill(worker, SIGKILL);
    const outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_OK);
    assert_says(o.err, "its worker was ended by signal 9 (Killed). trying again");
    assert_string_equal(database_hash(&f), expected_long());
    assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE signal = 9 AND "
                                 "state = 'failed'") == 2);
    assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE number = 2 AND "
                                 "state = 'done'") == 2);
    folder_remove(&f);
}

static void twice_killed_worker_stands_as_failed_until_retried(void **state) {
    (void)state;
    folder f = folder_new();
    pid_t pid = start_long(&f, "--workers 1 --only 'mixer=cat lr=0.001 seed=0'");
    const pid_t first = worker_of(pid);
    kill(first, SIGKILL);
    pid_t second = 0;
    for (int i = 0; i < 2000 && (!second || second == first); i++) {
        wait_ms(5);
        second = worker_of(pid);
    }
    assert_true(second > 0 && second != first);
    kill(second, SIGKILL);
    outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_says(o.err, "its worker was ended by signal 9 (Killed).\n  log: ");
    assert_says(o.out, "1 failed");
    assert_says(o.out, "again: --retry failed");
    o = sweep_in(&f, ""); /* the others; the failed one is left alone */
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_says(o.out, "8 cells: 7 done, 1 failed;");
    o = sweep_in(&f, "--retry failed");
    assert_ended(&o, STATUS_OK);
    assert_string_equal(database_hash(&f), expected_long());
    folder_remove(&f);
}

static void one_attempt_is_one_attempt(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid =
        start_long(&f, "--workers 1 --max-attempts 1 --only 'mixer=cat,lr=0.001,seed=0'");
    kill(worker_of(pid), SIGKILL);
    const outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_true(!strstr(o.err, "trying again"));
    assert_true(ask_database(&f, "SELECT count(*) FROM attempt") == 1);
    folder_remove(&f);
}

/* As if another commit had made half of the results. */
static void pretend_other_code(const folder *f) {
    change_database(f,
                    "INSERT INTO environment SELECT 'other', json_set(json, '$.commit', 'c0ffee',"
                    " '$.binary_sha256', 'other') FROM environment LIMIT 1;"
                    "UPDATE attempt SET environment = 'other' WHERE run IN"
                    " (SELECT id FROM run WHERE mixer = 'cat')");
}

static void results_of_other_code_are_named_and_made_again_on_demand(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    pretend_other_code(&f);
    o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    assert_says(o.err, "4 of 8 finished runs were made by another commit or build; --stale rerun");
    assert_says(o.out, "8 done (8 before)");
    o = sweep_in(&f, "--stale ignore");
    assert_string_equal(o.err, "");
    o = sweep_in(&f, "--stale rerun --dry-run");
    assert_says(o.out, "4 already done, 0 failed before, 4 packs");
    o = sweep_in(&f, "--stale rerun");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "8 done (4 before)");
    assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE attempts = 2 AND "
                                 "mixer = 'cat'") == 4);
    o = sweep_in(&f, "--stale rerun");
    assert_says(o.out, "8 done (8 before)");
    assert_string_equal(database_hash(&f), expected_hash());
    o = sweep_in(&f, "--stale maybe");
    assert_ended(&o, STATUS_USAGE);
    assert_says(o.err, "--stale takes warn, rerun or ignore, not maybe.");
    folder_remove(&f);
}

/* The others of its pack are trained meanwhile, and it is not taken for done. */
static void stale_run_that_another_process_holds_is_made_again_later(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = sweep_in(&f, "");
    assert_ended(&o, STATUS_OK);
    pretend_other_code(&f);
    error e = {0};
    const char *held = ask_text(&f, "SELECT min(id) FROM run WHERE mixer = 'cat'");
    const int claims = claims_open(folder_at(&f, "journal"), &e);
    assert_true(claim_take(claims, held));
    const pid_t pid = mixgrid_start(&f, RUN "--stale rerun --workers 1 --pack 4");
    long waited = 0;
    while (ask_database(&f, "SELECT count(*) FROM attempt WHERE number = 2 AND state = 'done'") < 3)
        if (wait_ms(20), ++waited > 1000) fail_msg("the others were not trained");
    claim_release(claims, held);
    claims_close(claims);
    o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "8 done (4 before)");
    assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE number = 2 AND "
                                 "state = 'done'") == 4);
    assert_string_equal(database_hash(&f), expected_hash());
    folder_remove(&f);
}

static void worker_stopped_from_outside_goes_on(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid = start_long(&f, "--workers 1");
    kill(worker_of(pid), SIGTERM);
    const outcome o = mixgrid_wait(&f, pid);
    assert_ended(&o, STATUS_OK);
    assert_string_equal(database_hash(&f), expected_long());
    assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE resumed_from > 0") == 1);
    folder_remove(&f);
}

static void killed_scheduler_takes_its_workers_with_it(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid = start_long(&f, "--workers 1");
    const pid_t worker = worker_of(pid);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* the orphan becomes ours */
    kill(pid, SIGKILL);
    const outcome o = mixgrid_wait(&f, pid);
    assert_int_equal(o.signal, SIGKILL);
    finish_long(&f); /* at once: its worker may still be writing */
    int how;
    assert_int_equal(waitpid(worker, &how, 0), worker);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == STATUS_INTERRUPTED);
    folder_remove(&f);
}

/* ---- things in the way -----------------------------------------------------------------------*/

static void cell_too_large_for_memory_fails_alone(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = sweep_in(&f, "model.mixer=attention train.lr=1e-3 "
                             "'model.d_model=8,65536' model.layers=16");
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_says(o.err, "needs ");
    assert_says(o.err, "GiB of memory, this machine has ");
    assert_says(o.err, "make the batch, length, vocabulary or model smaller");
    assert_says(o.out, "4 cells: 2 done, 2 failed;");
    o = sweep_in(&f, "model.mixer=attention train.lr=1e-3 'model.d_model=8,65536' "
                     "model.layers=16");
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_says(o.out, "2 done (2 before), 2 failed;");
    folder_remove(&f);
}

static void first_failure_stops_a_sweep_that_shall_fail_fast(void **state) {
    (void)state;
    folder f = small_sweep();
    const outcome o = sweep_in(&f, "--fail-fast --workers 1 model.layers=16 "
                                   "'model.d_model=65536,8' model.mixer=attention");
    assert_ended(&o, STATUS_RUNS_FAILED);
    assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'pending'") > 0);
    folder_remove(&f);
}

static void closed_streams_do_no_harm(void **state) {
    (void)state;
    folder f = small_sweep();
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        close(0), close(1), close(2);
        execl(mixgrid_path(), "mixgrid", "run", folder_at(&f, "grid.yaml"), "--db",
              folder_at(&f, "results.db"), "--no-report", (char *)NULL);
        _exit(127);
    }
    int how;
    waitpid(pid, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_string_equal(database_hash(&f), expected_hash());
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_sweep_same_hash_however_it_is_spread),
        cmocka_unit_test(rerun_does_nothing_and_new_cells_only_are_run),
        cmocka_unit_test(file_of_an_experiment_is_made_to_agree_with_the_database),
        cmocka_unit_test(deleted_database_is_filled_from_the_journals),
        cmocka_unit_test(interrupted_sweep_goes_on_where_it_was),
        cmocka_unit_test(second_interrupt_stops_at_once_and_loses_no_result),
        cmocka_unit_test(killed_worker_is_tried_again_and_recorded),
        cmocka_unit_test(twice_killed_worker_stands_as_failed_until_retried),
        cmocka_unit_test(one_attempt_is_one_attempt),
        cmocka_unit_test(results_of_other_code_are_named_and_made_again_on_demand),
        cmocka_unit_test(stale_run_that_another_process_holds_is_made_again_later),
        cmocka_unit_test(worker_stopped_from_outside_goes_on),
        cmocka_unit_test(killed_scheduler_takes_its_workers_with_it),
        cmocka_unit_test(cell_too_large_for_memory_fails_alone),
        cmocka_unit_test(first_failure_stops_a_sweep_that_shall_fail_fast),
        cmocka_unit_test(closed_streams_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
