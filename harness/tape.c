/* tape.c - see tape.h. */
#include "tape.h"

static status build(model *m, arena *a, const backend *b, const model_spec *spec, int runs,
                    int batch, int time, bool dropout, bool training, head_mode head, error *e) {
    status s = model_build(m, a, b, spec, runs, batch, time, dropout, head, e);
    return s ? s : graph_plan(m->g, training, e);
}

/* Too large, or not to be built: the caller builds it again and reports the sentence. */
static bool fits(const backend *b, const model_spec *spec, int time, int batch, bool training) {
    arena *a = arena_new();
    model m;
    error e = {0};
    bool small = false;
    if (!build(&m, a, b, spec, 1, batch, time, training, training, HEAD_LOSS, &e)) {
        /* every replay reads all weights, and in training adds to all gradients */
        const size_t streamed = (training ? 2 : 1) * m.g->param_n * sizeof(float);
        small =
            m.g->arena_n * sizeof(float) <= (streamed > b->tape_bytes ? streamed : b->tape_bytes);
    }
    arena_free(a);
    return small;
}

int tape_micro_batch(const backend *b, const model_spec *spec, int time, int batch, bool training) {
    if (!fits(b, spec, time, 1, training)) return 1; /* nor does more of it */
    int size = batch;
    while (size > 1 && (batch % size || !fits(b, spec, time, size, training))) size--;
    return size;
}

status tape_plan(tape *t, const backend *b, const model_spec *spec, int runs, int batch, int time,
                 bool dropout, bool training, head_mode head, error *e) {
    *t = (tape){.batch = batch, .time = time, .arena = arena_new()};
    status s = build(&t->model, t->arena, b, spec, runs, batch, time, dropout, training, head, e);
    if (s) tape_free(t);
    return s;
}

status tape_new(tape *t, const backend *b, const model_spec *spec, int runs, int batch, int time,
                bool dropout, bool training, head_mode head, error *e) {
    status s = tape_plan(t, b, spec, runs, batch, time, dropout, training, head, e);
    if (s) return s;
    s = b->reserve(graph_scratch(t->model.g), e);
    if (!s && !(t->memory = b->alloc(graph_arena_bytes(t->model.g), e))) s = e->code;
    if (s) tape_free(t);
    return s;
}

void tape_free(tape *t) {
    if (!t->arena) return;
    if (t->memory) t->model.g->backend->release(t->memory);
    arena_free(t->arena);
    *t = (tape){0};
}

static void run_once(void *context) {
    graph *g = context;
    graph_forward(g);
    if (g->training) graph_backward(g);
}

size_t graph_scratch(graph *g) {
    void *made_up = (void *)4096; /* nothing is read or written there */
    graph_bind(g, made_up, made_up, g->training ? made_up : NULL);
    return g->backend->measure(run_once, g);
}
