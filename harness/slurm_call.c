/* slurm_call.c - see slurm_call.h. */
#include "slurm_call.h"

#include "results/jsontext.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become(const char *const *argv, int out) {
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], (char *const *)argv);
    _exit(CALL_MISSING);
}

status call_program(const char **text, int *exit_code, arena *a, const char *const *argv,
                    error *e) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return error_set(e, STATUS_ENVIRONMENT, "could not open a pipe to %s: %s.", argv[0],
                         strerror(errno));
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) become(argv, ends[1]);
    close(ends[1]);
    jsontext t = {.arena = a};
    char part[4096];
    ssize_t n;
    while (pid > 0 && ((n = read(ends[0], part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) jsontext_printf(&t, "%.*s", (int)n, part);
    close(ends[0]);
    int how = 0;
    while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR) continue;
    if (pid < 0)
        return error_set(e, STATUS_ENVIRONMENT, "could not start %s: %s.", argv[0],
                         strerror(errno));
    *text = t.n ? t.data : "";
    *exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return STATUS_OK;
}
