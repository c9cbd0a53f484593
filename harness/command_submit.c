/* command_submit.c - mixgrid submit: a sweep as an array job of Slurm, one task for each share.
 *
 * The grid file is copied beside the database, as all tasks, those that are queued again too, must
 * deal out the same cells; it may be edited and submitted again when the array has ended. */
#include "cli.h"
#include "results/store_place.h"
#include "schedule.h"
#include "slurm_call.h"
#include "slurm_script.h"
#include "slurm_view.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_SHARES = 4, DEFAULT_CPUS = 8, CPUS_PER_GPU = 4, MOST_GPUS = 64 };
/* Beyond what a plan counts: data sets, program and libraries, driver of a GPU. */
enum { MIB_SCHEDULER = 512, MIB_WORKER = 256, MIB_GPU_WORKER = 4096, MIB_STEP = 256 };

typedef struct submit_flags {
    const char *db, *only, *pack, *device, *retry, *time, *partition, *account, *mem, *extra;
    long shares, gpus, cpus;
    bool slurm, dry_run;
} submit_flags;

typedef struct submission {
    arena *arena;
    const submit_flags *flags;
    const grid *grid;
    const cli_texts *words; /* grid file and overrides */
    sweep_plan plan;        /* of what is missing, a cell at a time */
    const char *db;         /* absolute */
    home home;
    slurm_array array;
    const char *script;
} submission;

static const char *absolute(arena *a, const char *path) {
    char here[4096] = "";
    return *path == '/' || !getcwd(here, sizeof here) ? arena_text(a, path)
                                                      : arena_printf(a, "%s/%s", here, path);
}

/* ---- what to ask for ---- */

static int most_first(const void *left, const void *right) {
    const double a = ((const pack *)left)->mem_bytes, b = ((const pack *)right)->mem_bytes;
    return (a < b) - (a > b);
}

/* Each processor trains one run at a time; at worst these are the largest of all. */
static long memory_for(const sweep_plan *plan, long cpus) {
    double bytes = 0;
    for (int i = 0; i < plan->n && i < cpus; i++) bytes += plan->pack[i].mem_bytes;
    const long need = (long)(bytes / 0x1p20) + MIB_SCHEDULER + cpus * MIB_WORKER;
    return (need / MIB_STEP + 1) * MIB_STEP;
}

/* A node of GPUs may train on its processors all the same. */
static bool on_gpus(const submit_flags *f) {
    const bool is_processor =
        f->device && (!strncmp(f->device, "cpu", strlen("cpu")) || !strcmp(f->device, "f64"));
    return f->gpus && !is_processor;
}

static void choose_sizes(slurm_script *out, submission *s) {
    const submit_flags *f = s->flags;
    const int cells = s->plan.n;
    long shares = f->shares ? f->shares : DEFAULT_SHARES;
    if (shares > cells) {
        if (f->shares)
            fprintf(stderr, "mixgrid: %d share%s, as no more runs are missing\n", cells,
                    plural_s(cells));
        shares = cells;
    }
    s->array.shares = out->shares = (int)shares;
    qsort(s->plan.pack, (size_t)cells, sizeof *s->plan.pack, most_first);
    const long runs = (cells + shares - 1) / shares;
    out->gpus = f->gpus;
    out->cpus = f->cpus               ? f->cpus
                : f->gpus             ? CPUS_PER_GPU * f->gpus
                : runs < DEFAULT_CPUS ? runs
                                      : DEFAULT_CPUS;
    out->on_gpus = on_gpus(f);
    out->mem_mib = f->mem         ? 0
                   : out->on_gpus ? MIB_SCHEDULER + f->gpus * MIB_GPU_WORKER
                                  : memory_for(&s->plan, out->cpus);
}

static status find_missing(submission *s, error *e) {
    const submit_flags *f = s->flags;
    store *results = NULL;
    const only *these = only_read(s->arena, s->grid, f->only, e);
    if (!these) return e->code;
    const plan_options options = {
        .only = these, .retry_failed = f->retry != NULL, .pack = 1, .workers = 1};
    if (store_open_if_any(&results, f->db, e)) return e->code;
    status failed = STATUS_OK;
    device_set d;
    if (f->gpus || f->device) /* of another machine */
        failed = share_plan(&s->plan, s->arena, s->grid, results, &options, e);
    else if (!(failed = devices_find(&d, s->arena, "cpu", e)))
        failed = plan_sweep(&s->plan, s->arena, s->grid, results, &d, &options, e);
    store_close(results);
    return failed;
}

/* ---- the script ---- */

static const char *const *run_arguments(submission *s, int *n) {
    const submit_flags *f = s->flags;
    const char *const option[][2] = {{"--device", f->device ? f->device
                                                  : f->gpus ? "cuda"
                                                            : "cpu"},
                                     {"--only", f->only},
                                     {"--pack", f->pack},
                                     {"--retry", f->retry}};
    int cap = 0;
    const char **list = NULL;
    *n = 0;
    for (int i = 1; i < s->words->n; i++) {
        ARENA_GROW(s->arena, list, *n, cap);
        list[(*n)++] = s->words->text[i];
    }
    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        if (!option[i][1]) continue;
        ARENA_GROW(s->arena, list, *n, cap);
        list[(*n)++] = arena_printf(s->arena, "%s=%s", option[i][0], option[i][1]);
    }
    return list;
}

static status write_script(submission *s, error *e) {
    arena *a = s->arena;
    const submit_flags *f = s->flags;
    char program[4096] = "";
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        return error_set(e, STATUS_ENVIRONMENT, "could not find the path of this program: %s.",
                         strerror(errno));
    char here[4096] = "/";
    if (!getcwd(here, sizeof here)) here[1] = '\0';
    slurm_script script = {.experiment = s->grid->experiment,
                           .program = program,
                           .grid = slurm_array_path(a, s->db, s->grid->experiment, "yaml"),
                           .db = s->db,
                           .folder = here,
                           .log = s->home.log,
                           .time = f->time,
                           .partition = f->partition,
                           .account = f->account,
                           .mem = f->mem,
                           .extra = f->extra};
    script.argument = run_arguments(s, &script.n_arguments);
    choose_sizes(&script, s);
    return slurm_script_text(&s->script, a, &script, e);
}

/* ---- handing it over ---- */

static status copy_grid(const submission *s, const char *to, error *e) {
    const char *from = s->grid->file;
    struct stat one, other;
    if (!stat(from, &one) && !stat(to, &other) && one.st_ino == other.st_ino &&
        one.st_dev == other.st_dev)
        return STATUS_OK; /* the copy of last time is submitted */
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    char part[4096];
    size_t n;
    bool good = in && out;
    while (good && (n = fread(part, 1, sizeof part, in)) > 0) good = fwrite(part, 1, n, out) == n;
    if (in) fclose(in);
    if (out) good &= fclose(out) == 0;
    return good ? STATUS_OK
                : error_set(e, STATUS_ENVIRONMENT, "%s could not be copied to %s: %s.", from, to,
                            strerror(errno));
}

static status write_text(const char *path, const char *text, error *e) {
    FILE *f = fopen(path, "we");
    bool good = f && fputs(text, f) >= 0;
    if (f) good &= fclose(f) == 0;
    return good ? STATUS_OK
                : error_set(e, STATUS_ENVIRONMENT, "%s could not be written: %s.", path,
                            strerror(errno));
}

/* Two arrays of one experiment would train the same runs. */
static status refuse_active(const submission *s, error *e) {
    slurm_array *list;
    int n;
    if (slurm_array_list(&list, &n, s->arena, s->db, e)) return e->code;
    for (int i = 0; i < n; i++) {
        if (strcmp(list[i].experiment, s->grid->experiment)) continue;
        share_view *view = ARENA_NEW(s->arena, share_view, list[i].shares);
        if (slurm_array_look(view, s->arena, s->db, &list[i], e)) return e->code;
        if (slurm_array_is_active(view, list[i].shares))
            return error_set(e, STATUS_USAGE,
                             "%s was submitted as job %s, which has not ended; wait for it, or end "
                             "it with scancel %s.",
                             list[i].experiment, list[i].job ? list[i].job : "-",
                             list[i].job ? list[i].job : "");
    }
    return STATUS_OK;
}

static status call_sbatch(submission *s, const char *path, error *e) {
    const char *const argv[] = {"sbatch", "--parsable", path, NULL};
    const char *text;
    int code;
    if (call_program(&text, &code, s->arena, argv, e)) return e->code;
    if (code == CALL_MISSING)
        return error_set(e, STATUS_ENVIRONMENT,
                         "there is no sbatch in PATH: submit from a machine of a Slurm cluster; "
                         "the script is %s.",
                         path);
    if (code)
        return error_set(e, STATUS_ENVIRONMENT,
                         "sbatch did not take %s: %.*s; mend what it names, or ask those who run "
                         "the cluster, and submit again.",
                         path, (int)strcspn(text, "\n"), text);
    /* "123" or "123;cluster", behind warnings */
    const char *last = text;
    for (const char *p = text; *p; p++)
        if (*p == '\n' && p[1]) last = p + 1;
    const size_t digits = strspn(last, "0123456789");
    if (!digits)
        return error_set(e, STATUS_ENVIRONMENT, "sbatch answered without a job number: %.200s.",
                         text);
    s->array.job = arena_printf(s->arena, "%.*s", (int)digits, last);
    return STATUS_OK;
}

/* Of an array that has ended: its journals have everything, and a share that has a database looks
 * as if it had begun. */
static void remove_old_shares(const submission *s) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
    for (int i = 1; i <= s->array.shares; i++) {
        const char *own =
            share_db(s->arena, s->db, s->grid->experiment, (share){i, s->array.shares});
        for (int k = 0; k < 4 && !place_is_locked(own); k++)
            unlink(arena_printf(s->arena, "%s%s", own, suffix[k]));
    }
}

static status hand_over(submission *s, error *e) {
    arena *a = s->arena;
    const char *experiment = s->grid->experiment,
               *path = slurm_array_path(a, s->db, experiment, "sbatch");
    s->array.experiment = experiment;
    s->array.file = s->words->text[0];
    s->array.argument = s->words->text + 1;
    s->array.n_arguments = s->words->n - 1;
    s->array.only = s->flags->only;
    if (refuse_active(s, e)) return e->code;
    remove_old_shares(s);
    if (make_folder(dirname(arena_text(a, s->db)), e) || make_folder(s->home.log, e) ||
        make_folder(share_folder(a, s->db), e) ||
        copy_grid(s, slurm_array_path(a, s->db, experiment, "yaml"), e) ||
        write_text(path, s->script, e) || call_sbatch(s, path, e) ||
        slurm_array_write(s->db, &s->array, e))
        return e->code;
    printf("%s: %d run%s in %d share%s, Slurm job %s\n", experiment, s->plan.n, plural_s(s->plan.n),
           s->array.shares, plural_s(s->array.shares), s->array.job);
    printf("mixgrid status --db %s    how far it is\n", shell_word(a, s->flags->db));
    printf("mixgrid collect --db %s   results and report, at any time\n",
           shell_word(a, s->flags->db));
    return STATUS_OK;
}

static status submit(submission *s, error *e) {
    arena *a = s->arena;
    const submit_flags *f = s->flags;
    s->db = absolute(a, f->db);
    s->home = home_of(a, s->db);
    if (find_missing(s, e)) return e->code;
    if (!s->plan.n) {
        printf("%s: nothing to submit: %ld cell%s done, %ld failed (again: --retry failed)\n",
               s->grid->experiment, s->plan.already, s->plan.already == 1 ? " is" : "s are",
               s->plan.failed_before);
        return STATUS_OK;
    }
    if (write_script(s, e)) return e->code;
    if (!f->dry_run) return hand_over(s, e);
    fputs(s->script, stdout);
    return STATUS_OK;
}

/* A device that this machine or this build lacks may well be on the nodes. */
static status check_device(const submit_flags *f, error *e) {
    const char *name = f->device ? f->device : f->gpus ? "cuda" : "cpu";
    const size_t kind = strcspn(name, ":");
    const bool is_cuda = kind == strlen("cuda") && !strncmp(name, "cuda", kind);
    error unknown = {0};
    if (!is_cuda && !backend_find(name, &unknown) && unknown.code == STATUS_USAGE)
        return error_set(e, STATUS_USAGE, "%s", unknown.text);
    if (is_cuda && !f->gpus)
        return error_set(e, STATUS_USAGE,
                         "--device %s needs GPUs from Slurm; add --gpus 1, or leave it out.", name);
    if (f->gpus > MOST_GPUS)
        return error_set(e, STATUS_USAGE, "--gpus is at most %d for each task, not %ld.", MOST_GPUS,
                         f->gpus);
    return STATUS_OK;
}

/* What Slurm takes: digits, then at most one letter. */
static bool is_mem(const char *size) {
    const size_t digits = strspn(size, "0123456789");
    return digits && (!size[digits] || (strchr("KMGT", size[digits]) && !size[digits + 1]));
}

static status check_flags(const submit_flags *f, const cli_texts *words, error *e) {
    const double limit_s = f->time ? slurm_time_s(f->time) : SLURM_LEAST_S;
    if (!f->slurm)
        return error_set(e, STATUS_USAGE,
                         "mixgrid submit needs --slurm, the one kind of cluster that it knows.");
    if (!words->n)
        return error_set(e, STATUS_USAGE,
                         "mixgrid submit needs a grid file, such as experiments/quickstart.yaml.");
    if (limit_s < 0)
        return error_set(e, STATUS_USAGE,
                         "--time is HH:MM:SS, or MM, MM:SS, D-HH, D-HH:MM, D-HH:MM:SS, not %s.",
                         f->time);
    if (limit_s < SLURM_LEAST_S)
        return error_set(e, STATUS_USAGE,
                         "--time %s is too short: a task stops %d s before its end and needs some "
                         "to start; give it at least 00:05:00.",
                         f->time, SLURM_NOTICE_S);
    int most;
    if (refuse_retry(f->retry, e) || (f->pack && read_pack(&most, f->pack, e)) ||
        check_device(f, e))
        return e->code;
    if (f->shares > SHARE_MOST)
        return error_set(e, STATUS_USAGE, "--shares is at most %d, not %ld.", SHARE_MOST,
                         f->shares);
    if (f->mem && !is_mem(f->mem))
        return error_set(e, STATUS_USAGE, "--mem is a size such as 16G or 800M, not %s.", f->mem);
    return STATUS_OK;
}

status command_submit(int argc, char **argv, error *e) {
    arena *a = arena_new();
    submit_flags f = {.db = default_db};
    const cli_option options[] = {
        {"slurm", CLI_FLAG, &f.slurm, NULL, "an array job of Slurm"},
        {"db", CLI_TEXT, &f.db, "FILE",
         "results database (default out/results.db), on a file system that all nodes share"},
        {"shares", CLI_COUNT, &f.shares, "N", "tasks of the array (default 4)"},
        {"time", CLI_TEXT, &f.time, "HH:MM:SS",
         "of one task; when it is up the task checkpoints and is queued again"},
        {"partition", CLI_TEXT, &f.partition, "NAME", "of the cluster"},
        {"account", CLI_TEXT, &f.account, "NAME", "that pays"},
        {"gpus", CLI_COUNT, &f.gpus, "N", "for each task (default none: it trains on processors)"},
        {"cpus", CLI_COUNT, &f.cpus, "N",
         "for each task, a run at a time on each (default at most 8; 4 for each GPU)"},
        {"mem", CLI_TEXT, &f.mem, "SIZE", "for each task, such as 16G (default: what runs need)"},
        {"sbatch", CLI_TEXT, &f.extra, "OPTIONS", "more options of sbatch, as they are"},
        {"device", CLI_TEXT, &f.device, "NAME",
         "of run (default cpu, or cuda with --gpus; cpu-v3: the same bits on nodes of any age)"},
        {"pack", CLI_TEXT, &f.pack, "N|auto", "of run"},
        {"only", CLI_TEXT, &f.only, "EXPR", "of run"},
        {"retry", CLI_TEXT, &f.retry, "failed", "of run"},
        {"dry-run", CLI_FLAG, &f.dry_run, NULL, "print the script, submit nothing"},
    };
    cli_texts words = {0};
    status s = CLI_PARSE(a, argc, argv, options, &words, e);
    if (!s) s = check_flags(&f, &words, e);
    if (!s) {
        diag *d = diag_new(a);
        const grid *g =
            grid_load(a, catalog_schema(), words.text[0], words.text + 1, words.n - 1, d);
        diag_print(d, stderr);
        submission new = {.arena = a, .flags = &f, .grid = g, .words = &words};
        s = g ? submit(&new, e) : STATUS_USAGE;
    }
    arena_free(a);
    return s;
}
