/* op_data.c - see op_data.h. */
#include "op_data.h"

#include "kernels/core/rng.h"

#include <math.h>
#include <string.h>

bool has_gradient(const node *n, const op_case *c, int input) {
    if (n->op->flags & OP_UPDATE || c->in[input].below > 0 || c->in[input].fixed) return false;
    return !(n->op->flags & OP_ROOT) || input < n->n_in - 1; /* `scale` comes last */
}

long data_per_run(const op_data *d, int input) {
    return d->in[input].shared ? d->in[input].n : d->in[input].n / d->runs;
}

long data_index(const op_data *d, int input, int r, long j) {
    if (d->in[input].shared) return j;
    if (!d->in[input].flat) return r * data_per_run(d, input) + j;
    const int *seg = d->in[d->n_in - 1].ints;
    long n_seg = d->in[d->n_in - 1].n / 3;
    for (long s = 0; s < n_seg; s++) {
        long first = seg[3 * s], n = seg[3 * s + 1];
        if (j >= first && j < first + n) return d->runs * first + r * n + j - first;
    }
    BUG("element %ld of flat input %d is in no segment", j, input);
}

/* ---- drawing ---------------------------------------------------------------------------- */

/* Inputs end after the last one that the case describes; the op takes at least min_in. */
static int count_inputs(const op *o, const op_case *c) {
    static const op_case none;
    int n = o->min_in;
    for (int i = n; i < o->max_in; i++)
        if (memcmp(&c->in[i], &none.in[i], sizeof c->in[i]) != 0) n = i + 1;
    return n;
}

/* Updates with a seg table, the last input and the only one without a run axis, work on flat
 * parameter buffers: their leading real inputs of equal size. */
static bool is_flat(const node *n, const op_case *c, int input) {
    if (!(n->op->flags & OP_UPDATE) || !c->in[n->n_in - 1].shared) return false;
    for (int i = 0; i <= input; i++)
        if (n->in[i]->kind == TENSOR_INT || n->in[i]->n != n->in[0]->n) return false;
    return true;
}

node *case_node(arena *a, const backend *b, enum op_id id, const op_case *c, int runs, error *e) {
    const op *o = b->ops[id];
    graph *g = graph_new(a, b, runs);
    tensor *in[MAX_IN];
    int n_in = count_inputs(o, c);
    for (int i = 0; i < n_in; i++) {
        int dim[MAX_RANK] = {runs}, at = c->in[i].shared ? 0 : 1;
        memcpy(dim + at, c->in[i].dim, (size_t)c->in[i].rank * sizeof(int));
        in[i] = graph_input(g, c->in[i].below > 0 ? TENSOR_INT : TENSOR_REAL,
                            arena_printf(a, "in%d", i), c->in[i].rank + at, dim);
    }
    tensor *out = graph_apply(g, id, n_in, in, &c->arg);
    if (!out) {
        error_set(e, STATUS_USAGE, "%s", g->error.text);
        return NULL;
    }
    return graph_node_of(g, out);
}

static void draw_input(arena *a, op_data *d, const op_case *c, int i, rng draw) {
    const long n = d->in[i].n, per_run = data_per_run(d, i);
    const double *value = c->in[i].value;
    double lo = c->in[i].lo, hi = c->in[i].hi;
    if (lo == 0 && hi == 0) lo = -1, hi = 1;
    if (d->in[i].is_int) {
        const uint32_t width = (uint32_t)c->in[i].below - (uint32_t)c->in[i].from;
        d->in[i].ints = ARENA_NEW(a, int, n);
        for (long j = 0; j < n; j++)
            d->in[i].ints[j] =
                value ? (int)value[j % per_run] : c->in[i].from + (int)rng_below(&draw, width);
        return;
    }
    d->in[i].real = ARENA_NEW(a, double, n);
    for (long j = 0; j < n; j++) {
        const double part = d->in[i].shared ? 1 : 1 - (double)(j / per_run) / 64;
        const double v = value ? value[j % per_run] * part : lo + (hi - lo) * rng_uniform(&draw);
        d->in[i].real[j] = (double)(float)v;
    }
}

op_data *data_draw(arena *a, const backend *b, enum op_id id, int case_no, error *e) {
    const op *o = b->ops[id];
    const op_case *c = &o->cases[case_no];
    const node *n = case_node(a, b, id, c, PACK, e);
    if (!n) return NULL;
    op_data *d = ARENA_NEW(a, op_data, 1);
    *d = (op_data){.runs = PACK, .n_in = n->n_in, .out_n = (long)n->out->n};
    rng_key key = rng_key_make(1, "op_test", o->name, strlen(o->name));
    for (int i = 0; i < d->n_in; i++) {
        d->in[i].n = (long)n->in[i]->n;
        d->in[i].shared = c->in[i].shared;
        d->in[i].flat = is_flat(n, c, i);
        d->in[i].is_int = c->in[i].below > 0;
        draw_input(a, d, c, i, rng_start(key, (uint64_t)case_no, (uint32_t)i));
        for (long j = 0; o->shapes & READS_IN(i) && j < d->in[i].n; j++)
            d->in[i].real[j] = (double)NAN;
    }
    rng draw = rng_start(key, (uint64_t)case_no, MAX_IN);
    d->cotangent = ARENA_NEW(a, double, d->out_n);
    for (long j = 0; j < d->out_n; j++) {
        d->cotangent[j] = (double)(float)(2 * rng_uniform(&draw) - 1);
        if (o->flags & OP_ROOT) d->cotangent[j] = d->in[d->n_in - 1].real[j / (d->out_n / PACK)];
    }
    return d;
}

op_data *data_slice(arena *a, const op_data *d, int r) {
    op_data *s = ARENA_NEW(a, op_data, 1);
    *s = *d;
    s->runs = 1;
    for (int i = 0; i < d->n_in; i++) {
        long n = s->in[i].n = data_per_run(d, i);
        if (d->in[i].is_int) s->in[i].ints = ARENA_NEW(a, int, n);
        if (!d->in[i].is_int) s->in[i].real = ARENA_NEW(a, double, n);
        for (long j = 0; j < n; j++) {
            long from = data_index(d, i, r, j);
            if (d->in[i].is_int) s->in[i].ints[j] = d->in[i].ints[from];
            if (!d->in[i].is_int) s->in[i].real[j] = d->in[i].real[from];
        }
    }
    s->out_n = d->out_n / d->runs;
    s->cotangent = d->cotangent + r * s->out_n;
    return s;
}
