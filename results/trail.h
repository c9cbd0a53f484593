/* trail.h - the trail of a run (parameter hashes, points, final values), for training it again and
 * holding the repetition to it: `mixgrid verify`. */
#pragma once
#include "compare.h"

typedef struct recorded_run {
    char id[128];
    const char *config_json, *commit;
    const char *backend; /* of the last attempt that names one; NULL: none does */
    run_state state;
    long log_every; /* the most steps between logged ones so that all hashes are among them */
    long last_step; /* of the hashes; 0: there are none */
} recorded_run;
/* Finds the run by the beginning of its id. Texts are in `a`. */
status trail_find(recorded_run *out, arena *a, store *s, const char *run, error *e);

typedef struct trail {
    long hashes, points, finals;             /* compared */
    long bad_hashes, bad_points, bad_finals; /* of these, different or missing */
    long left_out;     /* training means that were taken over other steps: not compared */
    bool same_state;   /* done, diverged ...; true unless `whole` */
    const char *first; /* "train loss at step 5: recorded 0.5, now 0.25 (0.25 apart)", or NULL */
    const char *now_state;
} trail;
/* The first run of the comparison against its repetition, which may have logged more steps. whole:
 * both ended the same way, so final values are compared and neither goes on for longer. */
status trail_compare(trail *out, arena *a, comparison *c, bool whole, error *e);
