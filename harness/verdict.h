/* verdict.h - the scheduler's word on runs that cannot say themselves how they ended.
 *
 * It goes into the journal of the run and from there into the database (store_run_fail), so that a
 * database made from the journals agrees. */
#pragma once
#include "grid.h"
#include "results/store.h"

/* How a worker process ended. */
typedef struct ending {
    int exit_code, signal; /* exit_code -1: a signal; signal 0: none */
} ending;
ending ending_of(int wait_status);

enum { LOG_TAIL = 4096 };
/* The last bytes of what a worker printed; "" where it printed nothing. */
const char *log_tail(arena *a, const char *path);
/* The last error among them, without "mixgrid: error: "; NULL: none. */
const char *last_words(arena *a, const char *tail);

typedef struct verdict {
    run_state state;
    int exit_code, signal; /* of the worker; 0: none */
    const char *message, *log_tail;
} verdict;

/* On a run whose worker ended without a word in its journal. stopped: it was asked to. The message
 * is in `a`. */
verdict verdict_on(arena *a, ending how, const char *tail, bool stopped);

/* An error where another process is writing that journal: the run lives. */
status verdict_pass(const verdict *v, store *s, const char *journal_folder, const grid_cell *cell,
                    error *e);
