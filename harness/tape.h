/* tape.h - a planned model bound to memory: one lane of training, or an evaluator. */
#pragma once
#include "job.h"

typedef struct tape {
    model model;
    void *memory;    /* the arena of activations */
    int batch, time; /* sequences per replay (micro-batch), T */
    arena *arena;
} tape;

/* What something will ask of a backend: bytes of its tensors with the staging memory on the host
 * that goes with them, and scratch, which all that runs on one device shares. */
typedef struct memory_need {
    size_t bytes, scratch;
} memory_need;

/* Largest divisor of `batch` whose planned arena, for one run and in float, is at most tape_bytes
 * of the backend (on a CPU, what stays in the L2 cache) or, for models whose weights do not fit
 * there anyway, as large as the weights and gradients that every replay streams; at least 1. A
 * function of backend and shapes alone: gradient sums, and with them every bit, depend on it.
 * Training is planned with dropout, used or not, as a run without may share its tape with one that
 * has it. */
int tape_micro_batch(const backend *b, const model_spec *spec, int time, int batch, bool training);

/* Builds and plans, allocates nothing: for sizes. */
status tape_plan(tape *t, const backend *b, const model_spec *spec, int runs, int batch, int time,
                 bool dropout, bool training, head_mode head, error *e);
/* Builds, plans, allocates, and reserves the scratch of its kernels. */
status tape_new(tape *t, const backend *b, const model_spec *spec, int runs, int batch, int time,
                bool dropout, bool training, head_mode head, error *e);
void tape_free(tape *t);

/* Scratch in bytes that the kernels of a planned graph take; it must be bound again afterwards. */
size_t graph_scratch(graph *g);
