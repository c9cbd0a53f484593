/* error.h - how anything fails.
 *
 * Three kinds of failure: a bug stops the program (BUG); what the user or the system did wrong
 * becomes a status plus one full sentence that names the file, line or field, the value and the
 * remedy; a device reports its first error when it is synchronised.
 * A status is also the exit code of the program, so that no second table is needed. */
#pragma once
#include <stdarg.h>
#include <stdbool.h>

typedef enum status {
    STATUS_OK = 0,
    STATUS_RUNS_FAILED = 1,  /* the sweep finished, some of its runs did not */
    STATUS_USAGE = 2,        /* command line or configuration */
    STATUS_ENVIRONMENT = 3,  /* file system, memory, missing program, device */
    STATUS_INTERRUPTED = 75, /* stopped by a signal: run the same command again */
} status;

typedef struct error {
    status code;
    char text[1024]; /* one sentence, no trailing newline; one that is too long ends in "..." */
} error;

/* Fills `e` unless it already holds an error (the first one is the cause), returns `code`. */
status error_set(error *e, status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with what went wrong beside, if anything did: for work that goes on behind a failure and
 * must not find it in its own error. */
status error_join(error *e, const error *beside);

/* Prints the sentence and the source position on stderr, then aborts: an invariant is broken. */
_Noreturn void bug_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define BUG(...)         bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) ((condition) ? (void)0 : BUG("%s is false", #condition))
