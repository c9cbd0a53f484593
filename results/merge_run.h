/* merge_run.h - one run of another machine; for merge.c only. */
#pragma once
#include "claim.h"
#include "merge.h"

typedef struct merger {
    store *s;
    const char *journals; /* our folder */
    const char *source;   /* as the user named it */
    char *scratch;        /* a folder that is removed at the end */
    bool prefer_theirs;   /* where both have a result */
    int claims;
    merge_counts *counts;
    FILE *notes;
} merger;

/* Joins `folder`/RUN.jsonl by the rules of store_merge and counts what became of it. */
status merge_run(merger *m, const char *folder, const char *run, error *e);
