/* sweep_own.h - one sweep under way: what the files of the scheduler share; for nobody else.
 *
 * schedule.c has the loop: packs go from the queue to idle slots. settle.c is about what became of
 * them. */
#pragma once
#include "claim_pack.h"
#include "progress.h"
#include "rounds.h"
#include "schedule.h"
#include "worker_process.h"

enum { MAX_WORKERS = 256 };

/* Where one worker at a time is. */
typedef struct slot {
    worker_process worker; /* pid 0: idle */
    int device;
    pack *pack;
    double start_s;
} slot;

/* Packs still to run, in order. */
typedef struct pack_queue {
    pack **pack;
    int n, cap, next; /* [next, n) are still to run */
    long runs;        /* in these */
    double cost;      /* of these */
} pack_queue;

typedef struct sweep {
    const grid *grid;
    const schedule_options *options;
    sweep_outcome *out;
    arena *arena;
    const char *db;      /* that this scheduler writes: its own if it has a share */
    const int *share_of; /* [grid->n] share.h; NULL: all cells are its own */
    home home;
    store *store;
    claim_folder shared;
    rounds *rounds; /* of early_terminate; NULL: there is one */
    device_set devices;
    const char **environment_json; /* [devices] */
    double *mem_free;              /* [devices] bytes not promised to a worker */
    double room;                   /* of the largest device, empty */
    slot slot[MAX_WORKERS];
    int slots;
    pack_queue queue;
    progress_view *view;
    double import_s;    /* when running packs were imported last */
    int signals_passed; /* to the workers */
    bool stopping;
} sweep;

/* Behind the others. */
void sweep_enqueue(sweep *w, pack *p);

/* Packs whose worker has ended: its runs are counted, or put into the queue again. */
status settle_ended(sweep *w, error *e);
/* A run has come to its end in this sweep, or was refused. */
void settle_count(sweep *w, const grid_cell *cell, const store_run *run, double wall_s);
/* What the worker of a slot has sent by now. */
void settle_progress(sweep *w, int index);
