/* op_trial.c - see op_trial.h. */
#include "op_trial.h"

#include "kernels/core/rng.h"

#include <string.h>

/* With the address sanitizer, redzones also stop reads whose value is thrown away. */
#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    define POISON(from, to) ASAN_POISON_MEMORY_REGION(from, (size_t)((to) - (from)))
#else
#    define POISON(from, to) (void)0
#endif

enum { GUARD = 512, LINE = 64 }; /* bytes: GUARD is wider than any vector store */

bool has_gradient(const op *o, int case_no, const op_data *d, int input) {
    if (o->flags & OP_UPDATE || d->in[input].is_int || o->cases[case_no].in[input].fixed)
        return false;
    return !(o->flags & OP_ROOT) || input < d->n_in - 1; /* `scale` comes last */
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

/* Appends the node of a case to a graph of its own. */
static node *case_node(arena *a, const backend *b, enum op_id id, int case_no, int runs, error *e) {
    const op *o = b->ops[id];
    const op_case *c = &o->cases[case_no];
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
    const node *n = case_node(a, b, id, case_no, PACK, e);
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

/* ---- guarded buffers -------------------------------------------------------------------- */

static guarded guarded_new(trial *t, const char *name, int input, bool is_int, size_t n,
                           int shift) {
    guarded b = {.name = name, .input = input, .is_int = is_int, .n = (long)n};
    b.item = is_int ? sizeof(int) : t->backend->real_bytes;
    b.bytes = n * b.item;
    if (!n) return b;
    b.base = arena_alloc(t->arena, b.bytes + 2 * GUARD + LINE);
    memset(b.base, FILL_NAN, b.bytes + 2 * GUARD + LINE); /* a read past the end becomes NaN */
    b.data = b.base + GUARD + (size_t)shift * b.item;
    memset(b.data, t->way.fill, b.bytes);
    POISON(b.base, (unsigned char *)b.data);
    POISON((unsigned char *)b.data + b.bytes, b.base + b.bytes + 2 * GUARD + LINE);
    return b;
}

static void guarded_keep(trial *t, guarded *b) { /* from now on b is only read */
    if (!b->n) return;
    b->copy = arena_alloc(t->arena, b->bytes);
    memcpy(b->copy, b->data, b->bytes);
}

__attribute__((no_sanitize_address)) static bool redzones_intact(const guarded *b) {
    if (!b->n) return true;
    const unsigned char *end = b->base + b->bytes + 2 * GUARD + LINE;
    for (const unsigned char *p = b->base; p < end; p++) {
        if (p == b->data) p += b->bytes;
        if (*p != FILL_NAN) return false;
    }
    return true;
}

double guarded_get(const guarded *b, long i) {
    const unsigned char *at = (const unsigned char *)b->data + (size_t)i * b->item;
    if (b->is_int) {
        int v;
        memcpy(&v, at, sizeof v);
        return v;
    }
    if (b->item == sizeof(float)) {
        float v;
        memcpy(&v, at, sizeof v);
        return (double)v;
    }
    double v;
    memcpy(&v, at, sizeof v);
    return v;
}

void guarded_put(guarded *b, long i, double value) {
    unsigned char *at = (unsigned char *)b->data + (size_t)i * b->item;
    if (b->item == sizeof(float)) {
        float v = (float)value;
        memcpy(at, &v, sizeof v);
    } else {
        memcpy(at, &value, sizeof value);
    }
}

/* ---- running ---------------------------------------------------------------------------- */

trial *trial_new(arena *a, const backend *b, enum op_id id, int case_no, const op_data *d,
                 trial_way way) {
    error e = {0};
    trial *t = ARENA_NEW(a, trial, 1);
    *t = (trial){.arena = a, .backend = b, .op = b->ops[id], .way = way};
    node *n = t->node = case_node(a, b, id, case_no, d->runs, &e);
    if (!n) BUG("%s", e.text);
    for (int i = 0; i < n->n_in; i++) {
        tensor *in = n->in[i];
        guarded *x = &t->x[i], *g = &t->g[i];
        *x = guarded_new(t, "input", i, d->in[i].is_int, in->n, way.shift);
        if (d->in[i].is_int) memcpy(x->data, d->in[i].ints, x->bytes);
        if (!d->in[i].is_int) backend_put_reals(b, x->data, d->in[i].real, in->n);
        if (i >= t->op->n_inout) guarded_keep(t, x);
        in->x = x->data;
        if (!has_gradient(t->op, case_no, d, i) || (way.no_dx & READS_IN(i))) continue;
        *g = guarded_new(t, "gradient of input", i, false, in->n, way.shift);
        for (long j = 0; j < g->n; j++) guarded_put(g, j, way.preset);
        in->g = g->data;
    }
    t->out = guarded_new(t, "output", -1, n->out->kind == TENSOR_INT, n->out->n, way.shift);
    t->aux = guarded_new(t, "aux", -1, n->aux->kind == TENSOR_INT, n->aux->n, way.shift);
    t->work = guarded_new(t, "work", -1, false, n->work_n, 0); /* the planner aligns it */
    n->out->x = t->out.data;
    n->aux->x = t->aux.data;
    n->work = t->work.data;
    if (t->op->flags & (OP_ROOT | OP_UPDATE)) return t;
    t->dout = guarded_new(t, "gradient of the output", -1, false, n->out->n, way.shift);
    backend_put_reals(b, t->dout.data, d->cotangent, n->out->n);
    guarded_keep(t, &t->dout);
    n->out->g = t->dout.data;
    return t;
}

static void hide(guarded *b, bool is_read) {
    if (is_read || !b->n) return;
    memset(b->data, FILL_NAN, b->bytes);
    b->copy = NULL;
}

void trial_forward(trial *t) { t->op->fwd(t->node, t->backend->kernels); }

void trial_train(trial *t) {
    const unsigned reads = t->op->reads;
    const bool root = t->op->flags & OP_ROOT;
    if (!root) trial_forward(t);
    if (t->op->flags & OP_UPDATE) return;
    if (!root) guarded_keep(t, &t->out), guarded_keep(t, &t->aux);
    if (t->way.hide) {
        for (int i = 0; i < t->node->n_in; i++) hide(&t->x[i], reads & READS_IN(i));
        hide(&t->out, reads & READS_OUT);
        hide(&t->aux, reads & READS_AUX);
        hide(&t->work, false); /* other nodes use it in between */
    }
    t->op->bwd(t->node, t->backend->kernels);
}

const char *trial_damage(const trial *t) {
    const guarded *all[2 * MAX_IN + 4] = {&t->out, &t->dout, &t->aux, &t->work};
    int n = 4;
    for (int i = 0; i < t->node->n_in; i++) {
        all[n++] = &t->x[i];
        all[n++] = &t->g[i];
    }
    for (int i = 0; i < n; i++) {
        const guarded *b = all[i];
        const char *what =
            b->input < 0 ? b->name : arena_printf(t->arena, "%s %d", b->name, b->input);
        if (!redzones_intact(b)) return arena_printf(t->arena, "wrote outside of the %s", what);
        if (b->copy && memcmp(b->copy, b->data, b->bytes) != 0)
            return arena_printf(t->arena, "changed the %s", what);
    }
    return NULL;
}
