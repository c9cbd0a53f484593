/* optim.h - learning-rate schedules and the optimizer step over a flat parameter buffer. */
#pragma once
#include "sections.h"
#include "tape.h"

/* Learning rate of step 0 .. steps-1 as a share of the peak: linear warm-up, then constant, cosine
 * or linear down to min_lr. By epoch: the value of the first step of the epoch. */
double schedule_at(const train_config *c, long step, long steps, long steps_per_epoch);

/* What differs between the runs of a pack. */
typedef struct optim_run {
    double lr, wd;
    bool active; /* false: frozen; its parameters keep their bits */
} optim_run;

typedef struct optim optim;

/* For the parameters of g; lanes gradient buffers, of which lane 0 receives their sum. All memory
 * comes from the backend; optim_need says how much. */
optim *optim_new(arena *a, const graph *g, const train_config *c, int lanes, error *e);
void optim_free(optim *o); /* may be NULL */
memory_need optim_need(const graph *g, const train_config *c, int lanes);

const graph *optim_model(const optim *o);

/* Buffers of runs x param_n reals, segment-major (kernels.def). */
void *optim_param(optim *o);
void *optim_first(optim *o);  /* first moments */
void *optim_second(optim *o); /* second moments */
void *optim_grad(optim *o, int lane);

/* Settings of one step as the kernels read them, [R, 8] reals: written to host memory here, read
 * on the device from where optim_bind_hyper says. step counts from 1, share is schedule_at. */
enum { OPTIM_HYPER = 8 };
void optim_write_hyper(const optim *o, void *host, const optim_run *run, double share, long step);
void optim_bind_hyper(optim *o, void *device);

void optim_zero_grad(optim *o);
void optim_update(optim *o); /* queues one AdamW step */

void optim_zero_moments(optim *o);
/* 64-bit hash of all parameters of each run, from their bytes; out: [R]. Waits for the device. */
void optim_hash(uint64_t *out, const optim *o);

/* One run's slice of a buffer to or from host doubles or raw bytes, in the order of graph_param.
 * Raw: param_n reals of the backend's own type, for checkpoints that must keep every bit. */
void optim_get_run(const optim *o, const void *buffer, int run, void *raw);
void optim_put_run(const optim *o, void *buffer, int run, const void *raw);
