/* fault_fixture.h - what tests that break things share: a program that must end in time, the
 * results it left, and the rows of the table "Broken on purpose" in results/README.md. */
#pragma once
#include "train_fixture.h"

#include <time.h>

enum { PATIENCE_S = 60 };

/* Waits for mixgrid; .signal SIGALRM: it hung and was killed. */
static inline outcome mixgrid_end_in_time(const folder *f, pid_t pid) {
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < PATIENCE_S * 500; i++) {
        int how;
        if (waitpid(pid, &how, WNOHANG) == pid)
            return (outcome){WIFEXITED(how) ? WEXITSTATUS(how) : -1,
                             WIFSIGNALED(how) ? WTERMSIG(how) : 0, folder_read(f, "out"),
                             folder_read(f, "err")};
        nanosleep(&pause, NULL);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return (outcome){-1, SIGALRM, "", folder_read(f, "err")};
}

/* An exit code of harness/README.md, by itself? */
static inline bool is_documented_end(const outcome *o) {
    return !o->signal && o->code >= 0 &&
           (o->code <= STATUS_ENVIRONMENT || o->code == STATUS_INTERRUPTED);
}

/* Content hash of a database itself, not of one made from the journals; "" where it cannot be
 * read. */
static inline const char *hash_in(const folder *f, const char *db) {
    error e = {0};
    char *text = arena_alloc(f->arena, 65);
    store *s = store_open_readonly(folder_at(f, db), &e);
    if (s && store_content_hash(s, text, &e)) *text = '\0';
    store_close(s);
    return text;
}

/* From one tried place to the next: MIXGRID_FAULT_STEP, or what gives `sample` of them. */
static inline long fault_step(long all, long sample) {
    const char *asked = getenv("MIXGRID_FAULT_STEP");
    const long step = asked ? strtol(asked, NULL, 10) : (all + sample - 1) / sample;
    CHECK(all > 0 && step > 0); /* or nothing is tried */
    return step;
}

/* The first tried place, from 1. */
static inline long fault_first(void) {
    const char *asked = getenv("MIXGRID_FAULT_FIRST");
    const long first = asked ? strtol(asked, NULL, 10) : 1;
    CHECK(first > 0);
    return first;
}

/* Is this row left out by MIXGRID_FAULT_ONLY? */
static inline bool fault_is_left_out(const char *name) {
    const char *only = getenv("MIXGRID_FAULT_ONLY");
    return only && !strstr(name, only);
}

/* With MIXGRID_FAULT_TABLE=FILE a row of the table is appended to that file. */
static inline void fault_row(const char *what, const char *tried, long survived, long lost) {
    const char *path = getenv("MIXGRID_FAULT_TABLE");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "| %s | %s | %ld | %ld |\n", what, tried, survived, lost);
    fclose(file);
}
