/* trainer.c - see trainer.h. */
#include "trainer.h"

#include "kernels/core/rng.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LANES = 4 }; /* of any backend */

/* Batches on the host, [R, B, T] each. */
typedef struct host_batch {
    int *ids, *labels;
    double *scale; /* [R] 1 / scored positions of the run's batch */
} host_batch;

typedef struct lane {
    trainer *trainer;
    int index;
    tape tape;
    step_result *result; /* [R] of this lane's micro-batches */
    int *pred;           /* [R, b, T] */
    double *nll;         /* [R, b, T] */
} lane;

struct trainer {
    const job *job;
    const backend *backend;
    const task_set *const *data; /* [R] */
    int runs, batch_n, micro, time, lanes, threads;
    lane lane[MAX_LANES];
    optim *optim;
    host_batch batch;
    long step;
    /* thread pool: workers take lanes index, index + threads, ... of each step */
    pthread_t worker[MAX_LANES];
    int started;
    pthread_barrier_t begin, end;
    bool quit;
};

bool job_has_dropout(const job *j) {
    for (int r = 0; r < j->runs; r++)
        if (j->run[r].dropout > 0 || j->run[r].embed_dropout > 0) return true;
    return false;
}

static int lane_count(const backend *b, int batch, int micro) {
    const int parts = batch / micro;
    return parts < b->lanes ? parts : b->lanes;
}

status trainer_bytes(size_t *bytes, const job *j, const backend *b, int time, error *e) {
    const bool dropout = job_has_dropout(j);
    const int batch = (int)j->train.batch;
    const int micro = tape_micro_batch(b, &j->model, time, batch, true);
    const int lanes = lane_count(b, batch, micro);
    size_t tape_size;
    status s = tape_bytes(&tape_size, b, &j->model, j->runs, micro, time, dropout, true, e);
    if (s) return s;
    model_cost cost;
    if ((s = model_measure(&cost, &j->model, time, e))) return s;
    const size_t params = (size_t)j->runs * (size_t)cost.params * b->real_bytes;
    *bytes = (size_t)lanes * tape_size + optim_bytes(params, lanes) +
             2 * (size_t)j->runs * (size_t)batch * (size_t)time * sizeof(int);
    return STATUS_OK;
}

/* Draws the batch of this step; runs with equal data seeds share one set, which is drawn once. */
static void draw_batch(trainer *t) {
    const long per_run = (long)t->batch_n * t->time;
    for (int r = 0; r < t->runs; r++) {
        int *ids = t->batch.ids + r * per_run, *labels = t->batch.labels + r * per_run;
        int twin = 0;
        while (twin < r && t->data[twin] != t->data[r]) twin++;
        if (twin < r) {
            memcpy(ids, t->batch.ids + twin * per_run, (size_t)per_run * sizeof *ids);
            memcpy(labels, t->batch.labels + twin * per_run, (size_t)per_run * sizeof *labels);
            t->batch.scale[r] = t->batch.scale[twin];
            continue;
        }
        for (long i = 0; i < t->batch_n; i++) {
            task_example x = {ids + i * t->time, labels + i * t->time, NULL};
            task_get(t->data[r], SPLIT_TRAIN, (uint64_t)(t->step * t->batch_n + i), &x);
        }
        long scored = 0;
        for (long i = 0; i < per_run; i++) scored += labels[i] >= 0;
        t->batch.scale[r] = scored ? 1.0 / (double)scored : 0;
    }
}

static void load_micro_batch(lane *l, int part) {
    const trainer *t = l->trainer;
    const model *m = &l->tape.model;
    const long rows = (long)t->micro * t->time, per_run = (long)t->batch_n * t->time;
    const size_t bytes = (size_t)rows * sizeof(int);
    for (int r = 0; r < t->runs; r++) {
        t->backend->put((int *)m->ids->x + r * rows, t->batch.ids + r * per_run + part * rows,
                        bytes);
        t->backend->put((int *)m->label->x + r * rows, t->batch.labels + r * per_run + part * rows,
                        bytes);
    }
    if (m->tick) {
        const int tick[3] = {(int)t->step, part * t->micro, 1};
        t->backend->put(m->tick->x, tick, sizeof tick);
    }
}

static void measure(lane *l, int part) {
    const trainer *t = l->trainer;
    const model *m = &l->tape.model;
    const long rows = (long)t->micro * t->time, per_run = (long)t->batch_n * t->time;
    backend_get_reals(t->backend, l->nll, m->nll->x, (size_t)(t->runs * rows));
    t->backend->get(l->pred, m->pred->x, (size_t)(t->runs * rows) * sizeof(int));
    for (int r = 0; r < t->runs; r++) {
        const int *label = t->batch.labels + r * per_run + part * rows;
        for (long i = 0; i < rows; i++) {
            if (label[i] < 0) continue;
            l->result[r].nll_sum += l->nll[r * rows + i];
            l->result[r].scored++;
            l->result[r].right += l->pred[r * rows + i] == label[i];
        }
    }
}

static void run_lane(lane *l) {
    const trainer *t = l->trainer;
    memset(l->result, 0, (size_t)t->runs * sizeof *l->result);
    backend_put_reals(t->backend, l->tape.model.scale->x, t->batch.scale, (size_t)t->runs);
    for (int part = l->index; part < t->batch_n / t->micro; part += t->lanes) {
        load_micro_batch(l, part);
        graph_forward(l->tape.model.g);
        graph_backward(l->tape.model.g);
        measure(l, part);
    }
}

static void run_lanes_of(trainer *t, int thread) {
    for (int i = thread; i < t->lanes; i += t->threads) run_lane(&t->lane[i]);
}

typedef struct worker_start {
    trainer *trainer;
    int thread;
} worker_start;

static void *worker_main(void *start) {
    trainer *t = ((worker_start *)start)->trainer;
    const int thread = ((worker_start *)start)->thread;
    for (;;) {
        pthread_barrier_wait(&t->begin);
        if (t->quit) return NULL;
        run_lanes_of(t, thread);
        pthread_barrier_wait(&t->end);
    }
}

/* A thread that cannot be had ends the process: the ones already waiting cannot be called off. */
static void start_threads(trainer *t, arena *a) {
    if (t->threads == 1) return;
    pthread_barrier_init(&t->begin, NULL, (unsigned)t->threads);
    pthread_barrier_init(&t->end, NULL, (unsigned)t->threads);
    for (int i = 1; i < t->threads; i++) {
        worker_start *start = ARENA_NEW(a, worker_start, 1);
        *start = (worker_start){t, i};
        if (pthread_create(&t->worker[i], NULL, worker_main, start)) {
            fprintf(stderr,
                    "mixgrid: could not start thread %d of train.threads: %d; ask for fewer.\n",
                    i + 1, t->threads);
            exit(STATUS_ENVIRONMENT);
        }
        t->started = i;
    }
}

/* Values that stay the same over all steps: dropout rates and keys. */
static void put_constants(trainer *t, arena *a) {
    const job *j = t->job;
    if (!t->lane[0].tape.model.rate) return;
    double *rate = ARENA_NEW(a, double, t->runs), *embed_rate = ARENA_NEW(a, double, t->runs);
    int *key = ARENA_NEW(a, int, 2 * t->runs);
    for (int r = 0; r < t->runs; r++) {
        rate[r] = j->run[r].dropout;
        embed_rate[r] = j->run[r].embed_dropout;
        rng_key k = rng_key_make(j->run[r].seed, "dropout", NULL, 0);
        memcpy(key + 2 * r, k.word, sizeof k.word);
    }
    for (int i = 0; i < t->lanes; i++) {
        const model *m = &t->lane[i].tape.model;
        backend_put_reals(t->backend, m->rate->x, rate, (size_t)t->runs);
        backend_put_reals(t->backend, m->embed_rate->x, embed_rate, (size_t)t->runs);
        t->backend->put(m->key->x, key, 2 * (size_t)t->runs * sizeof(int));
    }
}

void trainer_reset(trainer *t) {
    arena *a = arena_new();
    const graph *g = trainer_graph(t);
    double *values = ARENA_NEW(a, double, g->param_n);
    void *raw = arena_alloc(a, g->param_n * t->backend->real_bytes); /* zeroed */
    for (int r = 0; r < t->runs; r++) {
        optim_put_run(t->optim, optim_first(t->optim), r, raw);
        optim_put_run(t->optim, optim_second(t->optim), r, raw);
    }
    for (int r = 0; r < t->runs; r++) {
        graph_init(g, t->job->run[r].seed, t->job->run[r].init_scale, values);
        backend_put_reals(t->backend, raw, values, g->param_n);
        optim_put_run(t->optim, optim_param(t->optim), r, raw);
    }
    arena_free(a);
}

trainer *trainer_new(arena *a, const job *j, const backend *b, const task_set *const *data,
                     error *e) {
    trainer *t = ARENA_NEW(a, trainer, 1);
    const int time = data[0]->time, batch = (int)j->train.batch;
    const bool dropout = job_has_dropout(j);
    const int micro = tape_micro_batch(b, &j->model, time, batch, true);
    const int lanes = lane_count(b, batch, micro);
    const int threads = (int)(j->train.threads < lanes ? j->train.threads : lanes);
    *t = (trainer){.job = j,
                   .backend = b,
                   .data = data,
                   .runs = j->runs,
                   .batch_n = batch,
                   .micro = micro,
                   .time = time,
                   .lanes = lanes,
                   .threads = threads};
    const size_t tokens = (size_t)j->runs * (size_t)batch * (size_t)time;
    t->batch = (host_batch){ARENA_NEW(a, int, tokens), ARENA_NEW(a, int, tokens),
                            ARENA_NEW(a, double, j->runs)};
    const size_t part = (size_t)j->runs * (size_t)micro * (size_t)time;
    for (int i = 0; i < lanes; i++) {
        lane *l = &t->lane[i];
        *l = (lane){.trainer = t,
                    .index = i,
                    .result = ARENA_NEW(a, step_result, j->runs),
                    .pred = ARENA_NEW(a, int, part),
                    .nll = ARENA_NEW(a, double, part)};
        if (tape_new(&l->tape, b, &j->model, j->runs, micro, time, dropout, true, HEAD_LOSS, e))
            goto failed;
    }
    if (!(t->optim = optim_new(a, t->lane[0].tape.model.g, &j->train, lanes, e))) goto failed;
    for (int i = 0; i < lanes; i++)
        graph_bind(t->lane[i].tape.model.g, t->lane[i].tape.memory, optim_param(t->optim),
                   optim_grad(t->optim, i));
    put_constants(t, a);
    trainer_reset(t);
    start_threads(t, a);
    return t;
failed:
    trainer_free(t);
    return NULL;
}

void trainer_free(trainer *t) {
    if (!t) return;
    if (t->started) {
        t->quit = true;
        pthread_barrier_wait(&t->begin);
        for (int i = 1; i <= t->started; i++) pthread_join(t->worker[i], NULL);
        pthread_barrier_destroy(&t->begin);
        pthread_barrier_destroy(&t->end);
    }
    for (int i = 0; i < t->lanes; i++) tape_free(&t->lane[i].tape);
    optim_free(t->optim);
}

optim *trainer_optim(trainer *t) { return t->optim; }
const graph *trainer_graph(const trainer *t) { return t->lane[0].tape.model.g; }

void trainer_step(trainer *t, long step, double lr_share, const optim_run *run,
                  step_result *result) {
    t->step = step;
    draw_batch(t);
    optim_zero_grad(t->optim);
    if (t->started) pthread_barrier_wait(&t->begin);
    run_lanes_of(t, 0);
    if (t->started) pthread_barrier_wait(&t->end);
    for (int r = 0; r < t->runs; r++) {
        result[r] = (step_result){0};
        for (int i = 0; i < t->lanes; i++) {
            const step_result *part = &t->lane[i].result[r];
            result[r].nll_sum += part->nll_sum;
            result[r].scored += part->scored;
            result[r].right += part->right;
        }
    }
    optim_step(t->optim, run, lr_share, step + 1);
}
