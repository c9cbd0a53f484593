/* worker_process.c - see worker_process.h. */
#include "worker_process.h"

#include "catalog.h"
#include "stop_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void redirect_streams(const char *log_path) {
    const int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666),
              null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log >= 0 ? log : null, STDERR_FILENO);
}

static _Noreturn void become_worker(const pack *p, const worker_options *options, pid_t scheduler) {
    setpgid(0, 0);
    stop_signals_let_go();
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a worker never outlives its scheduler unseen */
    if (getppid() != scheduler) _exit(STATUS_INTERRUPTED);
    arena *a = arena_new();
    redirect_streams(home_log(a, &options->home, p->cell[0]->config->id));
    const config **cell = ARENA_NEW(a, const config *, p->n);
    for (int i = 0; i < p->n; i++) cell[i] = p->cell[i]->config;
    job j;
    job_bind(&j, a, cell, p->n);
    error e = {0};
    const status s = worker_run(&j, options, &e);
    if (s && s != STATUS_INTERRUPTED) fprintf(stderr, "mixgrid: error: %s\n", e.text);
    fflush(stderr);
    _exit(s);
}

status worker_start(worker_process *out, const pack *p, const worker_options *common,
                    store *inherited, error *e) {
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
        store_detach(inherited); /* or this process would keep the lock of a dead scheduler */
        worker_options options = *common;
        options.progress_fd = ends[1];
        options.attempt = p->attempt;
        options.data = p->data;
        options.again = p->again;
        options.pause_at = p->pause_at;
        become_worker(p, &options, scheduler);
    }
    close(ends[1]);
    *out = (worker_process){pid, ends[0]};
    return STATUS_OK;
}
