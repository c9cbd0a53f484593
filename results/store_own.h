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
/* Ends the transaction: commits, or rolls back when `e` holds an error. */
status store_commit(store *s, error *e);
