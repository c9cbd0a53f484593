/* pack.h - runs that one worker trains together, as the scheduler deals them out. */
#pragma once
#include "grid.h"

typedef struct pack {
    int n;
    const grid_cell **cell; /* [n] */
    long *attempt;          /* [n] number of the next attempt */
    double cost;      /* floating-point operations of the whole training and its evaluations */
    double mem_bytes; /* exact: everything a worker allocates for tensors */
    long pause_at;    /* step at which its runs pause; 0: never */
    const char *data; /* task_set.data as it was planned */
    bool again;       /* although a run has a result */
    int crashes;      /* times its worker died by a signal */
    double wait_s;    /* another process has its runs: not before this time of the steady clock */
} pack;

/* No runs yet, room for `most` in `a`, and all else as in this pack, cost and memory too. */
pack pack_like(const pack *p, int most, arena *a);
/* Appends run i of another pack. */
void pack_add(pack *to, const pack *from, int i);
