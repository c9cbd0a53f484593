/* store_own.h - what the files of the store share; for nobody else. */
#pragma once
#include "sql.h"
#include "store.h"

struct store {
    arena *arena;
    sql q;
    int lock; /* descriptor, -1 when read-only */
};

/* Adds the run and its settings unless it is there. config_json: a JSON object. */
status store_config(store *s, const char *run_id, const char *config_json, error *e);
/* Opens a file that nobody else knows, without a lock and without care for power loss; creates the
 * tables, or brings those of an older version up to date. `known_as`: the path for messages and
 * for what is named after the database. Damaged: NULL, no error, and `why` says how. */
store *store_open_private(const char *file, const char *known_as, char why[256], error *e);
/* Adds the rows of bench.jsonl that the table bench lacks; no such file: nothing to do. A wrong
 * line is an error that names it; the lines before it are kept. */
status store_bench_import(store *s, const char *journal_folder, error *e);
/* Appends the rows of the table bench that bench.jsonl lacks. */
status store_bench_save(store *s, const char *journal_folder, error *e);
/* Ends the transaction: commits, or rolls back when `e` holds an error. */
status store_commit(store *s, error *e);
