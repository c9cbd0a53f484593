/* gnuplot.c - the external program: found on PATH, run without a shell, its complaint kept. */
#include "figure.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char missing[] =
    "gnuplot is not installed or not on PATH, so figures are left out (tables are complete); "
    "install it, e.g. with `apt install gnuplot-nox`, and run the same command again.";

bool gnuplot_found(void) {
    const char *path = getenv("PATH");
    while (path && *path) {
        int n = (int)strcspn(path, ":");
        char file[4096];
        int length = snprintf(file, sizeof file, "%.*s/gnuplot", n, path);
        if (n && length < (int)sizeof file && access(file, X_OK) == 0) return true;
        path += n;
        path += *path == ':';
    }
    return false;
}

/* Reads what is written into the pipe; the first lines are kept, the rest is drained. */
static void read_all(char *out, size_t size, int from) {
    size_t n = 0;
    char block[512];
    for (ssize_t got; (got = read(from, block, sizeof block)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        size_t take = (size_t)got < size - 1 - n ? (size_t)got : size - 1 - n;
        memcpy(out + n, block, take);
        n += take;
    }
    out[n] = 0;
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 32) *p = ' ';
}

status gnuplot_run(const char *folder, const char *script, error *e) {
    if (!gnuplot_found()) return error_set(e, STATUS_ENVIRONMENT, "%s", missing);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set(e, STATUS_ENVIRONMENT, "cannot open a pipe to gnuplot: %s",
                         strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    /* -d: no start-up file of the user can change a figure. */
    char program[] = "gnuplot", no_init[] = "-d", file[256];
    snprintf(file, sizeof file, "%s", script);
    char *argument[] = {program, no_init, file, NULL};
    pid_t pid;
    int rc = posix_spawnp(&pid, program, &actions, NULL, argument, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (rc != 0) {
        close(ends[0]);
        return error_set(e, STATUS_ENVIRONMENT, "cannot start gnuplot: %s", strerror(rc));
    }
    char said[600];
    int how = 0;
    read_all(said, sizeof said, ends[0]);
    close(ends[0]);
    while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT, "gnuplot could not draw figures/%s: %s", script,
                     said[0] ? said : "it died without a word");
}
