/* schedule.c - one scheduler, several worker processes; the only writer of the database.
 *
 * A worker is a fork of the scheduler in a process group of its own, so that Ctrl-C in a terminal
 * reaches the scheduler alone, which passes it on once. Its stderr goes to log/<run id>.log. */
#include "schedule.h"

#include "claim_pack.h"
#include "halving.h"
#include "progress.h"
#include "results/claim.h"
#include "results/clock.h"
#include "results/experiment_file.h"
#include "results/provenance.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WORKERS = 256, POLL_MS = 100, IMPORT_S = 2, LOG_TAIL = 4096 };
enum { ASK_AGAIN_S = 1 }; /* for runs that another scheduler is training */

typedef struct slot {
    pid_t pid; /* 0: idle */
    int device;
    int pipe;
    pack *pack;
    double start_s;
} slot;

typedef struct sweep {
    const grid *grid;
    const schedule_options *options;
    const char *db;      /* that this scheduler writes: its own if it has a share */
    const int *share_of; /* [grid->n] share.h; NULL: all cells are its own */
    arena *arena;
    home home;
    device_set devices;
    const char **environment_json; /* [devices] */
    double *mem_free;              /* [devices] bytes not promised to a worker */
    double room;                   /* of the largest device, empty */
    store *store;
    claim_folder shared;
    sweep_plan plan;
    const halving *halving;      /* NULL: all are trained to their end */
    const long *attempts_before; /* [cells] of halving: when this sweep began */
    pack **queue;                /* packs still to run, in order */
    int n_queue, cap_queue, next;
    slot slot[MAX_WORKERS];
    int slots;
    progress_view *view;
    sweep_outcome *out;
    double cost_left, import_s;
    long left;
    bool stopping;
} sweep;

static const int stop_signal[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
enum { N_STOP_SIGNALS = sizeof stop_signal / sizeof *stop_signal };
static volatile sig_atomic_t signals;

static void on_signal(int number) {
    (void)number;
    signals++;
}

home home_of(arena *a, const char *db) {
    const char *folder = dirname(arena_text(a, db));
    return (home){arena_printf(a, "%s/journal", folder), arena_printf(a, "%s/log", folder),
                  arena_printf(a, "%s/checkpoint", folder)};
}

status make_folder(const char *path, error *e) {
    if (!mkdir(path, 0777) || errno == EEXIST) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "could not create the folder %s: %s; choose another place with --db.", path,
                     strerror(errno));
}

double memory_available(void) {
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    double kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lf", &kib) == 1) break;
    if (f) fclose(f);
    const double free_bytes = kib > 0 ? kib * 1024 : 1e18; /* unknown: do not refuse */
    const char *job_mib = getenv("SLURM_MEM_PER_NODE");    /* Slurm kills what takes more */
    const double job_bytes = job_mib ? strtod(job_mib, NULL) * 0x1p20 : 0;
    return job_bytes > 0 && job_bytes < free_bytes ? job_bytes : free_bytes;
}

/* ---- the worker's side of a fork ---- */

static _Noreturn void become_worker(sweep *w, const pack *p, int device, int progress_fd,
                                    pid_t scheduler) {
    setpgid(0, 0);
    for (int i = 0; i < N_STOP_SIGNALS; i++)
        if (signal(stop_signal[i], SIG_DFL) == SIG_IGN) signal(stop_signal[i], SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a worker never outlives its scheduler unseen */
    if (getppid() != scheduler) _exit(STATUS_INTERRUPTED);
    arena *a = arena_new();
    const char *path = arena_printf(a, "%s/%s.log", w->home.log, p->cell[0]->config->id);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log >= 0 ? log : null, STDERR_FILENO);
    const config **cell = ARENA_NEW(a, const config *, p->n);
    for (int i = 0; i < p->n; i++) cell[i] = p->cell[i]->config;
    job j;
    job_bind(&j, a, cell, p->n);
    const worker_options options = {.home = w->home,
                                    .backend = w->devices.backend,
                                    .device = device_id(&w->devices, device),
                                    .progress_fd = progress_fd,
                                    .environment_json = w->environment_json[device],
                                    .attempt = p->attempt,
                                    .data = p->data,
                                    .again = p->again,
                                    .patient = w->share_of != NULL,
                                    .pause_at = p->pause_at};
    error e = {0};
    status s = worker_run(&j, &options, &e);
    if (s && s != STATUS_INTERRUPTED) fprintf(stderr, "mixgrid: error: %s\n", e.text);
    fflush(stderr);
    _exit(s);
}

static status start_worker(sweep *w, int index, pack *p, error *e) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return error_set(e, STATUS_ENVIRONMENT, "could not open a pipe to a worker: %s.",
                         strerror(errno));
    fflush(NULL);
    const pid_t scheduler = getpid(), pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return error_set(e, STATUS_ENVIRONMENT,
                         "could not start a worker process: %s; use fewer with --workers.",
                         strerror(errno));
    }
    if (!pid) {
        close(ends[0]);
        store_detach(w->store); /* or this process would keep the lock of a dead scheduler */
        become_worker(w, p, w->slot[index].device, ends[1], scheduler);
    }
    close(ends[1]);
    slot *s = &w->slot[index];
    *s = (slot){pid, s->device, ends[0], p, clock_steady_s()};
    w->mem_free[s->device] -= p->mem_bytes;
    w->left -= p->n;
    w->cost_left -= p->cost;
    const char *label = p->n == 1 ? p->cell[0]->label
                                  : arena_printf(w->arena, "%s (+%d)", p->cell[0]->label, p->n - 1);
    progress_slot(w->view, index, label, p->cost, p->n);
    return STATUS_OK;
}

/* ---- what became of a worker ---- */

static void read_progress(sweep *w, int index) {
    progress p;
    while (read(w->slot[index].pipe, &p, sizeof p) == (ssize_t)sizeof p)
        progress_update(w->view, index, &p);
}

static const char *log_tail(sweep *w, const char *run_id, char *text, size_t size) {
    arena *a = arena_new();
    FILE *f = fopen(arena_printf(a, "%s/%s.log", w->home.log, run_id), "r");
    text[0] = 0;
    if (f) {
        if (fseek(f, -(long)(size - 1), SEEK_END)) rewind(f);
        text[fread(text, 1, size - 1, f)] = 0;
        fclose(f);
    }
    arena_free(a);
    return text;
}

static void requeue(sweep *w, pack *p) {
    ARENA_GROW(w->arena, w->queue, w->n_queue, w->cap_queue);
    w->queue[w->n_queue++] = p;
    w->left += p->n;
    w->cost_left += p->cost;
}

/* Run i of a pack once more, by itself: a crash may be another's fault, and one bad run must not
 * sink its neighbours. */
static status requeue_alone(sweep *w, const pack *p, int i, long attempts, int crashes, error *e) {
    pack *one = ARENA_NEW(w->arena, pack, 1);
    *one = (pack){.n = 1,
                  .cell = &p->cell[i],
                  .attempt = &p->attempt[i],
                  .again = p->again,
                  .pause_at = p->pause_at,
                  .crashes = crashes};
    *one->attempt = attempts + 1;
    if (plan_pack(one, w->devices.backend, e)) return e->code;
    requeue(w, one);
    return STATUS_OK;
}

static void count(sweep *w, const grid_cell *cell, const store_run *run, double wall_s) {
    sweep_outcome *out = w->out;
    const bool bad = run->state == RUN_FAILED || run->state == RUN_TIMEOUT;
    switch (run->state) {
    case RUN_DONE: out->done++; break;
    case RUN_DIVERGED: out->diverged++; break;
    case RUN_TIMEOUT: out->timeout++; break;
    case RUN_PREEMPTED: out->preempted++; break;
    default: out->failed++; break;
    }
    progress_line(w->view, bad, "%s %s  %s  %.1f s%s%s", run_state_name[run->state], cell->label,
                  arena_printf(w->arena, "%.12s", cell->config->id), wall_s,
                  run->message[0] ? "  " : "", run->message);
    if (bad && w->options->fail_fast) signals++;
    const char *log = arena_printf(w->arena, "%s/%s.log", w->home.log, cell->config->id);
    if (bad && access(log, F_OK) == 0) progress_line(w->view, true, "  log: %s", log);
}

/* How a worker process ended. */
typedef struct ending {
    int exit_code, signal; /* exit_code -1: a signal */
} ending;

/* What a worker printed last before it gave up; NULL: nothing of the kind. */
static const char *last_words(arena *a, const char *tail) {
    static const char mark[] = "mixgrid: error: ";
    const char *last = NULL;
    for (const char *p = tail; (p = strstr(p, mark)); p += sizeof mark - 1) last = p;
    if (!last) return NULL;
    last += sizeof mark - 1;
    return arena_printf(a, "%.*s", (int)strcspn(last, "\n"), last);
}

/* Writes the end of a run whose worker could not do so itself. */
static status pass_verdict(sweep *w, const pack *p, const grid_cell *cell, ending how, error *e) {
    char tail[LOG_TAIL];
    log_tail(w, p->cell[0]->config->id, tail, sizeof tail);
    const bool stopped = w->stopping || how.exit_code == STATUS_INTERRUPTED;
    const char *words = how.exit_code > 0 ? last_words(w->arena, tail) : NULL, *message = words;
    if (how.signal)
        message = arena_printf(w->arena, "its worker was ended by signal %d (%s).", how.signal,
                               strsignal(how.signal));
    else if (stopped)
        message = "its worker was stopped before it could write a checkpoint.";
    else if (!words)
        message = arena_printf(w->arena, "its worker ended with exit code %d.", how.exit_code);
    return store_run_fail(w->store, w->home.journal, cell->config->id,
                          config_json(w->arena, cell->config, CONFIG_IDENTITY),
                          stopped ? RUN_PREEMPTED : RUN_FAILED,
                          how.exit_code < 0 ? 0 : how.exit_code, how.signal, message, tail, e);
}

static status settle_run(sweep *w, const pack *p, int i, ending how, double wall_s, error *e) {
    const grid_cell *cell = p->cell[i];
    const char *id = cell->config->id;
    store_run run;
    if (store_import(w->store, w->home.journal, id, e) || store_run_get(w->store, id, &run, e))
        return e->code;
    /* a result that another process brought meanwhile needs no verdict */
    const bool silent =
        (run.attempts < p->attempt[i] && (p->again || !run_has_result(run.state))) ||
        run.state == RUN_RUNNING;
    error busy = {0};
    if (silent && pass_verdict(w, p, cell, how, &busy)) {
        if (!w->share_of) return error_set(e, busy.code, "%s", busy.text);
        /* another array trains this run too: its result will be there for both */
        progress_line(w->view, true, "left alone %s  %.12s  %s", cell->label, id, busy.text);
        return STATUS_OK;
    }
    if (silent && store_run_get(w->store, id, &run, e)) return e->code;
    const bool paused = run.state == RUN_PREEMPTED && !how.signal && how.exit_code == STATUS_OK;
    if (paused) {
        progress_line(w->view, false, "paused %s  %.12s  %.1f s  %s", cell->label, id, wall_s,
                      run.message);
        return STATUS_OK;
    }
    const bool crashed =
        run.state == RUN_FAILED && how.signal && p->crashes + 1 < w->options->max_attempts;
    if (!w->stopping && (crashed || run.state == RUN_PREEMPTED)) {
        progress_line(w->view, crashed, "%s %s  %.12s  %s%strying again", run_state_name[run.state],
                      cell->label, id, run.message, run.message[0] ? " " : "");
        return requeue_alone(w, p, i, run.attempts, p->crashes + crashed, e);
    }
    count(w, cell, &run, wall_s);
    return STATUS_OK;
}

static status settle(sweep *w, int index, int wait_status, error *e) {
    slot *s = &w->slot[index];
    const pack *p = s->pack;
    const double wall_s = clock_steady_s() - s->start_s;
    const ending how = {WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
                        WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0};
    read_progress(w, index);
    close(s->pipe);
    *s = (slot){.device = s->device};
    w->mem_free[s->device] += p->mem_bytes;
    progress_slot(w->view, index, NULL, 0, 0);
    for (int i = 0; i < p->n; i++)
        if (settle_run(w, p, i, how, wall_s, e)) return e->code;
    claim_pack_release(p, &w->shared);
    return STATUS_OK;
}

static status reap(sweep *w, error *e) {
    for (int i = 0; i < w->slots; i++) {
        int wait_status;
        if (w->slot[i].pid && waitpid(w->slot[i].pid, &wait_status, WNOHANG) == w->slot[i].pid &&
            settle(w, i, wait_status, e))
            return e->code;
    }
    return STATUS_OK;
}

/* ---- the loop ---- */

static int running(const sweep *w) {
    int n = 0;
    for (int i = 0; i < w->slots; i++) n += w->slot[i].pid != 0;
    return n;
}

static status refuse_too_large(sweep *w, pack *p, error *e) {
    char message[256];
    snprintf(message, sizeof message,
             "needs %.2f GiB of memory, this %s has %.2f GiB free; make the batch, length, "
             "vocabulary or model smaller.",
             p->mem_bytes / 0x1p30, w->devices.is_processor ? "machine" : "kind of device",
             w->room / 0x1p30);
    for (int i = 0; i < p->n; i++) {
        const grid_cell *cell = p->cell[i];
        store_run run;
        if (store_run_fail(w->store, w->home.journal, cell->config->id,
                           config_json(w->arena, cell->config, CONFIG_IDENTITY), RUN_FAILED,
                           STATUS_ENVIRONMENT, 0, message, "", e) ||
            store_run_get(w->store, cell->config->id, &run, e))
            return e->code;
        count(w, cell, &run, 0);
    }
    w->left -= p->n;
    w->cost_left -= p->cost;
    return STATUS_OK;
}

/* An idle slot on a device that can take this much now; -1: a worker must end first. */
static int slot_for(const sweep *w, double mem_bytes) {
    for (int i = 0; i < w->slots; i++)
        if (!w->slot[i].pid && w->mem_free[w->slot[i].device] >= mem_bytes) return i;
    return -1;
}

/* Claims pack i of the queue, which shrinks to what is ours; the runs that another scheduler has
 * are asked for again later. */
static status take_pack(sweep *w, int i, error *e) {
    pack *p = w->queue[i], *busy = ARENA_NEW(w->arena, pack, 1), ended;
    const int n = p->n;
    const double cost = p->cost;
    if (claim_pack_take(p, busy, &ended, w->arena, &w->shared, e)) return e->code;
    if (p->n == n) return STATUS_OK;
    for (int k = 0; k < ended.n; k++) {
        store_run run;
        if (store_run_get(w->store, ended.cell[k]->config->id, &run, e)) return e->code;
        if (run.state == RUN_DONE)
            w->out->already++;
        else
            count(w, ended.cell[k], &run, run.wall_s);
    }
    w->left -= n;
    w->cost_left -= cost;
    if (p->n && plan_pack(p, w->devices.backend, e)) return e->code;
    w->left += p->n;
    w->cost_left += p->n ? p->cost : 0;
    if (!busy->n) return STATUS_OK;
    busy->wait_s = clock_steady_s() + ASK_AGAIN_S;
    if (plan_pack(busy, w->devices.backend, e)) return e->code;
    requeue(w, busy);
    return STATUS_OK;
}

static status launch(sweep *w, error *e) {
    const int n_queue = w->n_queue; /* what has to wait goes behind it */
    for (int i = w->next; i < n_queue && !signals; i++) {
        pack *p = w->queue[i];
        const bool refused = p->mem_bytes > w->room;
        const int index = refused ? -1 : slot_for(w, p->mem_bytes);
        if (!refused && index < 0) return STATUS_OK;
        if (p->wait_s > clock_steady_s()) continue;
        if (take_pack(w, i, e)) return e->code;
        memmove(&w->queue[w->next + 1], &w->queue[w->next],
                (size_t)(i - w->next) * sizeof *w->queue);
        w->queue[w->next++] = p;
        if (!p->n) continue;
        if (refused ? refuse_too_large(w, p, e) : start_worker(w, index, p, e)) return e->code;
        if (refused) claim_pack_release(p, &w->shared);
    }
    return STATUS_OK;
}

static void pass_on_signals(sweep *w) {
    static int passed;
    if (signals == passed) return;
    passed = signals;
    const bool is_share = w->share_of != NULL; /* see worker_options.patient */
    if (is_share && w->stopping) return;
    if (!w->stopping)
        progress_line(w->view, false, "stopping: workers finish their step and checkpoint%s",
                      is_share ? "" : "; once more to stop at once");
    for (int i = 0; i < w->slots; i++)
        if (w->slot[i].pid) kill(w->slot[i].pid, w->stopping ? SIGKILL : SIGTERM);
    w->stopping = true;
}

/* Journals of running packs are imported now and then, so that status and queries see them. */
static status import_running(sweep *w, error *e) {
    if (clock_steady_s() - w->import_s < IMPORT_S) return STATUS_OK;
    w->import_s = clock_steady_s();
    for (int i = 0; i < w->slots; i++)
        for (int k = 0; w->slot[i].pid && k < w->slot[i].pack->n; k++)
            if (store_import(w->store, w->home.journal, w->slot[i].pack->cell[k]->config->id, e))
                return e->code;
    return STATUS_OK;
}

static status loop(sweep *w, error *e) {
    status s = STATUS_OK;
    while (!s && (running(w) || (w->next < w->n_queue && !w->stopping))) {
        s = launch(w, e);
        struct pollfd fds[MAX_WORKERS];
        for (int i = 0; i < w->slots; i++)
            fds[i] = (struct pollfd){.fd = w->slot[i].pid ? w->slot[i].pipe : -1, .events = POLLIN};
        poll(fds, (nfds_t)w->slots, POLL_MS);
        for (int i = 0; i < w->slots; i++)
            if (w->slot[i].pid) read_progress(w, i);
        pass_on_signals(w);
        if (!s) s = reap(w, e);
        if (!s) s = import_running(w, e);
        const sweep_outcome *o = w->out;
        progress_totals(w->view, o->already + o->done + o->diverged, running(w),
                        o->failed + o->timeout, w->left, w->cost_left);
        progress_draw(w->view, false);
    }
    if (s) /* the database cannot be written: stop the workers, their journals keep everything */
        for (int i = 0; i < w->slots; i++)
            if (w->slot[i].pid) {
                kill(w->slot[i].pid, SIGTERM);
                waitpid(w->slot[i].pid, NULL, 0);
            }
    return s;
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_STOP_SIGNALS; i++) {
        struct sigaction before;
        sigaction(stop_signal[i], NULL, &before);
        const bool ignored = stop_signal[i] == SIGHUP && before.sa_handler == SIG_IGN; /* nohup */
        if (!ignored) sigaction(stop_signal[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

status refuse_foreign_file(const char *db, error *e) {
    static const char magic[] = "SQLite format 3";
    char head[sizeof magic] = "";
    struct stat info;
    if (stat(db, &info)) return STATUS_OK;
    if (S_ISDIR(info.st_mode))
        return error_set(e, STATUS_ENVIRONMENT, "%s is a folder; name a file in it with --db.", db);
    FILE *f = fopen(db, "rbe");
    const bool whole = f && fread(head, 1, sizeof head, f) == sizeof head;
    if (f) fclose(f);
    if (!f || !info.st_size || (whole && !memcmp(head, magic, sizeof magic))) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s is no SQLite database and is left alone; name another with --db, or move "
                     "it away if it held this sweep: its runs are read again from the journals.",
                     db);
}

static bool is_own(const sweep *w, int cell) {
    return !w->share_of || w->share_of[cell] == w->options->share.index;
}

/* Journals may know more than the database: of workers that outlived a killed scheduler, or of a
 * database that was deleted. */
static status import_unfinished(sweep *w, error *e) {
    for (int i = 0; i < w->grid->n; i++) {
        if (!is_own(w, i)) continue;
        const char *id = w->grid->cell[i].config->id;
        store_run run;
        if (store_run_get(w->store, id, &run, e)) return e->code;
        if (!run_has_result(run.state) && store_import(w->store, w->home.journal, id, e))
            return e->code;
    }
    return STATUS_OK;
}

static status open_store(sweep *w, error *e) {
    bool rebuild = false, changed;
    if (refuse_foreign_file(w->options->db, e) || refuse_foreign_file(w->db, e) ||
        make_folder(dirname(arena_text(w->arena, w->options->db)), e) ||
        make_folder(dirname(arena_text(w->arena, w->db)), e) || make_folder(w->home.journal, e) ||
        make_folder(w->home.log, e) || make_folder(w->home.checkpoint, e))
        return e->code;
    if (!(w->store = store_open(w->db, &rebuild, e))) return e->code;
    w->shared = (claim_folder){claims_open(w->home.journal, e), w->home.journal, w->store};
    if (w->shared.claims < 0) return e->code;
    long runs;
    if (rebuild && store_import_all(w->store, w->home.journal, &runs, e)) return e->code;
    store_cell *cells = ARENA_NEW(w->arena, store_cell, w->grid->n);
    int n = 0;
    for (int i = 0; i < w->grid->n; i++) {
        const grid_cell *c = &w->grid->cell[i];
        if (!is_own(w, i)) continue;
        cells[n++] = (store_cell){c->config->id, config_json(w->arena, c->config, CONFIG_IDENTITY),
                                  c->label, c->axes_json};
    }
    if (store_experiment(w->store, w->grid->experiment, w->grid->file, w->grid->spec_json, cells, n,
                         &changed, e) ||
        store_experiments_save(w->store, w->home.journal, w->grid->experiment, changed, e))
        return e->code;
    return import_unfinished(w, e);
}

/* Slots go around the devices, so that the first packs are spread over all of them. */
static void make_slots(sweep *w, int each) {
    const device_set *d = &w->devices;
    w->environment_json = ARENA_NEW(w->arena, const char *, d->n);
    w->mem_free = ARENA_NEW(w->arena, double, d->n);
    for (int i = 0; i < d->n; i++) {
        w->environment_json[i] = provenance_json(w->arena, d->backend->name, d->backend->summary,
                                                 device_text(w->arena, d, i), device_libraries(d));
        w->mem_free[i] = device_room(d, i);
        if (w->mem_free[i] > w->room) w->room = w->mem_free[i];
    }
    w->slots = each > MAX_WORKERS / d->n ? MAX_WORKERS : each * d->n;
    for (int i = 0; i < w->slots; i++) w->slot[i].device = i % d->n;
}

static status take_share(sweep *w, error *e) {
    const schedule_options *o = w->options;
    int *share_of = ARENA_NEW(w->arena, int, w->grid->n);
    w->share_of = share_of;
    w->db = share_db(w->arena, o->db, w->grid->experiment, o->share);
    return share_deal_grid(share_of, w->grid, o->only, o->share.count, e);
}

/* ---- rounds of early_terminate; without it there is one ---- */

/* The scheduler's word on runs that stand at a rung and were not among the best. */
static status stop_run(sweep *w, const grid_cell *cell, const halving_cell *c, error *e) {
    store_run run;
    if (store_run_get(w->store, cell->config->id, &run, e)) return e->code;
    const bool open = run.state == RUN_PREEMPTED || run.state == RUN_RUNNING;
    if (!open || !claim_take(w->shared.claims, cell->config->id)) return STATUS_OK;
    const char *message =
        arena_printf(w->arena, "stopped by early_terminate at step %ld: place %d of %d by val/%s.",
                     c->stopped_at, c->place, c->of, w->grid->halving->metric);
    const status s = store_run_fail(w->store, w->home.journal, cell->config->id,
                                    config_json(w->arena, cell->config, CONFIG_IDENTITY),
                                    RUN_CANCELLED, 0, 0, message, "", e);
    claim_release(w->shared.claims, cell->config->id);
    progress_line(w->view, false, "%s %s  %.12s  %s", run_state_name[RUN_CANCELLED], cell->label,
                  cell->config->id, message);
    return s;
}

/* What failed before this sweep is tried once in it, in whichever round. */
static const bool *find_retries(sweep *w, error *e) {
    bool *retry = ARENA_NEW(w->arena, bool, w->grid->n);
    for (int i = 0; i < w->grid->n && !e->code; i++) {
        store_run run;
        if (store_run_get(w->store, w->grid->cell[i].config->id, &run, e)) break;
        const bool failed = run.state == RUN_FAILED || run.state == RUN_TIMEOUT;
        retry[i] = w->options->retry_failed && failed && run.attempts == w->attempts_before[i];
    }
    return retry;
}

static status note_attempts(sweep *w, error *e) {
    long *attempts = ARENA_NEW(w->arena, long, w->grid->n);
    w->attempts_before = attempts;
    for (int i = 0; i < w->grid->n; i++) {
        store_run run;
        if (store_run_get(w->store, w->grid->cell[i].config->id, &run, e)) return e->code;
        attempts[i] = run.attempts;
    }
    return STATUS_OK;
}

static status run_round(sweep *w, plan_options plan, int round, error *e) {
    const grid *g = w->grid;
    if (w->halving) {
        halving_cell *cell = ARENA_NEW(w->arena, halving_cell, g->n);
        plan.retry = find_retries(w, e);
        if (e->code || halving_judge(cell, w->halving, w->store, round, plan.retry, e))
            return e->code;
        for (int i = 0; i < g->n && !signals; i++)
            if (cell[i].verdict == HALVING_STOPPED && stop_run(w, &g->cell[i], &cell[i], e))
                return e->code;
        plan.halving = cell;
    }
    if (plan_sweep(&w->plan, w->arena, g, w->store, &w->devices, &plan, e)) return e->code;
    if (!round) {
        char text[256];
        w->out->cells = w->plan.cells;
        w->out->already = w->plan.already;
        w->out->failed = w->plan.failed_before;
        w->view = progress_new(w->arena, w->slots, w->plan.cells);
        if (plan_stale_text(text, &w->plan, w->options->stale))
            progress_line(w->view, false, "%s", text);
    }
    w->out->stopped = w->plan.stopped;
    w->out->waiting = w->plan.waiting;
    for (int i = 0; i < w->plan.n; i++) requeue(w, &w->plan.pack[i]);
    catch_signals();
    return loop(w, e);
}

static status run_rounds(sweep *w, const plan_options *plan, error *e) {
    const int last = w->halving ? w->grid->halving->n_at : 0;
    status s = w->halving ? note_attempts(w, e) : STATUS_OK;
    for (int round = 0; !s && round <= last && !w->stopping; round++)
        s = run_round(w, *plan, round, e);
    if (w->view) progress_end(w->view);
    return s;
}

status refuse_halving_options(const grid *g, const schedule_options *options, error *e) {
    if (g->halving && options->share.count)
        return error_set(e, STATUS_USAGE,
                         "--share does not go with early_terminate, which compares runs of all "
                         "shares; leave one of them out.");
    if (!g->halving || options->stale != STALE_RERUN) return STATUS_OK;
    return error_set(e, STATUS_USAGE,
                     "--stale rerun does not go with early_terminate, whose verdicts come from the "
                     "results that would be made again; use another --db.");
}

status schedule_run(const grid *g, const schedule_options *options, sweep_outcome *out, error *e) {
    arena *a = arena_new();
    sweep w = {.grid = g,
               .options = options,
               .db = options->db,
               .arena = a,
               .home = home_of(a, options->db),
               .out = out};
    w.shared.claims = -1;
    const double start_s = clock_steady_s();
    *out = (sweep_outcome){0};
    signals = 0;
    status s = devices_find(&w.devices, a, options->device, e);
    const int each = s ? 0 : workers_each(&w.devices, options->workers);
    if (!s && options->share.count) s = take_share(&w, e);
    const plan_options plan = {.only = options->only,
                               .retry_failed = options->retry_failed,
                               .stale = options->stale,
                               .pack = options->pack,
                               .workers = each,
                               .share_of = w.share_of,
                               .share = options->share.index};
    if (!s) s = refuse_halving_options(g, options, e);
    if (!s && g->halving && !(w.halving = halving_new(a, g, e))) s = e->code;
    if (!s) make_slots(&w, each);
    if (!s) s = open_store(&w, e);
    if (!s) s = run_rounds(&w, &plan, e);
    if (!s) s = store_fold(w.store, e);
    store_close(w.store);
    claims_close(w.shared.claims);
    out->wall_s = clock_steady_s() - start_s;
    arena_free(a);
    if (s) return s;
    if (w.stopping && !(options->fail_fast && out->failed)) return STATUS_INTERRUPTED;
    return out->failed || out->timeout ? STATUS_RUNS_FAILED : STATUS_OK;
}
