/* op_check.h - the checks that every case of every op must pass (table in kernels/README.md).
 *
 * A check writes the first failure into the subject and returns; it never stops the program, so
 * that the test of the checks can plant a fault and ask whether it was found. */
#pragma once
#include "op_trial.h"

typedef struct subject {
    arena *arena; /* of the case; ends with it */
    enum op_id id;
    int case_no;
    const backend *exact;   /* double */
    const backend *fast[2]; /* float builds that this processor runs */
    int n_fast;
    const char *program; /* argv[0], for the command that reruns the case */
    op_data *data;       /* 3 runs */
    bool failed;
    char failure[1024];
} subject;

typedef struct check {
    const char *name;
    void (*run)(subject *);
} check;

/* Ended by a NULL name. */
extern const check all_checks[];

/* Sets up s->data and runs all checks but the registry entry's. */
void subject_check(subject *s);
bool subject_draw(subject *s);

/* Checks the table entry itself: it has cases, a math line, a legal number of inputs. */
void check_entry(subject *s);
