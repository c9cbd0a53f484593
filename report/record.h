/* record.h - one experiment read from the results database into memory.
 *
 * The only file of this room that speaks SQL. Everything else works on these structs, in the order
 * in which they are stored here: axes as in the grid file, cells by position, runs by id, finals by
 * (split, slice, name). Reads only. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"
#include "results/journal.h"

#include <jansson.h>
#include <sqlite3.h>

#define AXIS_BIT(i) (1ul << (i))
enum { MAX_AXES = 60 }; /* sets of axes are bits of an unsigned long */

typedef struct record_final {
    const char *split, *slice, *name;
    double value; /* NAN or infinite where the run said so */
} record_final;

typedef struct record_run {
    const char *id, *mixer, *task, *message, *log_tail;
    run_state state;
    long seed, params;                                     /* params < 0: not known */
    double state_size, flops_per_token, mem_bytes, wall_s; /* NAN: not known */
    long attempts;
    int exit_code, signal_number; /* of the last attempt; 0 where it ended by itself */
    json_t *config;               /* flat object */
    record_final *final;          /* [n_final] */
    int n_final, cap_final;
} record_run;

/* One varying key. A cell that lacks it (axes of `when:` blocks) has value index -1. */
typedef struct axis {
    const char *key, *name; /* "model.mixer", "mixer" */
    bool numeric;           /* all values are numbers: sorted; else in the order of the grid */
    bool seed;              /* the replication unit: never a row */
    bool over;              /* chosen on val, per row */
    bool partial;           /* some cells lack it */
    bool task_side;         /* says what is measured, not how: task.*, data.*, eval.* */
    int n, cap;
    const char **value; /* [n] */
    double *number;     /* [n] when numeric */
} axis;

typedef struct record_cell {
    const char *label;
    record_run *run;
    int *value; /* [n_axis] index into axis.value, -1: absent */
} record_cell;

typedef struct record_environment {
    json_t *json;
    long n_runs;
} record_environment;

typedef struct record {
    arena *arena;
    const char *name, *grid, *description; /* text of the grid file, its leading comment */
    json_t *spec;
    axis *axis;
    int n_axis, cap_axis;
    const char **determined; /* [n_determined] keys that vary but follow from the axes */
    int n_determined;
    record_cell *cell;
    int n_cell, cap_cell;
    record_run *run; /* distinct runs, by id */
    int n_run;
    record_environment *environment;
    int n_environment, cap_environment;
    /* select: */
    const char *by_split, *by_slice, *by_name; /* NULL: nothing is selected */
    bool by_max;
    int n_by_state[N_RUN_STATE];
} record;

/* Reads experiment `name` (or the one whose grid file is `name`). An unknown name lists what there
 * is, nearest first. The record holds JSON: give it back with record_free, also after an error. */
status record_load(record *out, arena *a, sqlite3 *db, const char *name, error *e);
void record_free(record *r);

/* Final value of a run; NAN when it is missing. */
double run_final(const record_run *run, const char *split, const char *slice, const char *name);
bool run_has_final(const record_run *run, const char *split, const char *slice, const char *name);
/* A failure is a result: it counts against a method. Runs that are not over yet do not. */
bool run_failed(const record_run *run);
/* A setting as text (strings bare, the rest as JSON), or NULL. */
const char *run_setting(const record *r, const record_run *run, const char *key);
/* A setting as a number, or NAN. */
double run_number(const record_run *run, const char *key);
/* Accuracy of guessing on a task, from `report: {chance: ...}`; NAN: not known. */
double record_chance(const record *r, const char *task);
/* Setting `key` of report: in the grid file, or NULL. */
json_t *record_report(const record *r, const char *key);
/* The axis called so by its key or by its short name; NULL: none. */
const axis *record_axis(const record *r, const char *key);
/* A JSON value as text: strings bare. */
const char *json_plain(arena *a, const json_t *value);

typedef struct curve {
    int n, cap;
    long *step;
    double *value;
} curve;

/* The logged values of one run by step, finite ones only. */
status record_curve(curve *out, arena *a, sqlite3 *db, const record_run *run, const char *split,
                    const char *name, error *e);
