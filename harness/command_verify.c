/* command_verify.c - mixgrid verify: trains a finished run again and holds it to its record.
 *
 * The repetition is a sweep of one cell in a folder of its own beside the database, which is
 * removed at the end, also after signals: nothing of the record is touched. */
#include "cli.h"
#include "results/trail.h"
#include "schedule.h"

#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

/* Before there is a folder; the scheduler takes over while it trains, and leaves its handlers,
 * which only count. */
static void catch_signals(void) {
    static const int number[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (!sigaction(number[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(number[i], &action, NULL);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static status refuse_unfinished(const recorded_run *r, const char *db, error *e) {
    if (r->state != RUN_DONE && r->state != RUN_DIVERGED && r->state != RUN_TIMEOUT)
        return error_set(
            e, STATUS_USAGE,
            "run %.12s is %s, so there is no result to verify; mixgrid run%s trains what "
            "is missing, mixgrid query runs --db %s lists what is done.",
            r->id, run_state_name[r->state], r->state == RUN_FAILED ? " --retry failed" : "", db);
    if (!r->last_step)
        return error_set(e, STATUS_USAGE,
                         "run %.12s has no parameter hashes in %s, so there is nothing to verify: "
                         "it ended before it logged one, or mixgrid rebuild reads them from its "
                         "journal.",
                         r->id, db);
    return STATUS_OK;
}

/* The recorded configuration, logged where the record was and without a limit on time. */
static const config *read_config(arena *a, const recorded_run *r, error *e) {
    diag *d = diag_new(a);
    const size_t length = strlen(r->config_json);
    const char *json = arena_printf(a, "%.*s,\"train.log_every\":%ld,\"train.checkpoint_s\":1e6}",
                                    (int)(length ? length - 1 : 0), r->config_json, r->log_every);
    const config *c = config_from_json(a, catalog_schema(), json, "its configuration", d);
    if (c && !strcmp(c->id, r->id)) return c;
    error_set(e, STATUS_USAGE,
              "run %.12s was made with other settings than this build of mixgrid has (%s), so it "
              "cannot be trained again here; use a build of its commit, %s.",
              r->id, c ? "one was added since, or means something else now" : diag_line(d, 0),
              r->commit);
    return NULL;
}

static status find_device(const char **device, const recorded_run *r, error *e) {
    if (*device) return STATUS_OK;
    if (!r->backend)
        return error_set(e, STATUS_USAGE,
                         "run %.12s does not say which device it was trained on; name one with "
                         "--device, such as --device cpu.",
                         r->id);
    *device = r->backend;
    return STATUS_OK;
}

/* One cell, in a database of its own. */
static status train_again(const char *db, const char *device, const config *c, arena *a, error *e) {
    const grid_cell cell = {
        .config = c, .label = arena_printf(a, "verify %.12s", c->id), .axes_json = "{}"};
    const grid one = {
        .experiment = "verify", .file = "verify", .cell = &cell, .n = 1, .spec_json = "{}"};
    const schedule_options options = {
        .db = db, .device = device, .workers = 1, .pack = 1, .max_attempts = 1};
    sweep_outcome outcome;
    status s = schedule_run(&one, &options, &outcome, e);
    if (s == STATUS_INTERRUPTED || interrupted) return STATUS_INTERRUPTED;
    if (s != STATUS_RUNS_FAILED || e->code) return s;
    store *results = store_open_readonly(db, e);
    store_run run = {0};
    if (results) store_run_get(results, c->id, &run, e);
    store_close(results);
    return error_set(e, STATUS_RUNS_FAILED, "run %.12s could not be trained again: %s", c->id,
                     run.message);
}

static const char *surroundings(arena *a, comparison *c, error *e) {
    const char *code = "", *machine = "";
    if (compare_surroundings(&code, &machine, c, a, e)) return "";
    if (!*code && !*machine) return "code and machine are those of the record";
    return arena_printf(a, "%s%s%s%s%s%s", *code ? "the code differs (" : "the code is the same",
                        code, *code ? ")" : "",
                        *machine ? ", the machine differs (" : ", the machine is the same", machine,
                        *machine ? ")" : "");
}

static void print_equal(const recorded_run *r, const trail *t, bool whole, const char *around) {
    if (whole)
        printf(
            "verified: %ld parameter hashes, %ld metric values and %ld final values are equal to "
            "the bit",
            t->hashes, t->points, t->finals);
    else
        printf(
            "verified: %ld parameter hashes and %ld metric values are equal to the bit, up to "
            "step %ld, the last one logged before the recorded run ran out of time; final values "
            "were not compared",
            t->hashes, t->points, r->last_step);
    if (t->left_out) printf("; %ld training means over other steps were not compared", t->left_out);
    printf("; %s\n", around);
}

static void print_difference(const recorded_run *r, const trail *t, const config *c,
                             const char *around) {
    if (t->first)
        printf("run %.12s differs, first in %s; ", r->id, t->first);
    else
        printf("run %.12s differs: ", r->id);
    if (!t->same_state)
        printf("recorded as %s, it is %s now; ", run_state_name[r->state], t->now_state);
    printf("%ld of %ld parameter hashes, %ld of %ld metric values and %ld of %ld final values "
           "differ; %s",
           t->bad_hashes, t->hashes, t->bad_points, t->points, t->bad_finals, t->finals, around);
    const char *mode = config_get(c, "train.numerics");
    if (mode && strcmp(mode, "strict"))
        printf("; with train.numerics %s a run in a pack need not equal the run alone", mode);
    putchar('\n');
}

static status verify_in(const char *folder, const char *db, const char *device,
                        const recorded_run *r, const config *c, arena *a, error *e) {
    const char *again = arena_printf(a, "%s/results.db", folder);
    const bool whole = r->state != RUN_TIMEOUT;
    trail t;
    comparison *both = NULL;
    status s = train_again(again, device, c, a, e);
    if (s) return s;
    if (!(both = compare_open(db, r->id, again, r->id, e))) return e->code;
    s = trail_compare(&t, a, both, whole, e);
    const char *around = s ? "" : surroundings(a, both, e);
    compare_close(both);
    if (e->code) return e->code;
    const bool equal = t.same_state && !t.bad_hashes && !t.bad_points && !t.bad_finals;
    if (equal)
        print_equal(r, &t, whole, around);
    else
        print_difference(r, &t, c, around);
    return equal ? STATUS_OK : STATUS_RUNS_FAILED;
}

/* A difference would be put down to code and machine. */
static status refuse_changed_data(const char *db, const config *c, error *e) {
    const task_facts *facts = catalog_task_facts(c, e);
    if (!facts || !facts->data) return e->code;
    store *results = store_open_readonly(db, e);
    if (results) store_refuse_other_data(results, facts->data, e);
    store_close(results);
    return e->code;
}

static status verify(const char *db, const char *device, const char *run, arena *a, error *e) {
    recorded_run r;
    const config *c = NULL;
    store *results = store_open_readonly(db, e);
    status s = results ? trail_find(&r, a, results, run, e) : e->code;
    store_close(results);
    if (!s) s = refuse_unfinished(&r, db, e);
    if (!s && !(c = read_config(a, &r, e))) s = e->code;
    if (!s) s = refuse_changed_data(db, c, e);
    if (!s) s = find_device(&device, &r, e);
    if (s) return s;
    catch_signals();
    char *folder = arena_printf(a, "%s/verify-XXXXXX", dirname(arena_text(a, db)));
    if (!mkdtemp(folder))
        return error_set(e, STATUS_ENVIRONMENT,
                         "could not create a folder for the repetition beside %s: %s; copy the "
                         "database to a place you may write to and name it with --db.",
                         db, strerror(errno));
    s = verify_in(folder, db, device, &r, c, a, e);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (s == STATUS_INTERRUPTED)
        fprintf(stderr, "mixgrid: interrupted before the end: nothing was verified or kept\n");
    return s;
}

status command_verify(int argc, char **argv, error *e) {
    arena *a = arena_new();
    const char *db = default_db, *device = NULL;
    const cli_option options[] = {
        {"db", CLI_TEXT, &db, "FILE", "results database (default out/results.db)"},
        {"device", CLI_TEXT, &device, "NAME",
         "where to train it again (default: the kind of device it was trained on)"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && words.n != 1)
        s = error_set(e, STATUS_USAGE, "mixgrid verify needs one run id, or the beginning of one.");
    if (!s) s = verify(db, device, words.text[0], a, e);
    arena_free(a);
    return s;
}
