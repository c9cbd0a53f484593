/* op_check.h - the checks that every case of every op must pass (table in kernels/README.md).
 *
 * A check writes the first failure into the subject and returns; it never stops the program, so
 * that the test of the checks can plant a fault and ask whether it was found. */
#pragma once
#include "op_trial.h"

enum { MAX_FAST = 4 };

typedef struct subject {
    arena *arena; /* of the case; ends with it */
    trial *trials;
    enum op_id id;
    int case_no;
    const backend *exact;          /* double */
    const backend *fast[MAX_FAST]; /* float builds and devices, open */
    int n_fast;
    const char *program; /* argv[0], for the command that reruns the case */
    op_data *data;       /* 3 runs */
    const trial *plain[MAX_FAST + 1];
    int n_plain;
    bool every_order; /* of the running check */
    bool failed;
    char failure[1024];
} subject;

enum {
    EVERY_ORDER = 1,   /* takes every thread order of an emulated device, not only the first */
    ONLY_EMULATED = 2, /* compares thread orders */
    NOT_EMULATED = 4,  /* looks at the double build only */
};

typedef struct check {
    const char *name;
    void (*run)(subject *);
    unsigned flags;
} check;

/* Ended by a NULL name. */
extern const check all_checks[];
/* Whether this program (op_test or emu_op_test) runs the check. */
bool check_applies(const check *c);
/* Runs it on s->data, if it applies. */
void check_run(subject *s, const check *c);

/* Sets up s->data and runs all checks but the registry entry's. */
void subject_check(subject *s);
bool subject_draw(subject *s);
/* Ends the arena and every trial in it. */
void subject_free(subject *s);

/* Checks the table entry itself: it has cases, a math line, a legal number of inputs. */
void check_entry(subject *s);
