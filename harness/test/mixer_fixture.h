/* mixer_fixture.h - a model of given settings, and a bound tape of it with random tokens. */
#pragma once
#include "harness/catalog.h"
#include "harness/trainer.h"

// cmocka needs these four before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// and is last
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { T = 12, B = 2, V = 11 };

typedef struct subject {
    char name[160];
    model_spec spec;
    arena *arena;
} subject;

static void read_subject(subject *s, const char *const *setting, int n) {
    const char *all[16] = {"task.name=nar", "model.d_model=8", "model.init_std=0.3"};
    s->arena = arena_new();
    s->name[0] = 0;
    for (int i = 0; i < n; i++) {
        all[3 + i] = setting[i];
        size_t used = strlen(s->name);
        snprintf(s->name + used, sizeof s->name - used, "%s ", setting[i]);
    }
    diag *d = diag_new(s->arena);
    const config *c = config_from_settings(s->arena, catalog_schema(), all, 3 + n, d);
    diag_print(d, stderr);
    assert_non_null(c);
    job j;
    job_bind(&j, s->arena, &c, 1);
    s->spec = j.model;
    s->spec.vocab = V;
    s->spec.max_time = T;
}

typedef struct rig { /* a bound tape with random tokens */
    tape tape;
    const backend *backend;
    void *param, *grad;
    int runs;
} rig;

static void make_rig(rig *r, const subject *s, const char *device, int runs, int first_seed,
                     bool training, head_mode head) {
    error e = {0};
    r->backend = backend_find(device, &e);
    r->runs = runs;
    assert_non_null(r->backend);
    if (tape_new(&r->tape, r->backend, &s->spec, runs, B, T, false, training, head, &e))
        fail_msg("%s: %s", s->name, e.text);
    graph *g = r->tape.model.g;
    r->param = r->backend->alloc(graph_param_bytes(g), &e);
    r->grad = r->backend->alloc(graph_param_bytes(g), &e);
    graph_bind(g, r->tape.memory, r->param, r->grad);
    double *values = calloc(g->param_n, sizeof *values);
    for (int run = 0; run < runs; run++) {
        graph_init(g, (uint64_t)(first_seed + run), 1, values);
        for (int i = 0; i < g->n_param; i++) {
            const size_t n = g->param[i]->n / (size_t)runs;
            backend_put_reals(r->backend,
                              (char *)g->param[i]->x + (size_t)run * n * r->backend->real_bytes,
                              values + g->param[i]->offset, n);
        }
    }
    free(values);
    rng draw = rng_start(rng_key_make(5, "tokens", NULL, 0), 0, 0);
    int ids[B * T], labels[B * T];
    for (int i = 0; i < B * T; i++) {
        ids[i] = (int)rng_below(&draw, V);
        labels[i] = i % 3 ? (int)rng_below(&draw, V) : -1;
    }
    const double scale[4] = {.05, .05, .05, .05};
    for (int run = 0; run < runs; run++) {
        memcpy((int *)r->tape.model.ids->x + run * B * T, ids, sizeof ids);
        if (head == HEAD_LOSS)
            memcpy((int *)r->tape.model.label->x + run * B * T, labels, sizeof labels);
    }
    if (head == HEAD_LOSS)
        backend_put_reals(r->backend, r->tape.model.scale->x, scale, (size_t)runs);
}

static void drop_rig(rig *r) {
    r->backend->release(r->param);
    r->backend->release(r->grad);
    tape_free(&r->tape);
}
