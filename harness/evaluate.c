/* evaluate.c - see evaluate.h. */
#include "evaluate.h"

#include "reals.h"

#include <stdlib.h>
#include <string.h>

enum { EVAL_BATCH = 64 };

double score_loss(const score *s) { return s->scored ? s->nll / (double)s->scored : 0; }
double score_token_acc(const score *s) {
    return s->scored ? (double)s->right / (double)s->scored : 0;
}
double score_seq_acc(const score *s) {
    return s->sequences ? (double)s->sequences_right / (double)s->sequences : 0;
}

static int eval_micro(const backend *b, const job *j, int time) {
    return tape_micro_batch(b, &j->model, time, EVAL_BATCH, false);
}

/* One batch on the host: what goes to the device, what comes back, and what stays. */
typedef struct eval_block {
    const struct evaluator *evaluator;
    int *ids, *labels, *pred; /* [R, b, T] */
    void *nll;                /* [R, b, T] reals */
    int *slices;              /* [R, b, TASK_MAX_SLICES, T] */
    recording *recording;
    uint64_t first; /* number of its first example */
    bool waiting;   /* queued and not scored yet */
} eval_block;

enum { N_BLOCK = 2 };
_Static_assert(N_BLOCK <= (int)N_MARK, "every block needs a mark");

typedef struct evaluator {
    const backend *backend;
    tape tape;
    const task_set *const *data;
    split which;
    int runs, time, micro;
    eval_block block[N_BLOCK];
    arena *arena;
} evaluator;

static size_t staging_bytes(const backend *b, size_t tokens) {
    return tokens * (3 * sizeof(int) + b->real_bytes);
}

status evaluate_need(memory_need *out, const job *j, const backend *b, int time, error *e) {
    tape t;
    const int micro = eval_micro(b, j, time);
    status s = tape_plan(&t, b, &j->model, j->runs, micro, time, false, false, HEAD_LOSS, e);
    if (s) return s;
    const size_t tokens = (size_t)j->runs * (size_t)micro * (size_t)time;
    out->bytes = graph_arena_bytes(t.model.g) + N_BLOCK * staging_bytes(b, tokens);
    out->scratch = graph_scratch(t.model.g);
    tape_free(&t);
    return STATUS_OK;
}

static score *slice_of(evaluation *v, arena *a, const task_set *set, int kind, int value) {
    for (int i = 0; i < v->n_slices; i++)
        if (v->slice[i].kind == kind && v->slice[i].value == value) return &v->slice[i].score;
    ARENA_GROW(a, v->slice, v->n_slices, v->cap_slices);
    v->slice[v->n_slices] =
        (slice_score){.slice = arena_printf(a, "%s=%d", set->slice_name[kind], value),
                      .kind = kind,
                      .value = value};
    return &v->slice[v->n_slices++].score;
}

static int by_value(const void *a, const void *b) {
    const slice_score *x = a, *y = b;
    return x->kind != y->kind ? x->kind - y->kind : x->value - y->value;
}

/* Adds one example: T positions of nll and pred, from place `at` of a block. */
static void add_example(evaluation *v, arena *a, const evaluator *w, const eval_block *k,
                        const task_set *set, long at) {
    const int time = w->time, *labels = k->labels + at, *pred = k->pred + at,
              *slices = k->slices + at * TASK_MAX_SLICES;
    long scored = 0, right = 0;
    for (int t = 0; t < time; t++) {
        if (labels[t] < 0) continue;
        const bool hit = pred[t] == labels[t];
        const double nll = reals_read(w->backend, k->nll, at + t);
        v->all.nll += nll;
        scored++;
        right += hit;
        for (int i = 0; i < set->n_slices; i++) {
            const int value = slices[i * time + t];
            if (value < 0) continue;
            score *s = slice_of(v, a, set, i, value);
            s->nll += nll;
            s->scored++;
            s->right += hit;
        }
    }
    v->all.scored += scored;
    v->all.right += right;
    v->all.sequences += scored > 0;
    v->all.sequences_right += scored > 0 && right == scored;
}

static status evaluator_new(evaluator *w, const job *j, const backend *b, void *param,
                            const task_set *const *data, split which, error *e) {
    *w = (evaluator){.backend = b,
                     .data = data,
                     .which = which,
                     .runs = j->runs,
                     .time = data[0]->time,
                     .micro = eval_micro(b, j, data[0]->time),
                     .arena = arena_new()};
    if (tape_new(&w->tape, b, &j->model, w->runs, w->micro, w->time, false, false, HEAD_LOSS, e))
        return e->code;
    graph_bind(w->tape.model.g, w->tape.memory, param, NULL);
    const size_t tokens = (size_t)w->runs * (size_t)w->micro * (size_t)w->time;
    for (int i = 0; i < N_BLOCK; i++) {
        unsigned char *host = b->alloc_host(staging_bytes(b, tokens), e);
        if (!host) return e->code;
        int *ints = (int *)(host + tokens * b->real_bytes);
        w->block[i] = (eval_block){.evaluator = w,
                                   .nll = host,
                                   .ids = ints,
                                   .labels = ints + tokens,
                                   .pred = ints + 2 * tokens,
                                   .slices = ARENA_NEW(w->arena, int, tokens *TASK_MAX_SLICES)};
    }
    return STATUS_OK;
}

static void evaluator_free(evaluator *w) {
    const backend *b = w->backend;
    error ignored = {0};
    b->sync(&ignored); /* what is under way still uses the memory below */
    for (int i = 0; i < N_BLOCK; i++) {
        b->forget(w->block[i].recording);
        b->release_host(w->block[i].nll);
    }
    tape_free(&w->tape);
    arena_free(w->arena);
}

/* Runs with equal data seeds share one set: its examples are drawn once. */
static void draw(const evaluator *w, const eval_block *k) {
    const long rows = (long)w->micro * w->time;
    const uint64_t count = w->data[0]->count[w->which];
    for (int r = 0; r < w->runs; r++) {
        int twin = 0;
        while (twin < r && w->data[twin] != w->data[r]) twin++;
        if (twin < r) {
            const size_t bytes = (size_t)rows * sizeof(int);
            memcpy(k->ids + r * rows, k->ids + twin * rows, bytes);
            memcpy(k->labels + r * rows, k->labels + twin * rows, bytes);
            memcpy(k->slices + r * rows * TASK_MAX_SLICES,
                   k->slices + twin * rows * TASK_MAX_SLICES, bytes * TASK_MAX_SLICES);
            continue;
        }
        for (long i = 0; i < w->micro; i++) {
            const long at = r * rows + i * w->time;
            task_example x = {k->ids + at, k->labels + at, k->slices + at * TASK_MAX_SLICES};
            /* the last batch is filled up with copies that are not counted */
            const uint64_t index = k->first + (uint64_t)i;
            task_get(w->data[r], w->which, index < count ? index : 0, &x);
        }
    }
}

static void run_batch(void *context) {
    const eval_block *k = context;
    const evaluator *w = k->evaluator;
    const model *m = &w->tape.model;
    const size_t tokens = (size_t)w->runs * (size_t)w->micro * (size_t)w->time;
    w->backend->put(m->ids->x, k->ids, tokens * sizeof(int));
    w->backend->put(m->label->x, k->labels, tokens * sizeof(int));
    graph_forward(m->g);
    w->backend->get(k->nll, m->nll->x, tokens * w->backend->real_bytes);
    w->backend->get(k->pred, m->pred->x, tokens * sizeof(int));
}

static void add_batch(evaluation *out, arena *a, const evaluator *w, eval_block *k) {
    if (!k->waiting) return;
    k->waiting = false;
    const uint64_t count = w->data[0]->count[w->which];
    for (long r = 0; r < w->runs; r++)
        for (long i = 0; i < w->micro && k->first + (uint64_t)i < count; i++)
            add_example(&out[r], a, w, k, w->data[r], (r * w->micro + i) * w->time);
}

status evaluate(evaluation *out, arena *a, const job *j, const backend *b, void *param,
                const task_set *const *data, split which, error *e) {
    const uint64_t count = data[0]->count[which];
    evaluator w;
    status s = evaluator_new(&w, j, b, param, data, which, e);
    memset(out, 0, (size_t)j->runs * sizeof *out);
    int next = 0; /* block of the next batch, which is that of the oldest one under way */
    for (uint64_t first = 0; first < count && !s; first += (uint64_t)w.micro) {
        eval_block *k = &w.block[next];
        b->await(next);
        add_batch(out, a, &w, k);
        k->first = first;
        draw(&w, k);
        b->replay(&k->recording, run_batch, k);
        b->mark(next);
        k->waiting = true;
        next = (next + 1) % N_BLOCK;
    }
    if (!s) s = b->sync(e);
    for (int i = 0; i < N_BLOCK && !s; i++) add_batch(out, a, &w, &w.block[(next + i) % N_BLOCK]);
    for (int r = 0; r < j->runs; r++)
        if (out[r].n_slices)
            qsort(out[r].slice, (size_t)out[r].n_slices, sizeof *out[r].slice, by_value);
    evaluator_free(&w);
    return s;
}
