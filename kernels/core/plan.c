/* plan.c - the memory plan of a tape: lifetimes, then offsets in one arena.
 *
 * Moments: forward of node i is i, its backward 2N-1-i. Spans are placed largest first at the
 * lowest offset that is free for their whole life. Inputs live from start to end. Cost
 * O(tensors^2).
 *
 * A tape may be replayed for one part of a batch after the other: in training, steady tensors live
 * all the time, and so do those of their gradients that other nodes add to in every part. */
#include "backend.h"
#include "op.h"

#include <stdlib.h>

enum { ALIGN = 16 }; /* reals: a cache line of floats */

typedef struct span {
    size_t n; /* reals, rounded up */
    int first, last, order;
    size_t *at;
} span;

static int by_size(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? 1 : -1;
    return x->order - y->order; /* qsort is not stable: ties must not depend on it */
}

static void use(int *first, int *last, int moment) {
    if (*first < 0 || moment < *first) *first = moment;
    if (moment > *last) *last = moment;
}

static void find_lifetimes(graph *g) {
    const int end = 2 * g->n_node - 1;
    for (int i = 0; i < g->n_tensor; i++) {
        tensor *t = g->tensor[i];
        t->first = t->last = t->g_first = t->g_last = -1;
        /* the host writes an input before the step */
        if (t->is_input || (g->training && t->steady)) t->first = 0, t->last = end;
    }
    for (int i = 0; i < g->n_node; i++) {
        node *n = &g->node[i];
        const int back = end - i;
        const bool root = n->op->flags & OP_ROOT;
        for (int k = 0; k < n->n_in; k++) {
            tensor *t = n->in[k];
            use(&t->first, &t->last, i);
            if (!g->training) continue;
            if (n->op->reads & READS_IN(k)) use(&t->first, &t->last, back);
            if (t->kind == TENSOR_ACT) use(&t->g_first, &t->g_last, back);
        }
        use(&n->out->first, &n->out->last, i);
        use(&n->aux->first, &n->aux->last, i);
        if (root) { /* results are read by the host after the step */
            use(&n->out->first, &n->out->last, end);
            use(&n->aux->first, &n->aux->last, end);
        }
        if (!g->training) {
            if (i == g->n_node - 1) use(&n->out->first, &n->out->last, end);
            continue;
        }
        if (n->op->reads & READS_OUT) use(&n->out->first, &n->out->last, back);
        if (n->op->reads & READS_AUX) use(&n->aux->first, &n->aux->last, back);
        if (!root) use(&n->out->g_first, &n->out->g_last, back);
    }
    for (int i = 0; i < g->n_tensor; i++) g->tensor[i]->g_zero = g->tensor[i]->g_first;
    for (int i = 0; g->training && i < g->n_node; i++)
        for (int k = 0; k < g->node[i].n_in; k++) {
            tensor *t = g->node[i].in[k];
            if (t->steady && !g->node[i].out->steady && t->g_first >= 0)
                t->g_first = 0, t->g_last = end;
        }
}

/* Lowest free place for each span in turn, by one walk over those placed before, in order of place.
 * by_place: scratch for n pointers. */
static size_t place(span *s, const span **by_place, int n) {
    size_t top = 0;
    for (int i = 0; i < n; i++) {
        size_t at = 0;
        for (int j = 0; j < i; j++) {
            const span *o = by_place[j];
            if (s[i].first > o->last || o->first > s[i].last) continue; /* never at one time */
            if (*o->at >= at + s[i].n) break; /* it fits below this one and all further ones */
            if (*o->at + o->n > at) at = *o->at + o->n;
        }
        *s[i].at = at;
        int j = i;
        for (; j > 0 && *by_place[j - 1]->at > at; j--) by_place[j] = by_place[j - 1];
        by_place[j] = &s[i];
        if (at + s[i].n > top) top = at + s[i].n;
    }
    return top;
}

static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

status graph_plan(graph *g, bool training, error *e) {
    if (g->error.code) return error_set(e, g->error.code, "%s", g->error.text);
    for (int i = 0; i < g->n_node; i++) /* updates have no backward: they need their own tape */
        CHECK(!training || !(g->node[i].op->flags & OP_UPDATE));
    g->training = training;
    find_lifetimes(g);
    span *spans = ARENA_NEW(g->arena, span, 2 * g->n_tensor);
    int n = 0;
    g->naive_n = 0;
    for (int i = 0; i < g->n_tensor; i++) {
        tensor *t = g->tensor[i];
        if (t->kind == TENSOR_PARAM || !t->n) continue;
        spans[n] = (span){round_up(t->n), t->first, t->last, n, &t->at};
        g->naive_n += spans[n++].n;
        if (t->g_first < 0) continue;
        spans[n] = (span){round_up(t->n), t->g_first, t->g_last, n, &t->g_at};
        g->naive_n += spans[n++].n;
    }
    qsort(spans, (size_t)n, sizeof *spans, by_size);
    g->work_n = 0;
    for (int i = 0; i < g->n_node; i++)
        if (g->node[i].work_n > g->work_n) g->work_n = g->node[i].work_n;
    g->arena_n = place(spans, ARENA_NEW(g->arena, const span *, n), n) + g->work_n;
    g->naive_n += g->work_n;
    return STATUS_OK;
}
