/* verify_test.c - mixgrid verify: a run that holds, records that were changed, runs that ended
 * early, and that nothing is left behind. */
#include "ask_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8, dropout: 0.1}\n"
                                "  train: {steps: 33, batch: 8, log_every: 5}\n"
                                "  eval: {examples: 32, lengths: [32]}\n"
                                "grid:\n"
                                "  model.mixer: [cat]\n"
                                "  train.lr: [1e-3, 3e-2]\n";

/* The two runs of the grid, trained as one pack. */
static folder trained(const char *options) {
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const outcome o = mixgrid(
        &f, arena_printf(f.arena, "run {}/grid.yaml --db {}/results.db --no-report %s", options));
    if (o.code > STATUS_RUNS_FAILED) fail_msg("exit code %d:\n%s", o.code, o.err);
    return f;
}

/* The run with the lower learning rate, by the beginning of its id. */
static const char *run_of(const folder *f) {
    return arena_printf(
        f->arena, "%.16s",
        ask_text(f, "SELECT run FROM run_param WHERE key = 'train.lr' ORDER BY number"));
}

static int repetitions_left(const folder *f) {
    int n = 0;
    DIR *d = opendir(f->path);
    for (struct dirent *entry; (entry = readdir(d));) n += !strncmp(entry->d_name, "verify-", 7);
    closedir(d);
    return n;
}

/* The answer is one line on stdout or, for a refusal, on stderr. */
static void answers(const folder *f, const char *options, int code, const char *const part[]) {
    const outcome o =
        mixgrid(f, arena_printf(f->arena, "verify %s --db {}/results.db %s", run_of(f), options));
    const char *text = *o.out ? o.out : o.err;
    if (o.code != code) fail_msg("exit code %d, not %d:\n%s%s", o.code, code, o.out, o.err);
    for (int i = 0; part[i]; i++)
        if (!strstr(text, part[i])) fail_msg("nothing of \"%s\" in:\n%s", part[i], text);
    assert_null(strchr(strchr(text, '\n') + 1, '\n'));
    assert_int_equal(repetitions_left(f), 0);
}
#define ANSWERS(f, options, code, ...)                                                             \
    answers(f, options, code, (const char *const[]){__VA_ARGS__, NULL})

static void run_of_a_pack_is_verified_alone(void **state) {
    (void)state;
    folder f = trained("--pack 2 --workers 1");
    char before[65];
    snprintf(before, sizeof before, "%s", results_hash(&f));
    ANSWERS(&f, "", STATUS_OK, "verified: 7 parameter hashes, 50 metric values and 25 final values",
            "are equal to the bit; code and machine are those of the record");
    assert_string_equal(before, results_hash(&f));
    folder_remove(&f);
}

static void changed_record_is_refused_at_its_step(void **state) {
    (void)state;
    static const struct {
        const char *set, *part[2];
    } c[] = {
        {"UPDATE param_hash SET hash = '0123456789abcdef' WHERE step = 20 AND",
         {"first in hash of all parameters at step 20: recorded 0123456789abcdef, now ",
          "1 of 7 parameter hashes, 0 of 50 metric values and 0 of 25 final values differ"}},
        {"DELETE FROM param_hash WHERE step = 33 AND",
         {"hash of all parameters at step 33: recorded nothing, now ", "1 of 7 parameter hashes"}},
        {"UPDATE point SET value = value + 1e-12 WHERE step = 10 AND series = (SELECT number FROM "
         "series WHERE split = 'train' AND name = 'loss' AND",
         {"first in train loss at step 10: recorded ", "1e-12 apart"}},
        {"UPDATE final SET value = NULL, flag = 'nan' WHERE slice = 'length=32' AND name = 'loss' "
         "AND",
         {"first in final test length=32 loss: recorded nan, now ", "1 of 25 final values"}},
        {"UPDATE run SET state = 'diverged' WHERE 1 AND",
         {"recorded as diverged, it is done now", "0 of 50 metric values"}},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        folder f = trained("--workers 1");
        const char *column = strstr(c[i].set, "UPDATE run ") ? "id" : "run";
        change_database(&f, arena_printf(f.arena, "%s substr(%s, 1, 16) = '%s'%s", c[i].set, column,
                                         run_of(&f), strstr(c[i].set, "(SELECT") ? ")" : ""));
        ANSWERS(&f, "", STATUS_RUNS_FAILED, c[i].part[0], c[i].part[1]);
        folder_remove(&f);
    }
}

/* The first step alone is in time; then training goes on with another cadence of the log. */
static void run_out_of_time_is_verified_as_far_as_it_went(void **state) {
    (void)state;
    folder f = trained("train.max_minutes=1e-9 train.log_every=1");
    ANSWERS(&f, "", STATUS_OK, "verified: 1 parameter hashes and 2 metric values are equal",
            "up to step 1, the last one logged before the recorded run ran out of time");
    const outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --no-report --retry failed "
                                  "train.log_every=4");
    assert_int_equal(o.code, STATUS_OK);
    ANSWERS(&f, "", STATUS_OK, "verified: 10 parameter hashes, ",
            "16 training means over other steps were not compared");
    folder_remove(&f);
}

static void what_cannot_be_repeated_is_said(void **state) {
    (void)state;
    folder f = trained("--workers 1");
    ANSWERS(&f, "--device none", STATUS_USAGE, "no device is called none");
    change_database(&f, arena_printf(f.arena,
                                     "UPDATE run SET config = '{\"model.colour\":1}' WHERE "
                                     "substr(id, 1, 16) = '%s'",
                                     run_of(&f)));
    ANSWERS(&f, "", STATUS_USAGE, "was made with other settings than this build of mixgrid has",
            "use a build of its commit, ");
    change_database(
        &f, arena_printf(f.arena,
                         "UPDATE run SET config = '{\"task.name\":\"mqar\",\"task.vocab\":128}' "
                         "WHERE substr(id, 1, 16) = '%s'",
                         run_of(&f)));
    ANSWERS(&f, "", STATUS_USAGE, "one was added since, or means something else now");
    change_database(&f, arena_printf(f.arena,
                                     "UPDATE run SET state = 'failed' WHERE substr(id, 1, 16) = "
                                     "'%s'",
                                     run_of(&f)));
    ANSWERS(&f, "", STATUS_USAGE, "is failed, so there is no result to verify");
    folder_remove(&f);
}

static void interrupted_verify_leaves_nothing_behind(void **state) {
    (void)state;
    folder f = trained("train.steps=4000");
    for (int i = 0; i < 3; i++) {
        const pid_t pid =
            mixgrid_start(&f, arena_printf(f.arena, "verify %s --db {}/results.db", run_of(&f)));
        for (int k = 0; k < 5000 && !repetitions_left(&f); k++) wait_ms(2);
        assert_int_equal(repetitions_left(&f), 1);
        wait_ms(40 * i);
        kill(pid, i == 1 ? SIGTERM : SIGINT);
        const outcome o = mixgrid_wait(&f, pid);
        assert_int_equal(o.code, STATUS_INTERRUPTED);
        assert_non_null(strstr(o.err, "interrupted before the end: nothing was verified or kept"));
        assert_string_equal(o.out, "");
        assert_int_equal(repetitions_left(&f), 0);
    }
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_of_a_pack_is_verified_alone),
        cmocka_unit_test(changed_record_is_refused_at_its_step),
        cmocka_unit_test(run_out_of_time_is_verified_as_far_as_it_went),
        cmocka_unit_test(what_cannot_be_repeated_is_said),
        cmocka_unit_test(interrupted_verify_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
