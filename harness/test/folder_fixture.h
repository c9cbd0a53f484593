/* folder_fixture.h - a folder of its own for a test, files in it, and the built mixgrid run there.
 */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGS = 40 };

typedef struct folder {
    arena *arena;
    char path[64];
} folder;

static inline folder folder_new(void) {
    folder f = {.arena = arena_new(), .path = "/tmp/mixgrid-XXXXXX"};
    CHECK(mkdtemp(f.path) != NULL);
    return f;
}

static inline int folder_remove_one(const char *path, const struct stat *info, int kind,
                                    struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline void folder_remove(folder *f) {
    nftw(f->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    arena_free(f->arena);
}

/* Path of a file in the folder. */
static inline const char *folder_at(const folder *f, const char *name) {
    return arena_printf(f->arena, "%s/%s", f->path, name);
}

static inline const char *folder_write(const folder *f, const char *name, const char *text) {
    const char *path = folder_at(f, name);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

/* The whole file as text; "" when there is none. */
static inline const char *folder_read(const folder *f, const char *name) {
    FILE *file = fopen(folder_at(f, name), "r");
    if (!file) return "";
    fseek(file, 0, SEEK_END);
    const long n = ftell(file);
    rewind(file);
    char *text = arena_alloc(f->arena, (size_t)n + 1);
    CHECK(fread(text, 1, (size_t)n, file) == (size_t)n);
    fclose(file);
    return text;
}

/* build/X/mixgrid of the build this test belongs to, or the like. */
#ifndef MIXGRID_BINARY
#    define MIXGRID_BINARY "mixgrid"
#endif
static inline const char *mixgrid_path(void) {
    static char path[4096];
    if (*path) return path;
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    CHECK(n > 0);
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash, sizeof path - (size_t)(slash - path), "/" MIXGRID_BINARY);
    return path;
}

/* How a command ended and what it printed. */
typedef struct outcome {
    int code, signal; /* exit code, -1 when a signal ended it */
    const char *out, *err;
} outcome;

/* Starts mixgrid with words separated by spaces; {} stands for the folder. A word in single quotes
 * may hold spaces. stdout goes to `to`, stderr to the file err of the folder. */
static inline pid_t mixgrid_start_into(const folder *f, const char *line, const char *to) {
    static char text[4096];
    char *argv[MAX_ARGS + 2] = {(char *)mixgrid_path()};
    int n = 1;
    long at = 0;
    for (const char *p = line; *p;) {
        while (*p == ' ') p++;
        if (!*p) break;
        CHECK(n <= MAX_ARGS);
        argv[n++] = text + at;
        const bool quoted = *p == '\'';
        for (p += quoted; *p && *p != (quoted ? '\'' : ' ');) {
            if (!strncmp(p, "{}", 2)) {
                at += snprintf(text + at, sizeof text - (size_t)at, "%s", f->path);
                p += 2;
            } else {
                text[at++] = *p++;
            }
            CHECK(at < (long)sizeof text - 80);
        }
        p += quoted;
        text[at++] = '\0';
    }
    fflush(NULL);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid) return pid;
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    const int out = open(to, flags, 0666), err = open(folder_at(f, "err"), flags, 0666),
              in = open("/dev/null", O_RDONLY);
    dup2(in, 0), dup2(out, 1), dup2(err, 2);
    unsetenv("TERM");
    execv(argv[0], argv);
    _exit(127);
}

static inline pid_t mixgrid_start(const folder *f, const char *line) {
    return mixgrid_start_into(f, line, folder_at(f, "out"));
}

static inline outcome mixgrid_wait(const folder *f, pid_t pid) {
    int how;
    while (waitpid(pid, &how, 0) < 0) CHECK(errno == EINTR);
    return (outcome){.code = WIFEXITED(how) ? WEXITSTATUS(how) : -1,
                     .signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0,
                     .out = folder_read(f, "out"),
                     .err = folder_read(f, "err")};
}

static inline outcome mixgrid(const folder *f, const char *line) {
    return mixgrid_wait(f, mixgrid_start(f, line));
}

/* Process ids of the workers of a scheduler, as /proc names them; how many. */
static inline int workers_of(pid_t *out, int most, pid_t scheduler) {
    char path[80];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", scheduler, scheduler);
    FILE *file = fopen(path, "r");
    int n = 0;
    while (file && n < most && fscanf(file, "%d", &out[n]) == 1) n++;
    if (file) fclose(file);
    return n;
}
