/* claim_pack.h - schedulers that share a journal folder: several databases in one folder, or one
 * folder seen by several machines. A run is trained by one of them at a time, and what one has
 * finished the others take over from its journal. */
#pragma once
#include "plan_sweep.h"

typedef struct claim_folder {
    int claims; /* see results/claim.h */
    const char *journals;
    store *store;
} claim_folder;

/* Claims the runs of a pack. Afterwards `p` holds those that are ours to train now, `busy` those
 * another process is working on, `ended` those that have come to an end since they were planned,
 * which is in the database now. What is not in `p` is not claimed. All else of the three is as it
 * was in `p`; cost and memory are those of the whole. They live in `a`. */
status claim_pack_take(pack *p, pack *busy, pack *ended, arena *a, const claim_folder *f, error *e);
void claim_pack_release(const pack *p, const claim_folder *f);
