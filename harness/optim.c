/* optim.c - see optim.h. */
#include "optim.h"

#include "kernels/core/rng.h"

#include <math.h>
#include <string.h>

enum { HYPER = 8 }; /* reals per run, see kernels.def */

struct optim {
    const graph *model;
    const backend *backend;
    const train_config *config;
    int lanes, runs;
    void *param, *first, *second, *grad;
    size_t bytes; /* of one buffer */
    arena *arena;
    graph *update; /* gradnorm, adamw */
    tensor *norm, *hyper;
    int *seg;
};

double schedule_at(const train_config *c, long step, long steps, long steps_per_epoch) {
    if (c->schedule_by == BY_EPOCH && steps_per_epoch > 0) {
        step = step / steps_per_epoch;
        steps = (steps + steps_per_epoch - 1) / steps_per_epoch;
    }
    const double warm = c->warmup * (double)steps;
    if ((double)step < warm) return ((double)step + 1) / (warm + 1);
    if (c->schedule == SCHEDULE_CONSTANT) return 1;
    const double done = ((double)step - warm) / fmax(1, (double)steps - warm);
    const double share =
        c->schedule == SCHEDULE_COSINE ? 0.5 + 0.5 * cos(acos(-1) * done) : 1 - done;
    return c->min_lr + (1 - c->min_lr) * share;
}

size_t optim_bytes(size_t param_bytes, int lanes) { return (size_t)(3 + lanes) * param_bytes; }

static void bind_update(optim *o) {
    const int runs = o->runs, params = (int)o->model->param_n;
    graph *u = graph_new(o->arena, o->backend, runs);
    tensor *p = graph_input(u, TENSOR_REAL, "param", DIM(runs, params)),
           *m = graph_input(u, TENSOR_REAL, "first", DIM(runs, params)),
           *v = graph_input(u, TENSOR_REAL, "second", DIM(runs, params)),
           *g = graph_input(u, TENSOR_REAL, "grad", DIM(runs, params)),
           *seg = graph_input(u, TENSOR_INT, "segments", DIM(o->model->n_param, 3));
    o->hyper = graph_input(u, TENSOR_REAL, "hyper", DIM(runs, HYPER));
    g->x = optim_grad(o, 0);
    for (int i = 1; i < o->lanes; i++) { /* lane 0 += lane i, in place */
        tensor *lane = graph_input(u, TENSOR_REAL, "lane", DIM(runs, params));
        lane->x = optim_grad(o, i);
        APPLY(u, add, IN(g, lane))->x = g->x;
    }
    o->norm = APPLY(u, gradnorm, IN(g, seg));
    tensor *done = APPLY(u, adamw, IN(p, m, v, g, o->norm, o->hyper, seg));
    if (!done) BUG("%s", u->error.text);
    /* the big buffers are the optimizer's own; only the small ones are placed here */
    p->x = o->param, m->x = o->first, v->x = o->second;
    seg->x = o->seg;
    o->hyper->x = ARENA_NEW(o->arena, double, runs *HYPER);
    o->norm->x = ARENA_NEW(o->arena, double, runs);
    o->update = u;
}

optim *optim_new(arena *a, const graph *g, const train_config *c, int lanes, error *e) {
    optim *o = ARENA_NEW(a, optim, 1);
    *o = (optim){.model = g,
                 .backend = g->backend,
                 .config = c,
                 .lanes = lanes,
                 .runs = g->runs,
                 .bytes = graph_param_bytes(g),
                 .arena = a};
    const backend *b = o->backend;
    o->param = b->alloc(o->bytes, e);
    o->first = b->alloc(o->bytes, e);
    o->second = b->alloc(o->bytes, e);
    o->grad = b->alloc((size_t)lanes * o->bytes, e);
    if (e->code) {
        optim_free(o);
        return NULL;
    }
    o->seg = graph_segments(g, a);
    if (c->decay == DECAY_ALL)
        for (int i = 0; i < g->n_param; i++) o->seg[3 * i + 2] = 1;
    bind_update(o);
    return o;
}

void optim_free(optim *o) {
    if (!o) return;
    o->backend->release(o->param);
    o->backend->release(o->first);
    o->backend->release(o->second);
    o->backend->release(o->grad);
}

const graph *optim_model(const optim *o) { return o->model; }
void *optim_param(optim *o) { return o->param; }
void *optim_first(optim *o) { return o->first; }
void *optim_second(optim *o) { return o->second; }
void *optim_grad(optim *o, int lane) { return (char *)o->grad + (size_t)lane * o->bytes; }

void optim_zero_grad(optim *o) { o->backend->zero(o->grad, (size_t)o->lanes * o->bytes); }

void optim_step(optim *o, const optim_run *run, double share, long step) {
    const train_config *c = o->config;
    for (int r = 0; r < o->runs; r++) {
        const double hyper[HYPER] = {share * run[r].lr, run[r].wd,    c->beta1,
                                     c->beta2,          c->eps,       c->clip,
                                     (double)step,      run[r].active};
        backend_put_reals(o->backend,
                          (char *)o->hyper->x + (size_t)(r * HYPER) * o->backend->real_bytes, hyper,
                          HYPER);
    }
    graph_forward(o->update);
}

void optim_get_run(const optim *o, const void *buffer, int run, void *raw) {
    const graph *g = o->model;
    const size_t real = o->backend->real_bytes;
    for (int i = 0; i < g->n_param; i++) {
        const size_t at = g->param[i]->offset, n = g->param[i]->n / (size_t)o->runs;
        o->backend->get((char *)raw + at * real,
                        (const char *)buffer + ((size_t)o->runs * at + (size_t)run * n) * real,
                        n * real);
    }
}

void optim_put_run(const optim *o, void *buffer, int run, const void *raw) {
    const graph *g = o->model;
    const size_t real = o->backend->real_bytes;
    for (int i = 0; i < g->n_param; i++) {
        const size_t at = g->param[i]->offset, n = g->param[i]->n / (size_t)o->runs;
        o->backend->put((char *)buffer + ((size_t)o->runs * at + (size_t)run * n) * real,
                        (const char *)raw + at * real, n * real);
    }
}

uint64_t optim_hash(const optim *o, int run) {
    arena *a = arena_new();
    const size_t bytes = o->model->param_n * o->backend->real_bytes;
    void *raw = arena_alloc(a, bytes);
    optim_get_run(o, o->param, run, raw);
    const rng_key key = rng_key_make(0, "parameters", raw, bytes);
    arena_free(a);
    return (uint64_t)key.word[1] << 32 | key.word[0];
}
