/* store.h - the results database: SQLite, written by one process only.
 *
 * Schema: schema.sql (STRICT tables, views), documented in results/README.md. The scheduler opens
 * the store for writing and holds a lock file next to it; readers (query, report, status) open it
 * read-only and need no lock. */
#pragma once
#include "journal.h"
#include "kernels/core/arena.h"

#include <sqlite3.h>

typedef struct store store;

/* Creates the database if it is missing, takes the writer lock (host, pid, start time in
 * PATH.lock; a dead owner's lock is taken over, a live one is named in the error), checks
 * application_id, user_version and quick_check; a damaged file is moved aside, said so, and must be
 * rebuilt from the journals by the caller (`*needs_rebuild` is set). */
store *store_open(const char *path, bool *needs_rebuild, error *e);
/* Read only; a missing file is an error that names the command that creates it. */
store *store_open_readonly(const char *path, error *e);
/* Folds the write-ahead log into the database, for writers that want to know whether that worked.
 * Where a reader uses the log, it stays: no error. */
status store_fold(store *s, error *e);
/* Folds, and leaves one plain file, readable from read-only media. s may be NULL. */
void store_close(store *s);
sqlite3 *store_handle(store *s);
/* In a forked child that goes on without exec: lets go of the lock it inherited, so that it ends
 * with its owner. The child must not use or close the store. */
void store_detach(store *s);

/* One experiment = one grid file. spec_json: everything a report needs (text of the grid file,
 * axes, select, published, report settings); see results/README.md. Replaces the cells of an
 * earlier version of the same experiment, never the runs. *changed (may be NULL): it was not there
 * as it is. */
typedef struct store_cell {
    const char *run_id, *config_json; /* flat object: {"model.d_model":64,...} */
    const char *label;     /* the axis values of this cell: "mixer=cat lr=0.001 seed=0" */
    const char *axes_json; /* flat object of the axis keys of this cell and their values */
} store_cell;
status store_experiment(store *s, const char *name, const char *file, const char *spec_json,
                        const store_cell *cells, int n, bool *changed, error *e);

/* Imports every new complete line of a journal in one transaction; idempotent. Finished runs appear
 * with state, final values and metrics. No journal yet: nothing to do. Another journal under the
 * same name: what came from the first is deleted, unless the other is damaged. A damaged line is an
 * error that names it; the lines before it are kept. */
status store_import(store *s, const char *journal_folder, const char *run_id, error *e);
/* Imports all journals of a folder, in the order of their names, and counts them (`n_runs` may be
 * NULL), and the experiments beside them that the database lacks. One that fails does not stop the
 * others; the first error is returned. Measured speeds come along. */
status store_import_all(store *s, const char *journal_folder, long *n_runs, error *e);
/* Deletes what the imports of a run brought; its configuration and cells stay. */
status store_forget(store *s, const char *run_id, error *e);
/* Writes a run that was tried out as journal_folder/RUN.jsonl, from its rows; importing it gives
 * the same rows. Replaces a journal that is there. */
status store_export_run(store *s, const char *journal_folder, const char *run_id, error *e);
/* Makes all tables again from the journals, in one step: readers see the old rows or the new ones.
 * What only the database knows goes into the folder first: runs without a journal (`*n_written`
 * counts them), experiments without a file, measured speeds. A journal that is wrong leaves the old
 * rows in place; what is new in the others is added. */
status store_rebuild(store *s, const char *journal_folder, long *n_runs, long *n_written, error *e);

/* What the scheduler needs to know of a run; RUN_PENDING when it is unknown. */
typedef struct store_run {
    run_state state;
    long attempts;
    double wall_s; /* sum over attempts */
    char message[512];
} store_run;
status store_run_get(store *s, const char *run_id, store_run *out, error *e);
/* The last point of a curve (of the whole split) up to a step. step -1: there is none; a value that
 * is not finite is NAN. */
typedef struct store_value {
    long step;
    double value;
} store_value;
status store_value_at(store_value *out, store *s, const char *run_id, const char *split,
                      const char *name, long upto, error *e);
/* Scheduler's own verdict on a run whose worker died or never started. signal: 0 or the signal;
 * log_tail: its stderr, of which the last 4 KB are kept. Written to the run's journal as well
 * (rebuild must agree). It ends the last attempt if that has no end, and otherwise counts as one
 * more attempt, which never started: a run that ended by itself needs no verdict. */
status store_run_fail(store *s, const char *journal_folder, const char *run_id,
                      const char *config_json, run_state state, int exit_code, int signal_number,
                      const char *message, const char *log_tail, error *e);

/* Runs with a result whose last attempt was made by other code than `environment_json` names
 * (provenance.h): neither the same binary nor the same commit, both without changes of its own. */
typedef struct store_stale_runs {
    const char **run_id; /* [n], in order */
    long n;
} store_stale_runs;
status store_stale(store_stale_runs *out, arena *a, store *s, const char *environment_json,
                   error *e);
bool store_is_stale(const store_stale_runs *stale, const char *run_id);

/* One measured speed (`mixgrid bench`), into the table and into journal_folder/bench.jsonl. time_s:
 * Unix seconds; environment_json: provenance. */
typedef struct store_bench {
    double time_s, value;
    const char *name, *shape, *backend, *unit, *environment_json;
} store_bench;
status store_bench_add(store *s, const char *journal_folder, const store_bench *row, error *e);

/* Hash of everything that must be equal when the same sweep is run twice: ids, configurations,
 * states, metrics, finals, parameter hashes; not times, attempts, hosts. 64 hex digits + NUL. */
status store_content_hash(store *s, char out[65], error *e);
/* The same for one run. */
status store_run_hash(store *s, const char *run_id, char out[65], error *e);
