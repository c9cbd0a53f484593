/* compare_own.h - what compare.c and trail.c share; for nobody else. */
#pragma once
#include "compare.h"
#include "store_own.h"

struct comparison {
    arena *arena;
    store *a; /* the second database is attached as `b` */
    const char *db_a, *db_b;
    char run_a[128], run_b[128];
};
