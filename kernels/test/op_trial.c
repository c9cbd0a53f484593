/* op_trial.c - see op_trial.h. */
#include "op_trial.h"

#include <string.h>

/* With the address sanitizer, redzones also stop reads whose value is thrown away. */
#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    define POISON(from, to)   ASAN_POISON_MEMORY_REGION(from, (size_t)((to) - (from)))
#    define UNPOISON(p, bytes) ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#else
#    define POISON(from, to)   (void)0
#    define UNPOISON(p, bytes) (void)0
#endif

enum { GUARD = 512, LINE = 64 }; /* bytes: GUARD is wider than any vector store */

bool memory_is_host(const backend *b) {
    error e = {0};
    return b->put == backend_find("f64", &e)->put; /* all CPU builds share their memory slots */
}

/* ---- guarded buffers -------------------------------------------------------------------- */

static size_t end_of(const guarded *b) { return b->at + b->bytes + 2 * GUARD + LINE; }

/* Appends a buffer of n elements to the block, which has no memory yet. */
static void guarded_add(trial *t, guarded *b, const char *name, int input, bool is_int, size_t n,
                        int shift) {
    *b = (guarded){.name = name, .input = input, .is_int = is_int, .n = (long)n};
    if (!n) return;
    b->item = is_int ? sizeof(int) : t->backend->real_bytes;
    b->bytes = n * b->item;
    b->at = t->bytes;
    b->data_at = b->at + GUARD + (size_t)shift * b->item;
    t->bytes = (end_of(b) + LINE - 1) / LINE * LINE;
    t->all[t->n_all++] = b;
}

static void guarded_keep(trial *t, guarded *b) { /* from now on b is only read */
    if (!b->n) return;
    b->copy = arena_alloc(t->arena, b->bytes);
    memcpy(b->copy, b->data, b->bytes);
}

__attribute__((no_sanitize_address)) static bool redzones_intact(const guarded *b) {
    const unsigned char *end = b->base + (end_of(b) - b->at);
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

static void store(guarded *b, long i, double value) {
    unsigned char *at = (unsigned char *)b->data + (size_t)i * b->item;
    if (b->item == sizeof(float)) {
        float v = (float)value;
        memcpy(at, &v, sizeof v);
    } else {
        memcpy(at, &value, sizeof value);
    }
}

void guarded_put(guarded *b, long i, double value) {
    CHECK(b->device == b->data);
    store(b, i, value);
}

/* ---- the block, here and on the device -------------------------------------------------- */

static bool is_mirrored(const trial *t) { return t->host != t->device; }

/* The sanitizer also watches emulated kernels in emulated memory. */
static bool is_watched(const trial *t) { return IS_EMULATED || !is_mirrored(t); }

static void arm(const trial *t) {
    for (int i = 0; i < t->n_all && is_watched(t); i++) {
        const guarded *b = t->all[i];
        POISON(t->device + b->at, t->device + b->data_at);
        POISON(t->device + b->data_at + b->bytes, t->device + end_of(b));
        (void)b;
    }
}

static void disarm(const trial *t) {
    if (is_watched(t)) UNPOISON(t->device, t->bytes);
}

static void finish(const trial *t) {
    error e = {0};
    if (t->backend->sync(&e)) BUG("op %s on backend %s: %s", t->op->name, t->backend->name, e.text);
}

static void send(const trial *t) {
    if (is_mirrored(t)) t->backend->put(t->device, t->host, t->bytes);
    arm(t);
}

static void fetch(const trial *t) {
    if (!is_mirrored(t)) return;
    finish(t); /* kernels run before the redzones are read */
    disarm(t);
    t->backend->get(t->host, t->device, t->bytes);
    finish(t);
    arm(t);
}

/* Gives the block memory and every buffer its place in it. */
static void allocate(trial *t) {
    error e = {0};
    t->device = t->backend->alloc(t->bytes, &e);
    if (!t->device) BUG("%s", e.text);
    t->host = memory_is_host(t->backend) ? t->device : arena_alloc(t->arena, t->bytes);
    memset(t->host, FILL_NAN, t->bytes); /* a read past the end becomes NaN */
    for (int i = 0; i < t->n_all; i++) {
        guarded *b = t->all[i];
        b->base = t->host + b->at;
        b->data = t->host + b->data_at;
        b->device = t->device + b->data_at;
    }
}

/* ---- running ---------------------------------------------------------------------------- */

/* The emulated backends are one device in several thread orders; the last one opened is in use. */
static void choose_order(const backend *b) {
    error e = {0};
    if (IS_EMULATED && b->open(NULL, NUMERICS_STRICT, &e)) BUG("%s", e.text);
}

static void run_all(void *context) {
    trial *t = context;
    t->op->fwd(t->node, t->backend->kernels);
    if (t->op->bwd) t->op->bwd(t->node, t->backend->kernels);
}

/* Scratch as a tape gets it: measured once, then never exceeded. */
static void reserve(trial *t) {
    error e = {0};
    const size_t bytes = t->backend->measure(run_all, t);
    if (t->backend->reserve(bytes, &e)) BUG("%s", e.text);
}

static void add_all(trial *t, int case_no, const op_data *d) {
    const node *n = t->node;
    const int shift = t->way.shift;
    for (int i = 0; i < n->n_in; i++) {
        const bool wanted =
            has_gradient(n, &t->op->cases[case_no], i) && !(t->way.no_dx & READS_IN(i));
        guarded_add(t, &t->x[i], "input", i, d->in[i].is_int, n->in[i]->n, shift);
        if (wanted) guarded_add(t, &t->g[i], "gradient of input", i, false, n->in[i]->n, shift);
    }
    guarded_add(t, &t->out, "output", -1, n->out->kind == TENSOR_INT, n->out->n, shift);
    guarded_add(t, &t->aux, "aux", -1, n->aux->kind == TENSOR_INT, n->aux->n, shift);
    guarded_add(t, &t->work, "work", -1, false, n->work_n, 0); /* the planner aligns it */
    if (!(t->op->flags & (OP_ROOT | OP_UPDATE)))
        guarded_add(t, &t->dout, "gradient of the output", -1, false, n->out->n, shift);
}

static void fill_all(trial *t, const op_data *d) {
    for (int i = 0; i < t->node->n_in; i++) {
        guarded *x = &t->x[i], *g = &t->g[i];
        if (d->in[i].is_int) memcpy(x->data, d->in[i].ints, x->bytes);
        for (long j = 0; j < x->n && !d->in[i].is_int; j++) store(x, j, d->in[i].real[j]);
        for (long j = 0; j < g->n; j++) store(g, j, t->way.preset);
        if (i >= t->op->n_inout) guarded_keep(t, x);
    }
    guarded *const results[] = {&t->out, &t->aux, &t->work};
    for (int i = 0; i < 3; i++)
        if (results[i]->n) memset(results[i]->data, t->way.fill, results[i]->bytes);
    for (long j = 0; j < t->dout.n; j++) store(&t->dout, j, d->cotangent[j]);
    guarded_keep(t, &t->dout);
}

static void bind_all(trial *t) {
    node *n = t->node;
    for (int i = 0; i < n->n_in; i++) {
        n->in[i]->x = t->x[i].device;
        n->in[i]->g = t->g[i].device;
    }
    n->out->x = t->out.device;
    n->out->g = t->dout.device;
    n->aux->x = t->aux.device;
    n->work = t->work.device;
}

trial *trial_new(arena *a, const backend *b, enum op_id id, int case_no, const op_data *d,
                 trial_way way) {
    error e = {0};
    trial *t = ARENA_NEW(a, trial, 1);
    *t = (trial){.arena = a, .backend = b, .op = b->ops[id], .way = way};
    t->node = case_node(a, b, id, &t->op->cases[case_no], d->runs, &e);
    if (!t->node) BUG("%s", e.text);
    add_all(t, case_no, d);
    allocate(t);
    bind_all(t);
    reserve(t);
    fill_all(t, d);
    send(t);
    return t;
}

void trial_free(trial *t) {
    disarm(t);
    t->backend->release(t->device);
}

static void hide(trial *t, guarded *b, bool is_read) {
    if (is_read || !b->n) return;
    memset(b->data, FILL_NAN, b->bytes);
    if (is_mirrored(t)) t->backend->put(b->device, b->data, b->bytes);
    b->copy = NULL;
}

void trial_forward(trial *t) {
    choose_order(t->backend);
    t->op->fwd(t->node, t->backend->kernels);
    fetch(t);
}

void trial_train(trial *t) {
    const unsigned reads = t->op->reads;
    const bool root = t->op->flags & OP_ROOT;
    if (!root) trial_forward(t);
    if (t->op->flags & OP_UPDATE) return;
    if (!root) guarded_keep(t, &t->out), guarded_keep(t, &t->aux);
    if (t->way.hide) {
        for (int i = 0; i < t->node->n_in; i++) hide(t, &t->x[i], reads & READS_IN(i));
        hide(t, &t->out, reads & READS_OUT);
        hide(t, &t->aux, reads & READS_AUX);
        hide(t, &t->work, false); /* other nodes use it in between */
    }
    choose_order(t->backend);
    t->op->bwd(t->node, t->backend->kernels);
    fetch(t);
}

const char *trial_damage(const trial *t) {
    for (int i = 0; i < t->n_all; i++) {
        const guarded *b = t->all[i];
        const char *what =
            b->input < 0 ? b->name : arena_printf(t->arena, "%s %d", b->name, b->input);
        if (!redzones_intact(b)) return arena_printf(t->arena, "wrote outside of the %s", what);
        if (b->copy && memcmp(b->copy, b->data, b->bytes) != 0)
            return arena_printf(t->arena, "changed the %s", what);
    }
    return NULL;
}
