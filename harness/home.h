/* home.h - where a sweep lives: a database, and the folders beside it. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

typedef struct home {
    const char *journal, *log, *checkpoint;
} home;

/* "out/results.db" -> "out/journal" ... in `a`; nothing is created. */
home home_of(arena *a, const char *db);
/* Creates them. */
status home_make(const home *h, error *e);
/* What the worker of a pack prints: "out/log/ID.log" of its first run. */
const char *home_log(arena *a, const home *h, const char *run_id);

/* One that is there already is fine. */
status make_folder(const char *path, error *e);
