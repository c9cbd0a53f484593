/* evaluate.h - loss and accuracy of a pack on held-out data, whole and per slice. */
#pragma once
#include "tape.h"

/* Sums over examples in index order, in double: independent of how examples are batched. */
typedef struct score {
    double nll;
    long scored, right; /* positions */
    long sequences,
        sequences_right; /* examples with at least one scored position; all of them right */
} score;

typedef struct slice_score {
    const char *slice; /* "gap=8" */
    int kind, value;
    score score;
} slice_score;

typedef struct evaluation {
    score all;
    slice_score *slice; /* sorted by kind, then value */
    int n_slices, cap_slices;
} evaluation;

/* Scores all examples of a split under parameters `param` (flat buffer of the
 * pack). data[r]: the set of run r, all of one length. out: [R]. */
status evaluate(evaluation *out, arena *a, const job *j, const backend *b, void *param,
                const task_set *const *data, split which, error *e);

/* What evaluation at this length takes from the backend. */
status evaluate_need(memory_need *out, const job *j, const backend *b, int time, error *e);

double score_loss(const score *s);
double score_token_acc(const score *s);
double score_seq_acc(const score *s);
