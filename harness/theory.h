/* theory.h - hand-built weights whose behaviour theory predicts, measured on the real engine.
 *
 * Nothing is trained: the tape of a case is made of the ops that models are made of, its parameters
 * are written by hand, its data come from the task generators. A wrong kernel, filter direction,
 * mask or generator shows as a missed prediction. */
#pragma once
#include "kernels/core/backend.h"

typedef enum theory_build {
    BUILD_KEY_DELAY,   /* q_t = norm(F*x)_t, k_j = norm(F*x)_{j-1}, v_j = x_j */
    BUILD_VALUE_SHIFT, /* q_t = norm(F*x)_t, k_j = norm(F*x)_j, v_j = x_{j+1} */
    BUILD_QUERY_ONLY,  /* q_t = norm(F*x)_t, k_j = v_j = x_j */
    BUILD_COPY,        /* q_t = -sum_i ratio^i x_{t-i}, k_j = v_j = x_j */
    BUILD_LANDMARK,    /* key of a block = sum of its tokens; no attention, only the choice */
} theory_build;

typedef enum theory_quantity {
    QUANTITY_ACCURACY,  /* share of scored positions whose largest logit is the label's */
    QUANTITY_SEQUENCES, /* share of examples with every scored position right */
    QUANTITY_ELSEWHERE, /* mean attention mass that is not on the answer's position */
} theory_quantity;

typedef struct theory_case {
    const char *check, *name; /* "T1", "key delay" */
    theory_build build;
    theory_quantity quantity;
    int n;             /* tokens of the query (N); copy: data tokens; landmark: tokens of a block */
    int length;        /* tokens of a sequence; copy: noise tokens; landmark: blocks */
    int vocab;         /* ids, the special ones included; landmark: unused */
    int dim;           /* channels; copy: unused, embeddings are the unit vectors */
    int width;         /* taps of F; copy, landmark: unused */
    double ratio;      /* F_j = ratio^j; copy, 0: 1 - 1/length */
    double sharpness;  /* c: scores are c <q, k> */
    int tables, batch; /* embedding tables (landmark: contexts), examples measured with each */
    double expected, tolerance;
} theory_case;

extern const theory_case theory_cases[];
extern const int n_theory_cases;
extern const char *const theory_quantity_name[];

/* "N=3 L=64 V=8 d=16 W=2 c=1000", in a. */
const char *theory_setting(arena *a, const theory_case *c);

typedef struct theory_result {
    double measured;
    long examples;
} theory_result;

/* Measures a case with at most `tables` of its tables (0: all). The same numbers on every call. */
status theory_measure(theory_result *out, const theory_case *c, const backend *b, int tables,
                      error *e);
