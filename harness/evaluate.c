/* evaluate.c - see evaluate.h. */
#include "evaluate.h"

#include "trainer.h"

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

status evaluate_bytes(size_t *bytes, const job *j, const backend *b, int time, error *e) {
    return tape_bytes(bytes, b, &j->model, j->runs, eval_micro(b, j, time), time, false, false, e);
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

/* Adds one example: T positions of nll and pred. */
static void add_example(evaluation *v, arena *a, const task_set *set, const task_example *x,
                        const double *nll, const int *pred) {
    const int time = set->time;
    long scored = 0, right = 0;
    for (int t = 0; t < time; t++) {
        if (x->labels[t] < 0) continue;
        const bool hit = pred[t] == x->labels[t];
        v->all.nll += nll[t];
        scored++;
        right += hit;
        for (int k = 0; k < set->n_slices; k++) {
            const int value = x->slice[k * time + t];
            if (value < 0) continue;
            score *s = slice_of(v, a, set, k, value);
            s->nll += nll[t];
            s->scored++;
            s->right += hit;
        }
    }
    v->all.scored += scored;
    v->all.right += right;
    v->all.sequences += scored > 0;
    v->all.sequences_right += scored > 0 && right == scored;
}

status evaluate(evaluation *out, arena *a, const job *j, const backend *b, void *param,
                const task_set *const *data, split which, error *e) {
    const int runs = j->runs, time = data[0]->time;
    const uint64_t count = data[0]->count[which];
    const int micro = eval_micro(b, j, time);
    tape held;
    status s = tape_new(&held, b, &j->model, runs, micro, time, false, false, HEAD_LOSS, e);
    if (s) return s;
    model *m = &held.model;
    graph_bind(m->g, held.memory, param, NULL);
    const long rows = (long)micro * time;
    arena *scratch = arena_new();
    int *ids = ARENA_NEW(scratch, int, runs *rows), *labels = ARENA_NEW(scratch, int, runs *rows),
        *slices = ARENA_NEW(scratch, int, runs *rows *TASK_MAX_SLICES),
        *pred = ARENA_NEW(scratch, int, runs *rows);
    double *nll = ARENA_NEW(scratch, double, runs *rows);
    memset(out, 0, (size_t)runs * sizeof *out);
    for (uint64_t first = 0; first < count; first += (uint64_t)micro) {
        for (long r = 0; r < runs; r++)
            for (long i = 0; i < micro; i++) {
                const long at = r * rows + i * time;
                task_example x = {ids + at, labels + at, slices + at * TASK_MAX_SLICES};
                /* the last batch is filled up with copies that are not counted */
                uint64_t index = first + (uint64_t)i < count ? first + (uint64_t)i : 0;
                task_get(data[r], which, index, &x);
            }
        b->put(m->ids->x, ids, (size_t)(runs * rows) * sizeof *ids);
        b->put(m->label->x, labels, (size_t)(runs * rows) * sizeof *labels);
        graph_forward(m->g);
        backend_get_reals(b, nll, m->nll->x, (size_t)(runs * rows));
        b->get(pred, m->pred->x, (size_t)(runs * rows) * sizeof *pred);
        for (long r = 0; r < runs; r++)
            for (long i = 0; i < micro && first + (uint64_t)i < count; i++) {
                const long at = r * rows + i * time;
                const task_example x = {ids + at, labels + at, slices + at * TASK_MAX_SLICES};
                add_example(&out[r], a, data[r], &x, nll + at, pred + at);
            }
    }
    for (int r = 0; r < runs; r++)
        if (out[r].n_slices)
            qsort(out[r].slice, (size_t)out[r].n_slices, sizeof *out[r].slice, by_value);
    arena_free(scratch);
    tape_free(&held);
    return STATUS_OK;
}
