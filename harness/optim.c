/* optim.c - see optim.h. */
#include "optim.h"

#include "kernels/core/rng.h"
#include "reals.h"

#include <math.h>
#include <string.h>

struct optim {
    const graph *model;
    const backend *backend;
    const train_config *config;
    int lanes, runs;
    void *param, *first, *second, *grad, *small;
    size_t bytes; /* of one buffer */
    arena *arena;
    graph *update; /* sum of lanes, gradnorm, adamw */
    tensor *hyper;
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

/* The small buffers: norm [R], segments [n_param, 3]. */
static size_t norm_bytes(const graph *g) {
    return ((size_t)g->runs * g->backend->real_bytes + 63) / 64 * 64;
}
static size_t small_bytes(const graph *g) {
    return norm_bytes(g) + 3 * (size_t)g->n_param * sizeof(int);
}

static void build_update(optim *o) {
    const int runs = o->runs, params = (int)o->model->param_n;
    graph *u = graph_new(o->arena, o->backend, runs);
    tensor *p = graph_input(u, TENSOR_REAL, "param", DIM(runs, params)),
           *m = graph_input(u, TENSOR_REAL, "first", DIM(runs, params)),
           *v = graph_input(u, TENSOR_REAL, "second", DIM(runs, params)),
           *g = graph_input(u, TENSOR_REAL, "grad", DIM(runs, params)),
           *seg = graph_input(u, TENSOR_INT, "segments", DIM(o->model->n_param, 3));
    o->hyper = graph_input(u, TENSOR_REAL, "hyper", DIM(runs, OPTIM_HYPER));
    g->x = optim_grad(o, 0);
    for (int i = 1; i < o->lanes; i++) { /* lane 0 += lane i, in place */
        tensor *lane = graph_input(u, TENSOR_REAL, "lane", DIM(runs, params));
        lane->x = optim_grad(o, i);
        APPLY(u, add, IN(g, lane))->x = g->x;
    }
    tensor *norm = APPLY(u, gradnorm, IN(g, seg)),
           *done = APPLY(u, adamw, IN(p, m, v, g, norm, o->hyper, seg));
    if (!done) BUG("%s", u->error.text);
    /* every buffer is the optimizer's own: this graph is never planned */
    p->x = o->param, m->x = o->first, v->x = o->second;
    norm->x = o->small;
    seg->x = (char *)o->small + norm_bytes(o->model);
    o->hyper->x = o->small; /* until it is bound */
    o->update = u;
}

static void update(void *context) { graph_forward(((optim *)context)->update); }

memory_need optim_need(const graph *g, const train_config *c, int lanes) {
    arena *a = arena_new();
    void *made_up = (void *)4096;
    optim o = {.model = g,
               .backend = g->backend,
               .config = c,
               .lanes = lanes,
               .runs = g->runs,
               .param = made_up,
               .first = made_up,
               .second = made_up,
               .grad = made_up,
               .small = made_up,
               .arena = a};
    build_update(&o);
    const memory_need need = {(size_t)(3 + lanes) * graph_param_bytes(g) + small_bytes(g),
                              g->backend->measure(update, &o)};
    arena_free(a);
    return need;
}

static void put_segments(optim *o) {
    const graph *g = o->model;
    int *seg = graph_segments(g, o->arena);
    if (o->config->decay == DECAY_ALL)
        for (int i = 0; i < g->n_param; i++) seg[3 * i + 2] = 1;
    o->backend->put((char *)o->small + norm_bytes(g), seg, 3 * (size_t)g->n_param * sizeof *seg);
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
    o->small = b->alloc(small_bytes(g), e);
    if (e->code || b->reserve(optim_need(g, c, lanes).scratch, e)) {
        optim_free(o);
        return NULL;
    }
    put_segments(o);
    build_update(o);
    return o;
}

void optim_free(optim *o) {
    if (!o) return;
    o->backend->release(o->param);
    o->backend->release(o->first);
    o->backend->release(o->second);
    o->backend->release(o->grad);
    o->backend->release(o->small);
}

const graph *optim_model(const optim *o) { return o->model; }
void *optim_param(optim *o) { return o->param; }
void *optim_first(optim *o) { return o->first; }
void *optim_second(optim *o) { return o->second; }
void *optim_grad(optim *o, int lane) { return (char *)o->grad + (size_t)lane * o->bytes; }

void optim_zero_grad(optim *o) { o->backend->zero(o->grad, (size_t)o->lanes * o->bytes); }

void optim_zero_moments(optim *o) {
    o->backend->zero(o->first, o->bytes);
    o->backend->zero(o->second, o->bytes);
}

void optim_write_hyper(const optim *o, void *host, const optim_run *run, double share, long step) {
    const train_config *c = o->config;
    for (int r = 0; r < o->runs; r++) {
        const double hyper[OPTIM_HYPER] = {share * run[r].lr, run[r].wd,    c->beta1,
                                           c->beta2,          c->eps,       c->clip,
                                           (double)step,      run[r].active};
        for (int i = 0; i < OPTIM_HYPER; i++)
            reals_write(o->backend, host, r * OPTIM_HYPER + i, hyper[i]);
    }
}

void optim_bind_hyper(optim *o, void *device) { o->hyper->x = device; }

void optim_update(optim *o) { update(o); }

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

/* One copy for the whole pack: on a GPU every copy costs as much as a kernel. */
void optim_hash(uint64_t *out, const optim *o) {
    arena *a = arena_new();
    const graph *g = o->model;
    const size_t real = o->backend->real_bytes, bytes = g->param_n * real;
    char *all = arena_alloc(a, o->bytes), *raw = arena_alloc(a, bytes);
    o->backend->get(all, o->param, o->bytes);
    for (int r = 0; r < o->runs; r++) {
        for (int i = 0; i < g->n_param; i++) {
            const size_t at = g->param[i]->offset, n = g->param[i]->n / (size_t)o->runs;
            memcpy(raw + at * real, all + ((size_t)o->runs * at + (size_t)r * n) * real, n * real);
        }
        const rng_key key = rng_key_make(0, "parameters", raw, bytes);
        out[r] = (uint64_t)key.word[1] << 32 | key.word[0];
    }
    arena_free(a);
}
