/* command_run.c - mixgrid run: a grid from file to finished report. */
#include "cli.h"
#include "report/report.h"
#include "results/store_place.h"
#include "schedule.h"
#include "slurm_script.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PACK = 4096, MAX_WORKERS = 4096 };

typedef struct run_flags {
    const char *db, *device, *only, *out, *retry, *pack, *share, *stale;
    long workers, max_attempts;
    bool dry_run, fail_fast, keep_going, no_report;
} run_flags;

static void print_outcome(const grid *g, const sweep_outcome *o) {
    printf("%s: %ld cell%s: %ld done", g->experiment, o->cells, plural_s(o->cells),
           o->already + o->done);
    if (o->already) printf(" (%ld before)", o->already);
    if (o->diverged) printf(", %ld diverged", o->diverged);
    if (o->timeout) printf(", %ld timed out", o->timeout);
    if (o->failed) printf(", %ld failed", o->failed);
    if (o->stopped) printf(", %ld stopped by early_terminate", o->stopped);
    if (o->waiting) printf(", %ld paused", o->waiting);
    if (o->preempted) printf(", %ld interrupted", o->preempted);
    printf("; %.1f s\n", o->wall_s);
}

status write_report(arena *a, const char *db, const char *experiment, const char *out, error *e) {
    const char *folder =
        out ? out : arena_printf(a, "%s/report/%s", dirname(arena_text(a, db)), experiment);
    status s = report_write(db, experiment, &(report_options){.out = folder}, stderr, e);
    if (!s) printf("report: %s/index.html\n", folder);
    return s;
}

status read_pack(int *out, const char *word, error *e) {
    char *end;
    const long n = strtol(word, &end, 10);
    const bool is_auto = !strcmp(word, "auto");
    if (!is_auto && (*end || n < 1 || n > MAX_PACK))
        return error_set(e, STATUS_USAGE,
                         "--pack takes a whole number from 1 to %d or auto, not "
                         "%s.",
                         MAX_PACK, word);
    *out = is_auto ? PACK_AUTO : (int)n;
    return STATUS_OK;
}

status refuse_retry(const char *word, error *e) {
    if (!word || !strcmp(word, "failed")) return STATUS_OK;
    return error_set(e, STATUS_USAGE, "--retry takes the word failed, not %s.", word);
}

static status read_stale(stale_results *out, const char *word, error *e) {
    static const char *const words[N_STALE] = {"warn", "rerun", "ignore"};
    for (int i = 0; i < N_STALE; i++)
        if (!strcmp(word, words[i])) {
            *out = (stale_results)i;
            return STATUS_OK;
        }
    return error_set(e, STATUS_USAGE, "--stale takes warn, rerun or ignore, not %s.", word);
}

static status run_grid(arena *a, const run_flags *f, const grid *g, error *e) {
    int most = PACK_AUTO;
    stale_results stale = STALE_WARN;
    share part = {0};
    const only *these = only_read(a, g, f->only, e);
    if (!these || place_check(f->db, e) || read_pack(&most, f->pack, e) ||
        read_stale(&stale, f->stale, e) || (f->share && share_read(&part, f->share, e)))
        return e->code;
    const schedule_options options = {.db = f->db,
                                      .device = f->device,
                                      .workers = (int)f->workers,
                                      .pack = most,
                                      .retry_failed = f->retry != NULL,
                                      .fail_fast = f->fail_fast,
                                      .stale = stale,
                                      .max_attempts = (int)f->max_attempts,
                                      .only = these,
                                      .share = part};
    if (f->dry_run) return schedule_dry_run(g, &options, e);
    sweep_outcome outcome;
    status s = schedule_run(g, &options, &outcome, e);
    if (e->code) return s;
    print_outcome(g, &outcome);
    if (s == STATUS_INTERRUPTED) {
        printf("interrupted: run the same command again, it goes on where it stopped\n");
        return s;
    }
    if (outcome.waiting)
        printf("paused runs wait for others of their group, which --only leaves out or another "
               "process trains: run without --only, or again\n");
    if (outcome.failed || outcome.timeout)
        printf("failed runs: mixgrid query --preset failed --db %s; again: --retry failed\n",
               f->db);
    if (part.count)
        printf("share %d of %d; mixgrid collect %s --db %s brings all shares together\n",
               part.index, part.count, shell_word(a, g->file), shell_word(a, f->db));
    if (f->no_report || part.count || outcome.already + outcome.done + outcome.diverged == 0)
        return s;
    status reported = write_report(a, f->db, g->experiment, f->out, e);
    return reported ? reported : s;
}

status command_run(int argc, char **argv, error *e) {
    arena *a = arena_new();
    run_flags f = {
        .db = default_db, .device = "auto", .pack = "auto", .stale = "warn", .max_attempts = 2};
    const cli_option options[] = {
        {"db", CLI_TEXT, &f.db, "FILE", "results database (default out/results.db)"},
        {"workers", CLI_COUNT, &f.workers, "N",
         "processes at a time on each device (default: one per processor, one per GPU)"},
        {"device", CLI_TEXT, &f.device, "NAME",
         "auto, cuda, cuda:0,1, cuda:ID, cpu, cpu-v3, cpu-v4 or f64; auto and cuda: all GPUs"},
        {"pack", CLI_TEXT, &f.pack, "N|auto",
         "runs that may share one process and tape (default auto: 1 on a processor, what fits on a "
         "GPU)"},
        {"no-graph", CLI_FLAG, &backend_no_graph, NULL,
         "GPU: record nothing and wait for every kernel, so that an error names it (slow)"},
        {"dry-run", CLI_FLAG, &f.dry_run, NULL, "print cells, memory and time, run nothing"},
        {"only", CLI_TEXT, &f.only, "EXPR",
         "only these cells: \"mixer=cat|lcat, lr<1e-3\", or a part of their label"},
        {"share", CLI_TEXT, &f.share, "I/N",
         "only the I-th of N shares of the cells, each on a machine of its own; see collect"},
        {"retry", CLI_TEXT, &f.retry, "failed", "run failed and timed-out cells again"},
        {"max-attempts", CLI_COUNT, &f.max_attempts, "N",
         "how often a run whose worker crashes is tried, alone from the second time (default 2)"},
        {"stale", CLI_TEXT, &f.stale, "WHAT",
         "results made by another commit or build: warn (default), rerun or ignore"},
        {"fail-fast", CLI_FLAG, &f.fail_fast, NULL, "stop the sweep at the first failure"},
        {"keep-going", CLI_FLAG, &f.keep_going, NULL, "go on after a failure (the default)"},
        {"out", CLI_TEXT, &f.out, "DIR", "folder of the report"},
        {"no-report", CLI_FLAG, &f.no_report, NULL, "do not write the report"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s && !words.n)
        s = error_set(e, STATUS_USAGE,
                      "mixgrid run needs a grid file, such as experiments/quickstart.yaml.");
    if (!s) s = refuse_retry(f.retry, e);
    if (!s && f.workers > MAX_WORKERS)
        s = error_set(e, STATUS_USAGE, "--workers is at most %d, not %ld.", MAX_WORKERS, f.workers);
    if (!s && f.fail_fast && f.keep_going)
        s = error_set(e, STATUS_USAGE,
                      "--fail-fast and --keep-going contradict each other; leave one out.");
    if (!s) {
        diag *d = diag_new(a);
        const grid *g =
            grid_load(a, catalog_schema(), words.text[0], words.text + 1, words.n - 1, d);
        diag_print(d, stderr);
        s = g ? run_grid(a, &f, g, e) : STATUS_USAGE;
    }
    arena_free(a);
    return s;
}
