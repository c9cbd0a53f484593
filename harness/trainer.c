/* trainer.c - see trainer.h. */
#include "trainer.h"

#include "kernels/core/op.h"
#include "kernels/core/rng.h"
#include "reals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LANES = 4 /* of any backend */, N_BLOCK = 2, TICK = 4 /* ints, 3 used */, LINE = 64 };
_Static_assert(N_BLOCK <= (int)N_MARK, "every block needs a mark");

/* Where the parts of a staging block begin, in bytes; the same on host and device. Micro-batch p of
 * run r: ids and labels [parts, R, micro, T], tick [parts, TICK], scale [R], hyper [R, 8]; behind
 * these, the other way, tally [parts, R, 3]. */
typedef struct layout {
    size_t ids, labels, tick, scale, hyper, tally, end;
} layout;

typedef struct block {
    trainer *trainer;
    unsigned char *host;
    recording *recording;
    bool waiting; /* its step is queued and its tally was not read yet */
} block;

typedef struct lane {
    tape tape;
    graph *tally;
} lane;

struct trainer {
    const job *job;
    const backend *backend;
    const task_set *const *data; /* [R] */
    int runs, batch_n, micro, time, lanes, threads;
    lane lane[MAX_LANES];
    optim *optim;
    layout at;
    unsigned char *device; /* a staging block */
    block block[N_BLOCK];
    long queued;         /* steps so far */
    step_result *result; /* [TRAINER_PENDING, R] */
    int pending, n_results;
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

static size_t section(size_t *end, size_t bytes) {
    const size_t at = *end;
    *end = at + (bytes + LINE - 1) / LINE * LINE;
    return at;
}

static layout layout_of(const backend *b, int runs, int batch, int micro, int time) {
    const size_t parts = (size_t)(batch / micro), reals = (size_t)runs * b->real_bytes,
                 tokens = (size_t)runs * (size_t)batch * (size_t)time * sizeof(int);
    layout at = {0};
    at.ids = section(&at.end, tokens);
    at.labels = section(&at.end, tokens);
    at.tick = section(&at.end, parts * TICK * sizeof(int));
    at.scale = section(&at.end, reals);
    at.hyper = section(&at.end, OPTIM_HYPER * reals);
    at.tally = section(&at.end, parts * 3 * reals);
    return at;
}

/* Sums of what the last replay of a tape measured; not planned, its tensors are bound by hand. */
static graph *tally_of(arena *a, const model *m) {
    graph *g = graph_new(a, m->g->backend, m->g->runs);
    if (!APPLY(g, tally, IN(m->nll, m->pred, m->label))) BUG("%s", g->error.text);
    return g;
}

static void run_tally(void *context) { graph_forward(context); }

static size_t tally_scratch(const model *m) {
    arena *a = arena_new();
    graph *g = tally_of(a, m);
    m->nll->x = m->pred->x = m->label->x = g->node[0].out->x = (void *)4096; /* made up */
    const size_t bytes = g->backend->measure(run_tally, g);
    arena_free(a);
    return bytes;
}

status trainer_need(memory_need *out, const job *j, const backend *b, int time, error *e) {
    const int batch = (int)j->train.batch;
    const int micro = tape_micro_batch(b, &j->model, time, batch, true);
    const int lanes = lane_count(b, batch, micro);
    tape t;
    status s =
        tape_plan(&t, b, &j->model, j->runs, micro, time, job_has_dropout(j), true, HEAD_LOSS, e);
    if (s) return s;
    const memory_need updating = optim_need(t.model.g, &j->train, lanes);
    const size_t scratch[3] = {graph_scratch(t.model.g), updating.scratch, tally_scratch(&t.model)};
    *out = (memory_need){(size_t)lanes * graph_arena_bytes(t.model.g) + updating.bytes +
                             (1 + N_BLOCK) * layout_of(b, j->runs, batch, micro, time).end,
                         0};
    for (int i = 0; i < 3; i++)
        if (scratch[i] > out->scratch) out->scratch = scratch[i];
    tape_free(&t);
    return STATUS_OK;
}

/* ---- the host part of a step ---- */

/* Sequence i of run r in the order of a staging block, as an index of its first token. */
static long place_of(const trainer *t, int r, long i) {
    const long part = i / t->micro, row = i % t->micro;
    return ((part * t->runs + r) * t->micro + row) * t->time;
}

/* Draws the batch of this step; runs with equal data seeds share one set, which is drawn once. */
static void draw_batch(const trainer *t, unsigned char *host, long step) {
    int *ids = (int *)(host + t->at.ids), *labels = (int *)(host + t->at.labels);
    for (int r = 0; r < t->runs; r++) {
        int twin = 0;
        while (twin < r && t->data[twin] != t->data[r]) twin++;
        if (twin < r) {
            const size_t bytes = (size_t)t->micro * (size_t)t->time * sizeof(int);
            for (long i = 0; i < t->batch_n; i += t->micro) {
                const long to = place_of(t, r, i), from = place_of(t, twin, i);
                memcpy(ids + to, ids + from, bytes);
                memcpy(labels + to, labels + from, bytes);
            }
            reals_write(t->backend, host + t->at.scale, r,
                        reals_read(t->backend, host + t->at.scale, twin));
            continue;
        }
        long scored = 0;
        for (long i = 0; i < t->batch_n; i++) {
            const long at = place_of(t, r, i);
            task_example x = {ids + at, labels + at, NULL};
            task_get(t->data[r], SPLIT_TRAIN, (uint64_t)(step * t->batch_n + i), &x);
            for (long k = at; k < at + t->time; k++) scored += labels[k] >= 0;
        }
        reals_write(t->backend, host + t->at.scale, r, scored ? 1.0 / (double)scored : 0);
    }
}

static void write_ticks(const trainer *t, unsigned char *host, long step) {
    int *tick = (int *)(host + t->at.tick);
    for (int first = 0; first < t->batch_n; first += t->micro, tick += TICK) {
        tick[0] = (int)step;
        tick[1] = first;
        tick[2] = 1;
    }
}

/* Takes what a finished step left in its block. */
static void read_tally(trainer *t, block *k) {
    if (!k->waiting) return;
    k->waiting = false;
    CHECK(t->n_results < TRAINER_PENDING);
    step_result *result = t->result + (long)t->n_results++ * t->runs;
    const void *tally = k->host + t->at.tally;
    for (int r = 0; r < t->runs; r++) {
        result[r] = (step_result){0};
        for (long part = 0; part < t->batch_n / t->micro; part++) {
            const long at = 3 * (part * t->runs + r);
            result[r].nll_sum += reals_read(t->backend, tally, at);
            result[r].scored += (long)reals_read(t->backend, tally, at + 1);
            result[r].right += (long)reals_read(t->backend, tally, at + 2);
        }
    }
}

/* ---- the body, which only queues ---- */

static void run_part(const trainer *t, lane *l, long part, bool first, bool last) {
    model *m = &l->tape.model;
    const size_t tokens = (size_t)part * (size_t)t->runs * (size_t)t->micro * (size_t)t->time;
    m->ids->x = t->device + t->at.ids + tokens * sizeof(int);
    m->label->x = t->device + t->at.labels + tokens * sizeof(int);
    if (m->tick) m->tick->x = t->device + t->at.tick + (size_t)part * TICK * sizeof(int);
    graph_part(m->g, first, last);
    l->tally->node[0].out->x =
        t->device + t->at.tally + 3 * (size_t)part * (size_t)t->runs * t->backend->real_bytes;
    graph_forward(l->tally);
}

static void run_lanes(trainer *t, int thread) {
    const int parts = t->batch_n / t->micro;
    for (int i = thread; i < t->lanes; i += t->threads)
        for (int part = i; part < parts; part += t->lanes)
            run_part(t, &t->lane[i], part, part == i, part + t->lanes >= parts);
}

static void run_step(void *context) {
    const block *k = context;
    trainer *t = k->trainer;
    t->backend->put(t->device, k->host, t->at.tally);
    optim_zero_grad(t->optim);
    if (t->started) pthread_barrier_wait(&t->begin);
    run_lanes(t, 0);
    if (t->started) pthread_barrier_wait(&t->end);
    optim_update(t->optim);
    t->backend->get(k->host + t->at.tally, t->device + t->at.tally, t->at.end - t->at.tally);
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
        run_lanes(t, thread);
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
    CHECK(!t->pending);
    arena *a = arena_new();
    const graph *g = trainer_graph(t);
    double *values = ARENA_NEW(a, double, g->param_n);
    void *raw = arena_alloc(a, g->param_n * t->backend->real_bytes);
    optim_zero_moments(t->optim);
    for (int r = 0; r < t->runs; r++) {
        graph_init(g, t->job->run[r].seed, t->job->run[r].init_scale, values);
        for (size_t i = 0; i < g->param_n; i++) reals_write(t->backend, raw, (long)i, values[i]);
        optim_put_run(t->optim, optim_param(t->optim), r, raw);
    }
    arena_free(a);
}

static status allocate_blocks(trainer *t, error *e) {
    if (!(t->device = t->backend->alloc(t->at.end, e))) return e->code;
    for (int i = 0; i < N_BLOCK; i++) {
        t->block[i].trainer = t;
        if (!(t->block[i].host = t->backend->alloc_host(t->at.end, e))) return e->code;
    }
    return STATUS_OK;
}

/* What stays where it is in every step; run_part places the rest. */
static void bind_lanes(trainer *t) {
    for (int i = 0; i < t->lanes; i++) {
        tape *held = &t->lane[i].tape;
        graph_bind(held->model.g, held->memory, optim_param(t->optim), optim_grad(t->optim, i));
        held->model.scale->x = t->device + t->at.scale;
    }
    optim_bind_hyper(t->optim, t->device + t->at.hyper);
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
                   .threads = threads,
                   .at = layout_of(b, j->runs, batch, micro, time),
                   .result = ARENA_NEW(a, step_result, TRAINER_PENDING * j->runs)};
    if (allocate_blocks(t, e)) goto failed;
    for (int i = 0; i < lanes; i++) {
        lane *l = &t->lane[i];
        if (tape_new(&l->tape, b, &j->model, j->runs, micro, time, dropout, true, HEAD_LOSS, e))
            goto failed;
        if (b->reserve(tally_scratch(&l->tape.model), e)) goto failed;
        l->tally = tally_of(a, &l->tape.model);
    }
    if (!(t->optim = optim_new(a, t->lane[0].tape.model.g, &j->train, lanes, e))) goto failed;
    bind_lanes(t);
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
    const backend *b = t->backend;
    error ignored = {0};
    b->sync(&ignored); /* what is under way still reads and writes the memory below */
    if (t->started) {
        t->quit = true;
        pthread_barrier_wait(&t->begin);
        for (int i = 1; i <= t->started; i++) pthread_join(t->worker[i], NULL);
        pthread_barrier_destroy(&t->begin);
        pthread_barrier_destroy(&t->end);
    }
    for (int i = 0; i < N_BLOCK; i++) {
        b->forget(t->block[i].recording);
        b->release_host(t->block[i].host);
    }
    b->release(t->device);
    for (int i = 0; i < t->lanes; i++) tape_free(&t->lane[i].tape);
    optim_free(t->optim);
}

optim *trainer_optim(trainer *t) { return t->optim; }
const graph *trainer_graph(const trainer *t) { return t->lane[0].tape.model.g; }
int trainer_pending(const trainer *t) { return t->pending; }

void trainer_step(trainer *t, long step, double lr_share, const optim_run *run) {
    const int index = (int)(t->queued % N_BLOCK);
    block *k = &t->block[index];
    if (!t->pending) t->n_results = 0;
    CHECK(t->pending < TRAINER_PENDING);
    t->backend->await(index);
    read_tally(t, k);
    draw_batch(t, k->host, step);
    write_ticks(t, k->host, step);
    optim_write_hyper(t->optim, k->host + t->at.hyper, run, lr_share, step + 1);
    t->backend->replay(&k->recording, run_step, k);
    t->backend->mark(index);
    k->waiting = true;
    t->pending++;
    t->queued++;
}

status trainer_collect(trainer *t, const step_result **result, int *steps, error *e) {
    *result = t->result;
    *steps = t->pending;
    if (!t->pending) t->n_results = 0;
    t->pending = 0;
    status s = t->backend->sync(e);
    for (int i = 0; i < N_BLOCK; i++) /* the older one first */
        read_tally(t, &t->block[(t->queued + i) % N_BLOCK]);
    CHECK(t->n_results == *steps);
    return s;
}
