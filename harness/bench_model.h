/* bench_model.h - how long a training step takes, for `mixgrid bench` and for time estimates. */
#pragma once
#include "job.h"
#include "kernels/core/backend.h"

typedef struct step_time {
    double median_s, min_s;
    double flops; /* of one step, all runs: 3 x forward, the head at scored positions only */
    long steps;   /* measured */
} step_time;

/* A data set of random tokens with `scored` labels per sequence, spread evenly; lives in `a`. */
const task_set *bench_noise(arena *a, int time, int vocab, int scored, error *e);

enum { BENCH_LEAST_STEPS = 8 }; /* with those that warm up */

/* Times whole training steps (data, forward, backward, optimizer) of a job on a data set for about
 * `seconds`, but at least BENCH_LEAST_STEPS of them. The job's own task is not opened: model.vocab
 * and model.max_time must be set. */
status bench_steps(step_time *out, const job *j, const backend *b, const task_set *set,
                   double seconds, error *e);

/* Floating-point operations per second that this backend's matrix product reaches just now: the
 * yardstick of the figures above, as processors change their clock from minute to minute. */
status bench_peak(double *flops_per_s, const backend *b, error *e);

/* The same in `copies` processes at a time, each of which opens the device for itself, so this one
 * must not have; the medians and minima are averaged over them. device: its id, NULL: the first. */
status bench_side_by_side(step_time *out, const job *j, const backend *b, const task_set *set,
                          const char *device, double seconds, int copies, error *e);
