/* tape.h - a planned model bound to memory: one lane of training, or an evaluator. */
#pragma once
#include "job.h"

typedef struct tape {
    model model;
    void *memory;    /* the arena of activations */
    int batch, time; /* sequences per replay (micro-batch), T */
    arena *arena;
} tape;

/* Largest divisor of `batch` whose planned arena, for one run and in float, is at most tape_bytes
 * of the backend (on a CPU, what stays in the L2 cache) or, for models whose weights do not fit
 * there anyway, as large as the weights and gradients that every replay streams; at least 1. A
 * function of backend and shapes alone: gradient sums, and with them every bit, depend on it.
 * Training is planned with dropout, used or not, as a run without may share its tape with one that
 * has it. */
int tape_micro_batch(const backend *b, const model_spec *spec, int time, int batch, bool training);

/* Builds, plans and allocates. Returns false and one sentence when it cannot. */
status tape_new(tape *t, const backend *b, const model_spec *spec, int runs, int batch, int time,
                bool dropout, bool training, head_mode head, error *e);
void tape_free(tape *t);
/* Bytes that tape_new would allocate. */
status tape_bytes(size_t *bytes, const backend *b, const model_spec *spec, int runs, int batch,
                  int time, bool dropout, bool training, error *e);
