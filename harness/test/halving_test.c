/* halving_test.c - early_terminate: the same survivors whoever trains them and whatever interrupts
 * it, with the bits of a sweep without it; what is refused; what a report counts. */
#include "ask_fixture.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static const char plain_text[] = "experiment: plain\n"
                                 "defaults:\n"
                                 "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                 "  model: {d_model: 8, dropout: 0.1}\n"
                                 "  train: {steps: 40, batch: 8, log_every: 7}\n"
                                 "  eval: {examples: 32, lengths: [32]}\n"
                                 "grid:\n"
                                 "  model.mixer: [attention, cat]\n"
                                 "  train.lr: [1e-4, 1e-3, 3e-2]\n"
                                 "seeds: 2\n"
                                 "select: {over: [train.lr], by: val/loss, mode: min}\n";
#define HALVING "early_terminate: {keep: 0.5, at: [0.25, 0.5]}\n"

/* The same cells twice, in experiments of two names. */
static folder two_grids(void) {
    folder f = folder_new();
    folder_write(&f, "plain.yaml", plain_text);
    folder_write(&f, "halving.yaml",
                 arena_printf(f.arena, "experiment: halving%s" HALVING, strchr(plain_text, '\n')));
    return f;
}

static outcome sweep(const folder *f, const char *name, const char *options) {
    return mixgrid(f, arena_printf(f->arena, "run {}/%s.yaml --db {}/results.db --no-report %s",
                                   name, options));
}

/* All verdicts, and where each run ended, as one text. */
static const char *verdicts(const folder *f) {
    return ask_text(f, "SELECT group_concat(id || state || message, char(10)) FROM "
                       "(SELECT * FROM run WHERE state = 'cancelled' ORDER BY id)");
}

/* The undisturbed sweep; every other one must equal it. */
static folder reference;

static int make_reference(void **state) {
    (void)state;
    reference = two_grids();
    const outcome o = sweep(&reference, "halving", "--workers 1");
    if (o.code) print_error("%s", o.err);
    return o.code;
}

static int remove_reference(void **state) {
    (void)state;
    folder_remove(&reference);
    return 0;
}

static void halves_are_stopped_at_each_rung(void **state) {
    (void)state;
    const folder *f = &reference;
    assert_true(ask_database(f, "SELECT count(*) FROM run WHERE state = 'done'") == 4);
    assert_true(ask_database(f, "SELECT count(*) FROM run WHERE state = 'cancelled'") == 8);
    /* of both mixers 3 settings, then 2, of 2 seeds each; no step is trained beyond a rung */
    assert_true(
        ask_database(f, "SELECT count(*) FROM run WHERE message = 'stopped by early_terminate at "
                        "step 12: place 3 of 3 by val/loss.' AND (SELECT max(step) FROM metric "
                        "WHERE run = id) = 12") == 4);
    assert_true(
        ask_database(f, "SELECT count(*) FROM run WHERE message = 'stopped by early_terminate at "
                        "step 20: place 2 of 2 by val/loss.' AND (SELECT max(step) FROM metric "
                        "WHERE run = id) = 20") == 4);
    /* seeds live and die together */
    assert_true(
        ask_database(f, "SELECT max(n) FROM (SELECT count(DISTINCT state) AS n FROM cell JOIN run "
                        "ON id = run GROUP BY variant)") == 1);
    /* who was stopped first had the largest loss there, as a mean over seeds */
    assert_true(
        ask_database(f, "SELECT count(*) FROM (SELECT mixer, message, rank() OVER (PARTITION BY "
                        "mixer ORDER BY avg(value) DESC) AS place FROM cell JOIN run ON id = "
                        "cell.run JOIN metric ON metric.run = id AND split = 'val' AND name = "
                        "'loss' AND step = 12 GROUP BY variant) WHERE place = 1 AND message LIKE "
                        "'%step 12%'") == 2);
    assert_true(
        ask_database(f, "SELECT count(*) FROM final JOIN run ON id = run WHERE state <> 'done'") ==
        0);
    assert_string_equal(results_hash(f), database_hash(f)); /* from the journals alone */
    const outcome again = sweep(f, "halving", "");
    assert_ended(&again, STATUS_OK);
    assert_says(again.out, "12 cells: 4 done (4 before), 8 stopped by early_terminate;");
    assert_string_equal(again.err, "");
}

static void survivors_are_the_same_however_it_is_spread(void **state) {
    (void)state;
    static const char *const options[] = {"--workers 2", "--workers 1 --pack 4",
                                          "--workers 2 --pack 3"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        folder f = two_grids();
        const outcome o = sweep(&f, "halving", options[i]);
        assert_ended(&o, STATUS_OK);
        assert_string_equal(verdicts(&f), verdicts(&reference));
        assert_string_equal(database_hash(&f), database_hash(&reference));
        folder_remove(&f);
    }
}

/* Stopped, or killed, at many moments and started again each time. */
static void survivors_are_the_same_after_interruptions(void **state) {
    (void)state;
    static const int signals[] = {SIGINT, SIGKILL};
    for (int k = 0; k < 2; k++) {
        folder f = two_grids();
        int code = STATUS_INTERRUPTED, stopped = 0;
        for (int i = 0; i < 40 && code; i++) {
            const pid_t pid = mixgrid_start(&f, "run {}/halving.yaml --db {}/results.db "
                                                "--no-report --workers 2 --pack 2 "
                                                "train.checkpoint_s=0");
            wait_ms(120 + 40 * i % 300);
            kill(pid, signals[k]);
            const outcome o = mixgrid_wait(&f, pid);
            code = o.signal ? STATUS_INTERRUPTED : o.code;
            stopped += code == STATUS_INTERRUPTED;
            if (code && code != STATUS_INTERRUPTED) fail_msg("%d: %s", code, o.err);
        }
        const outcome o = sweep(&f, "halving", "");
        assert_ended(&o, STATUS_OK);
        assert_true(stopped > 0);
        assert_string_equal(verdicts(&f), verdicts(&reference));
        assert_string_equal(database_hash(&f), database_hash(&reference));
        folder_remove(&f);
    }
}

/* Rows of database main that `o` lacks. */
#define SERIES " run || ' ' || split || ' ' || slice || ' ' || name, "
static const char only_here[] =
    "SELECT (SELECT count(*) FROM (SELECT run, step, hash FROM param_hash "
    "EXCEPT SELECT run, step, hash FROM o.param_hash)) + "
    "(SELECT count(*) FROM (SELECT" SERIES "step, value FROM metric "
    "EXCEPT SELECT" SERIES "step, value FROM o.metric)) + "
    "(SELECT count(*) FROM (SELECT" SERIES "value FROM final "
    "EXCEPT SELECT" SERIES "value FROM o.final))";

/* Then the other experiment takes all of them to their end: from the checkpoints. */
static void survivors_have_the_bits_of_a_sweep_without(void **state) {
    (void)state;
    folder f = two_grids(), whole = two_grids();
    outcome o = sweep(&f, "halving", "--workers 2");
    assert_ended(&o, STATUS_OK);
    o = sweep(&whole, "plain", "--workers 2");
    assert_ended(&o, STATUS_OK);
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open(folder_at(&f, "results.db"), &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, arena_printf(f.arena, "ATTACH '%s' AS o", folder_at(&whole, "results.db")),
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, only_here, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(row, 0), 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    o = sweep(&f, "plain", "--retry failed");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "12 cells: 12 done (4 before);");
    assert_string_equal(database_hash(&f), database_hash(&whole));
    assert_true(
        ask_database(
            &f, "SELECT count(*) FROM attempt WHERE resumed_from = 12 AND state = 'done'") == 4);
    assert_true(
        ask_database(
            &f, "SELECT count(*) FROM attempt WHERE resumed_from = 20 AND state = 'done'") == 8);
    folder_remove(&f);
    folder_remove(&whole);
}

/* What was trained for another experiment is judged by what it had measured at the rungs. */
static void runs_that_are_done_are_judged_as_they_were(void **state) {
    (void)state;
    folder f = two_grids();
    outcome o = sweep(&f, "plain", "train.lr=1e-4");
    assert_ended(&o, STATUS_OK);
    o = sweep(&f, "halving", "--workers 2");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "12 cells: 8 done (4 before), 4 stopped by early_terminate;");
    assert_true(ask_database(&f,
                             "SELECT count(*) FROM run WHERE state = 'cancelled' AND message LIKE "
                             "'%step 20: place 2 of 2%'") == 4);
    folder_remove(&f);
    /* at the end the lower rate is ahead of where the higher one stood at the first rung */
    f = two_grids();
    o = sweep(&f, "plain", "train.lr=1e-3");
    assert_ended(&o, STATUS_OK);
    o = sweep(&f, "halving", "train.lr=1e-3,1.2e-3");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "8 cells: 8 done (4 before);");
    folder_remove(&f);
}

static void diverged_runs_come_last(void **state) {
    (void)state;
    folder f = two_grids();
    const outcome o =
        sweep(&f, "halving", "train.lr=1e-4,1000,1e-3 train.clip=0 --pack 6 --workers 1");
    assert_ended(&o, STATUS_OK);
    assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'diverged'") == 4);
    assert_true(ask_database(&f,
                             "SELECT count(*) FROM run WHERE state = 'cancelled' AND message LIKE "
                             "'%step 20: place 2 of 2%'") == 4);
    assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 4);
    folder_remove(&f);
}

static void groups_wait_for_cells_that_are_left_out(void **state) {
    (void)state;
    folder f = two_grids();
    outcome o = mixgrid(&f, "run {}/halving.yaml --db {}/results.db --no-report --only 'mixer=cat, "
                            "lr>1e-4'");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out, "4 cells: 0 done, 4 paused;");
    assert_says(o.out, "paused runs wait for others of their group");
    o = sweep(&f, "halving", "");
    assert_ended(&o, STATUS_OK);
    assert_string_equal(database_hash(&f), database_hash(&reference));
    folder_remove(&f);
}

static void report_counts_what_was_stopped(void **state) {
    (void)state;
    const outcome o =
        mixgrid(&reference, "report halving --db {}/results.db --out {}/report --no-figures");
    assert_ended(&o, STATUS_OK);
    const char *text = folder_read(&reference, "report/report.md");
    assert_says(
        text, "8 runs were stopped early by early\\_terminate and count neither as results nor as "
              "failures.");
    assert_says(text, "12 runs · 4 done · 8 stopped early · ");
    assert_says(text, "configurations in 12 cells (4 done, 8 stopped early)");
    assert_null(strstr(text, "not complete"));
    assert_null(strstr(text, "not finished"));
    assert_null(strstr(text, "left out."));
    const outcome table = mixgrid(&reference, "report halving --db {}/results.db --print main "
                                              "--format csv");
    assert_ended(&table, STATUS_OK);
    assert_null(strstr(table.out, "failed"));
}

static void dry_run_says_how_much_is_trained_at_most(void **state) {
    (void)state;
    folder f = two_grids();
    outcome o = sweep(&f, "halving", "--dry-run");
    assert_ended(&o, STATUS_OK);
    assert_says(o.out,
                "early_terminate: 2 groups, pauses at step 12, 20 of 40, keeps 0.5 of the settings "
                "by val/loss (min): at most 60 % of all steps are trained");
    o = sweep(&reference, "halving", "--dry-run");
    assert_says(o.out, "8 stopped before;");
    folder_remove(&f);
}

static void wrong_rules_are_refused_with_a_remedy(void **state) {
    (void)state;
    static const struct {
        const char *rules, *options, *part;
    } c[] = {
        {"early_terminate: {keep: 0.5, at: [0.5]}\nselect: {by: val/loss}\n", "", "select.over"},
        {"early_terminate: {keep: 2, at: [0.5]}\n", "", "early_terminate.keep is a number between"},
        {"early_terminate: {keep: 1/0, at: [0.5]}\n", "",
         "early_terminate.keep is a number between"},
        {"early_terminate: {keep: 1/3, at: [0.5, 0.25]}\n", "", "early_terminate.at must rise"},
        {"early_terminate: {keep: 1/3, at: []}\n", "", "early_terminate.at is a list of shares"},
        {"early_terminate: {keep: 1/3}\n", "", "early_terminate is a map with keep and at"},
        {"early_terminate: {kep: 1/3, keep: 1/3, at: 0.5}\n", "", "unknown key kep"},
        {"early_terminate: {by: test/loss, keep: 1/3, at: 0.5}\n", "",
         "early_terminate.by is what"},
        {"early_terminate: {mode: low, keep: 1/3, at: 0.5}\n", "",
         "early_terminate.mode is max or min"},
        {"early_terminate: {type: hyperband, eta: 4}\n", "", "keep: 1/4, at: [0.25, 0.5]"},
        {"early_terminate: {keep: 1/3, at: 0.99}\n", "", "lower train.eval_every (now every 4"},
        {"early_terminate: {keep: 1/3, at: [0.5, 0.45]}\n", "", "must rise"},
        {"early_terminate: {keep: 1/3, at: [0.45, 0.5]}\n", "", "both are step 20"},
        {"early_terminate: {by: val/ppl, keep: 1/3, at: 0.5}\n", "", "records no val/ppl"},
        {HALVING, "--stale rerun", "--stale rerun does not go with early_terminate"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        folder f = folder_new();
        const bool own = strstr(c[i].rules, "select") != NULL;
        const char *select = strstr(plain_text, "select: ");
        folder_write(&f, "bad.yaml",
                     arena_printf(f.arena, "%.*s%s%s", (int)(select - plain_text), plain_text,
                                  own ? "" : select, c[i].rules));
        const outcome o = sweep(&f, "bad", c[i].options);
        if (o.code != STATUS_USAGE) fail_msg("%s: exit code %d\n%s", c[i].rules, o.code, o.err);
        assert_says(o.err, c[i].part);
        folder_remove(&f);
    }
    folder f = folder_new();
    folder_write(&f, "sweep.yaml",
                 "name: a\nmethod: grid\nmetric: {name: loss, goal: minimize}\n"
                 "early_terminate: {type: hyperband, min_iter: 3}\n"
                 "parameters: {task.name: {value: mqar}}\n");
    const outcome o = sweep(&f, "sweep", "");
    assert_ended(&o, STATUS_USAGE);
    assert_says(o.err, "early_terminate: {by: val/loss, mode: min, keep: 1/3, at: [0.25, 0.5]}");
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_stopped_at_each_rung),
        cmocka_unit_test(survivors_are_the_same_however_it_is_spread),
        cmocka_unit_test(survivors_are_the_same_after_interruptions),
        cmocka_unit_test(survivors_have_the_bits_of_a_sweep_without),
        cmocka_unit_test(runs_that_are_done_are_judged_as_they_were),
        cmocka_unit_test(diverged_runs_come_last),
        cmocka_unit_test(groups_wait_for_cells_that_are_left_out),
        cmocka_unit_test(report_counts_what_was_stopped),
        cmocka_unit_test(dry_run_says_how_much_is_trained_at_most),
        cmocka_unit_test(wrong_rules_are_refused_with_a_remedy),
    };
    return cmocka_run_group_tests(tests, make_reference, remove_reference);
}
