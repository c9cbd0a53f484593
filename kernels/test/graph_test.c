/* graph_test.c - the tape: memory plan, sticky errors, packs, initial values; arenas and backends.
 *
 * The tape under test is a small residual network with a head, as in real models: it has tensors
 * that are read twice, an output that nothing reads, and an end that computes in backward only. */
#include "kernels/core/backend.h"
#include "kernels/core/op.h"
#include "kernels/core/rng.h"

#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { B = 2, T = 5, C = 12, HIDDEN = 20, V = 7, LAYERS = 4, PACK = 3 };

static const backend *device(const char *name) {
    error e = {0};
    const backend *b = backend_find(name, &e);
    if (!b) fail_msg("%s", e.text);
    return b;
}

/* ---- a small network -------------------------------------------------------------------- */

typedef struct net {
    graph *g;
    tensor *x, *label, *scale, *nll;
    void *base, *param, *grad;
} net;

static const init small = {INIT_NORMAL, 0.2}, zero = {INIT_CONST, 0};

static net net_build(arena *a, const backend *b, int runs) {
    net n = {.g = graph_new(a, b, runs)};
    graph *g = n.g;
    n.x = graph_input(g, TENSOR_REAL, "x", DIM(runs, B, T, C));
    n.label = graph_input(g, TENSOR_INT, "label", DIM(runs, B, T));
    n.scale = graph_input(g, TENSOR_REAL, "scale", DIM(runs));
    tensor *x = n.x;
    for (int l = 0; l < LAYERS; l++) {
        const char *up = arena_printf(a, "up%d", l), *down = arena_printf(a, "down%d", l);
        tensor *w = graph_param(g, up, small, true, DIM(runs, C, HIDDEN));
        tensor *v = graph_param(g, down, small, true, DIM(runs, HIDDEN, C));
        tensor *bias = graph_param(g, arena_printf(a, "bias%d", l), zero, false, DIM(runs, C));
        tensor *h = APPLY(g, linear, IN(x, w));
        APPLY(g, add, IN(h, h)); /* nothing reads this one */
        x = APPLY(g, add, IN(x, APPLY(g, linear, IN(h, v, bias))));
    }
    tensor *table = graph_param(g, "table", small, true, DIM(runs, V, C));
    n.nll = APPLY(g, head, IN(x, table, n.label, n.scale));
    return n;
}

static void net_plan(arena *a, net *n) {
    error e = {0};
    if (graph_plan(n->g, true, &e)) fail_msg("%s", e.text);
    n->base = arena_alloc(a, graph_arena_bytes(n->g));
    n->param = arena_alloc(a, graph_param_bytes(n->g));
    n->grad = arena_alloc(a, graph_param_bytes(n->g));
    memset(n->base, 0xFF, graph_arena_bytes(n->g)); /* NaN: nothing may rely on zeros */
    graph_bind(n->g, n->base, n->param, n->grad);
}

/* Parameters of run `first + r` of the experiment in run r of the net. */
static void net_start(net *n, int first) {
    const graph *g = n->g;
    const size_t real = g->backend->real_bytes;
    double *value = ARENA_NEW(g->arena, double, g->param_n);
    for (int r = 0; r < g->runs; r++) {
        graph_init(g, (uint64_t)(10 + first + r), 1, value);
        for (int i = 0; i < g->n_param; i++) {
            const tensor *t = g->param[i];
            const size_t per_run = t->n / (size_t)g->runs;
            backend_put_reals(g->backend, (char *)t->x + (size_t)r * per_run * real,
                              value + t->offset, per_run);
        }
    }
}

static void net_feed(net *n, int first, int step) {
    const graph *g = n->g;
    double x[PACK * B * T * C], scale[PACK];
    int label[PACK * B * T];
    for (int r = 0; r < g->runs; r++) {
        rng draw = rng_start(rng_key_make(3, "feed", "", 0), (uint64_t)(first + r), (uint32_t)step);
        for (int i = 0; i < B * T * C; i++) x[r * B * T * C + i] = rng_normal(&draw);
        for (int i = 0; i < B * T; i++) label[r * B * T + i] = (int)rng_below(&draw, V + 1) - 1;
        scale[r] = 1.0 / (B * T);
    }
    backend_put_reals(g->backend, n->x->x, x, n->x->n);
    backend_put_reals(g->backend, n->scale->x, scale, n->scale->n);
    g->backend->put(n->label->x, label, n->label->n * sizeof(int));
}

/* Five steps of plain gradient descent; the arithmetic of the step is the host's. */
static void net_train(net *n, int first) {
    const graph *g = n->g;
    const size_t count = (size_t)g->runs * g->param_n;
    double *p = ARENA_NEW(g->arena, double, count), *d = ARENA_NEW(g->arena, double, count);
    net_start(n, first);
    for (int step = 0; step < 5; step++) {
        net_feed(n, first, step);
        memset(n->grad, 0, graph_param_bytes(g));
        graph_forward(n->g);
        graph_backward(n->g);
        backend_get_reals(g->backend, p, n->param, count);
        backend_get_reals(g->backend, d, n->grad, count);
        for (size_t i = 0; i < count; i++) p[i] -= 0.1 * d[i];
        backend_put_reals(g->backend, n->param, p, count);
    }
}

/* ---- memory plan ------------------------------------------------------------------------ */

typedef struct interval {
    size_t at, n;
    int first, last;
} interval;

static int list_intervals(const graph *g, interval *list) {
    int n = 0;
    for (int i = 0; i < g->n_tensor; i++) {
        const tensor *t = g->tensor[i];
        if (t->kind == TENSOR_PARAM || !t->n) continue;
        list[n++] = (interval){t->at, t->n, t->first, t->last};
        if (t->g_first >= 0) list[n++] = (interval){t->g_at, t->n, t->g_first, t->g_last};
    }
    return n;
}

static void test_plan_no_overlap(void **state) {
    (void)state;
    arena *a = arena_new();
    for (int training = 0; training < 2; training++) {
        net n = net_build(a, device("f64"), PACK);
        error e = {0};
        assert_int_equal(graph_plan(n.g, training, &e), STATUS_OK);
        interval *list = ARENA_NEW(a, interval, 2 * n.g->n_tensor);
        const int count = list_intervals(n.g, list);
        unsigned char *used = arena_alloc(a, n.g->arena_n);
        size_t most = 0;
        for (int moment = 0; moment < 2 * n.g->n_node; moment++) {
            memset(used, 0, n.g->arena_n);
            size_t live = n.g->work_n;
            for (int i = 0; i < count; i++) {
                if (moment < list[i].first || moment > list[i].last) continue;
                assert_true(list[i].at + list[i].n <= n.g->arena_n - n.g->work_n);
                for (size_t k = list[i].at; k < list[i].at + list[i].n; k++) {
                    assert_int_equal(used[k], 0);
                    used[k] = 1;
                }
                live += list[i].n;
            }
            if (live > most) most = live;
        }
        assert_true(n.g->arena_n >= most);
        assert_true(n.g->arena_n < n.g->naive_n); /* memory is used again */
        assert_true(n.g->arena_n * 10 <= most * 13);
    }
    arena_free(a);
}

/* Lifetimes are right if a tape computes the same with memory of its own for every tensor. */
static void test_plan_equals_separate_memory(void **state) {
    (void)state;
    arena *a = arena_new();
    net planned = net_build(a, device("cpu"), PACK), apart = net_build(a, device("cpu"), PACK);
    net_plan(a, &planned);
    net_plan(a, &apart);
    const size_t real = apart.g->backend->real_bytes;
    for (int i = 0; i < apart.g->n_tensor; i++) {
        tensor *t = apart.g->tensor[i];
        if (t->kind == TENSOR_PARAM || !t->n) continue;
        t->x = memset(arena_alloc(a, t->n * real), 0xFF, t->n * real);
        if (t->g) t->g = memset(arena_alloc(a, t->n * real), 0xFF, t->n * real);
    }
    net_train(&planned, 0);
    net_train(&apart, 0);
    assert_memory_equal(planned.grad, apart.grad, graph_param_bytes(apart.g));
    assert_memory_equal(planned.param, apart.param, graph_param_bytes(apart.g));
    double sum = 0, *p = ARENA_NEW(a, double, PACK *apart.g->param_n);
    backend_get_reals(apart.g->backend, p, apart.grad, PACK * apart.g->param_n);
    for (size_t i = 0; i < PACK * apart.g->param_n; i++) sum += fabs(p[i]);
    assert_true(sum > 0 && isfinite(sum)); /* neither nothing nor NaN was compared */
    arena_free(a);
}

/* A filter made of positions and parameters, in a tape for `batch` sequences: nll, and by it all
 * gradients. One steady tensor has readers of both kinds, one is read twice. */
static net filter_net(arena *a, int batch) {
    net n = {.g = graph_new(a, device("f64"), 2)};
    graph *g = n.g;
    n.x = graph_input(g, TENSOR_REAL, "x", DIM(2, batch, T, C));
    n.label = graph_input(g, TENSOR_INT, "label", DIM(2, batch, T));
    n.scale = graph_input(g, TENSOR_REAL, "scale", DIM(2));
    tensor *w = graph_param(g, "w", small, true, DIM(2, C - 1, C));
    tensor *up = graph_param(g, "up", small, true, DIM(2, C, C));
    tensor *table = graph_param(g, "table", small, true, DIM(2, V, C));
    tensor *x = APPLY(g, add, IN(n.x, APPLY(g, linear, IN(n.x, up)))); /* leaves memory free */
    tensor *time = APPLY_WITH(g, features, IN(x), .heads = C - 1, .steps = T);
    tensor *one = APPLY(g, linear, IN(time, w));
    x = APPLY(g, conv, IN(x, one));
    tensor *two = APPLY(g, linear, IN(APPLY(g, mul, IN(one, one)), up));
    x = APPLY(g, add, IN(x, APPLY(g, conv, IN(x, two))));
    n.nll = APPLY(g, head, IN(x, table, n.label, n.scale));
    assert_true(one->steady && two->steady && !x->steady);
    net_plan(a, &n);
    net_start(&n, 0);
    return n;
}

/* Sequences `from` on of a batch of PARTS. */
static void filter_feed(const net *n, int from, int batch, int parts) {
    double *x = n->x->x, *scale = n->scale->x;
    int *label = n->label->x;
    for (int r = 0; r < 2; r++) {
        scale[r] = 1.0 / (parts * T);
        for (int b = 0; b < batch; b++) {
            rng draw =
                rng_start(rng_key_make(4, "parts", "", 0), (uint64_t)r, (uint32_t)(from + b));
            for (int i = 0; i < T * C; i++) x[(r * batch + b) * T * C + i] = rng_normal(&draw);
            for (int i = 0; i < T; i++) label[(r * batch + b) * T + i] = (int)rng_below(&draw, V);
        }
    }
}

/* NaN wherever one part of a batch may leave something that the next one may overwrite. */
static void net_spoil(const net *n) {
    for (int i = 0; i < n->g->n_tensor; i++) {
        const tensor *t = n->g->tensor[i];
        if (t->kind == TENSOR_PARAM || !t->n) continue;
        const size_t bytes = t->n * n->g->backend->real_bytes;
        if (!t->steady) memset(t->x, 0xFF, bytes);
        if (t->g && t->g_first == t->g_zero) memset(t->g, 0xFF, bytes);
    }
}

/* A batch in parts has the losses of a batch at once to the bit, and its gradients but for
 * rounding; a second step knows nothing of the first. */
static void test_parts_equal_a_batch(void **state) {
    (void)state;
    enum { PARTS = 3 };
    arena *a = arena_new();
    net whole = filter_net(a, PARTS), part = filter_net(a, 1);
    filter_feed(&whole, 0, PARTS, PARTS);
    memset(whole.grad, 0, graph_param_bytes(whole.g));
    graph_forward(whole.g);
    graph_backward(whole.g);
    const double *want = whole.grad, *got = part.grad;
    for (int step = 0; step < 2; step++) {
        memset(part.grad, 0, graph_param_bytes(part.g));
        for (int p = 0; p < PARTS; p++) {
            net_spoil(&part);
            filter_feed(&part, p, 1, PARTS);
            graph_part(part.g, p == 0, p == PARTS - 1);
            for (int r = 0; r < 2; r++)
                assert_memory_equal((double *)part.nll->x + r * T,
                                    (double *)whole.nll->x + (r * PARTS + p) * T,
                                    T * sizeof(double));
        }
        for (size_t i = 0; i < 2 * part.g->param_n; i++) {
            assert_true(want[i] != 0);
            assert_true(fabs(got[i] - want[i]) < 1e-12 * (1 + fabs(want[i])));
        }
    }
    arena_free(a);
}

/* Without a root, the host seeds the last output's gradient; here y = x w, so dw = x for dy = 1. */
static void test_host_seeds_gradient(void **state) {
    (void)state;
    arena *a = arena_new();
    error e = {0};
    graph *g = graph_new(a, device("f64"), 1);
    tensor *x = graph_input(g, TENSOR_REAL, "x", DIM(1, 1, 3));
    tensor *w = graph_param(g, "w", small, true, DIM(1, 3, 1));
    tensor *y = APPLY(g, linear, IN(x, w));
    assert_int_equal(graph_plan(g, true, &e), STATUS_OK);
    double param[3] = {0.5, -1, 2}, grad[3] = {0}, value[3] = {3, 5, 7}, one = 1;
    graph_bind(g, arena_alloc(a, graph_arena_bytes(g)), param, grad);
    memcpy(x->x, value, sizeof value);
    graph_forward(g);
    assert_true(*(double *)y->x == 0.5 * 3 - 5 + 2 * 7);
    memcpy(y->g, &one, sizeof one);
    graph_backward(g);
    assert_memory_equal(grad, value, sizeof value);
    arena_free(a);
}

static void test_inference_needs_less(void **state) {
    (void)state;
    arena *a = arena_new();
    error e = {0};
    net n = net_build(a, device("f64"), 1);
    assert_int_equal(graph_plan(n.g, true, &e), STATUS_OK);
    const size_t training = graph_arena_bytes(n.g);
    assert_int_equal(graph_plan(n.g, false, &e), STATUS_OK);
    assert_true(graph_arena_bytes(n.g) < training);
    for (int i = 0; i < n.g->n_tensor; i++) assert_true(n.g->tensor[i]->g_first < 0);
    arena_free(a);
}

/* ---- packs ------------------------------------------------------------------------------ */

static void test_pack_equals_alone(void **state) {
    (void)state;
    static const char *const names[] = {"cpu", "f64"};
    for (int k = 0; k < 2; k++) {
        arena *a = arena_new();
        net pack = net_build(a, device(names[k]), PACK);
        net_plan(a, &pack);
        net_train(&pack, 0);
        const size_t real = pack.g->backend->real_bytes;
        for (int r = 0; r < PACK; r++) {
            net alone = net_build(a, device(names[k]), 1);
            net_plan(a, &alone);
            net_train(&alone, r);
            for (int i = 0; i < pack.g->n_param; i++) {
                const tensor *t = pack.g->param[i], *u = alone.g->param[i];
                const char *mine = (const char *)t->x + (size_t)r * u->n * real;
                assert_memory_equal(mine, u->x, u->n * real);
            }
        }
        arena_free(a);
    }
}

/* ---- errors of builders ----------------------------------------------------------------- */

static void test_errors_stick(void **state) {
    (void)state;
    arena *a = arena_new();
    graph *g = graph_new(a, device("f64"), 2);
    tensor *x = graph_input(g, TENSOR_REAL, "tokens", DIM(2, 4, 6));
    tensor *w = graph_param(g, "weight", small, true, DIM(2, 7, 3));
    tensor *bad = APPLY(g, linear, IN(x, w));
    assert_null(bad);
    assert_null(APPLY(g, add, IN(bad, x)));
    assert_null(APPLY(g, linear, IN(x, x))); /* a second fault does not hide the first */
    error e = {0};
    assert_int_equal(graph_plan(g, true, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "op linear: the last axis of x is not the input size of w"));
    assert_non_null(strstr(e.text, "tokens [2,4,6], weight [2,7,3]"));
    assert_int_equal(g->n_node, 0);
    arena_free(a);
}

static void test_wrong_number_of_inputs(void **state) {
    (void)state;
    arena *a = arena_new();
    graph *g = graph_new(a, device("f64"), 1);
    tensor *x = graph_input(g, TENSOR_REAL, "x", DIM(1, 4));
    assert_null(APPLY(g, add, IN(x, x, x)));
    error e = {0};
    assert_int_equal(graph_plan(g, false, &e), STATUS_USAGE);
    assert_non_null(strstr(e.text, "op add: wrong number of inputs"));
    arena_free(a);
}

/* ---- parameters ------------------------------------------------------------------------- */

static graph *two_params(arena *a, bool swapped) {
    graph *g = graph_new(a, device("f64"), PACK);
    if (swapped) graph_param(g, "other", zero, false, DIM(PACK, 2));
    for (int i = 0; i < 2; i++) {
        const bool wide = (i == 0) != swapped;
        if (wide) graph_param(g, "wide", (init){INIT_NORMAL, 0.5}, true, DIM(PACK, 100, 30));
        if (!wide) graph_param(g, "flat", (init){INIT_UNIFORM, 2}, false, DIM(PACK, 50));
    }
    return g;
}

static const double *value_of(const graph *g, const double *values, const char *name) {
    for (int i = 0; i < g->n_param; i++)
        if (!strcmp(g->param[i]->name, name)) return values + g->param[i]->offset;
    fail_msg("no parameter %s", name);
    return NULL;
}

static void test_init_depends_on_names(void **state) {
    (void)state;
    arena *a = arena_new();
    graph *g = two_params(a, false), *h = two_params(a, true);
    double *p = ARENA_NEW(a, double, g->param_n), *q = ARENA_NEW(a, double, h->param_n);
    graph_init(g, 1, 1, p);
    graph_init(h, 1, 1, q);
    assert_memory_equal(value_of(g, p, "wide"), value_of(h, q, "wide"), 3000 * sizeof *p);
    assert_memory_equal(value_of(g, p, "flat"), value_of(h, q, "flat"), 50 * sizeof *p);
    assert_true(value_of(g, p, "wide")[0] != value_of(g, p, "flat")[0]);

    double mean = 0, square = 0, most = 0;
    for (int i = 0; i < 3000; i++) mean += value_of(g, p, "wide")[i] / 3000;
    for (int i = 0; i < 3000; i++) square += pow(value_of(g, p, "wide")[i] - mean, 2) / 3000;
    for (int i = 0; i < 50; i++) most = fmax(most, fabs(value_of(g, p, "flat")[i]));
    assert_true(fabs(mean) < 5 * 0.5 / sqrt(3000) && fabs(sqrt(square) - 0.5) < 0.05);
    assert_true(most < 2 && most > 1.5);

    graph_init(g, 1, 3, q); /* scale multiplies random starts */
    for (int i = 0; i < 3000; i++)
        assert_true(fabs(value_of(g, q, "wide")[i] - 3 * value_of(g, p, "wide")[i]) < 1e-14);
    graph_init(g, 2, 1, q);
    assert_true(value_of(g, q, "wide")[0] != value_of(g, p, "wide")[0]);
    arena_free(a);
}

static void test_init_kinds(void **state) {
    (void)state;
    arena *a = arena_new();
    graph *g = graph_new(a, device("f64"), 1);
    graph_param(g, "one", (init){INIT_CONST, 1}, false, DIM(1, 3));
    graph_param(g, "tap", (init){INIT_IDENTITY_TAP, 0}, false, DIM(1, 4, 2));
    double p[11];
    graph_init(g, 1, 5, p);
    static const double want[] = {1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0};
    assert_memory_equal(p, want, sizeof want);
    arena_free(a);
}

static void test_segments(void **state) {
    (void)state;
    arena *a = arena_new();
    graph *g = two_params(a, false);
    const int *seg = graph_segments(g, a);
    static const int want[] = {0, 3000, 1, 3000, 50, 0};
    assert_memory_equal(seg, want, sizeof want);
    assert_int_equal(graph_param_bytes(g), PACK * 3050 * sizeof(double));
    arena_free(a);
}

static void test_flops(void **state) {
    (void)state;
    arena *a = arena_new();
    net n = net_build(a, device("f64"), PACK);
    const double rows = PACK * B * T;
    const double layer = 2 * rows * C * HIDDEN * 2 + rows * HIDDEN + rows * C;
    assert_true(graph_flops(n.g) == LAYERS * layer + 2 * rows * C * V);
    arena_free(a);
}

/* ---- backends and arenas ---------------------------------------------------------------- */

static void test_backend_names(void **state) {
    (void)state;
    error e = {0};
    assert_null(backend_find("tpu", &e));
    assert_int_equal(e.code, STATUS_USAGE);
    assert_non_null(strstr(e.text, "no device is called tpu; use auto, cuda"));
    assert_string_equal(device("f64")->name, "f64");
    assert_ptr_equal(device("auto"), device("cpu"));
    assert_null(backend_at(1000));
}

static void test_backend_converts(void **state) {
    (void)state;
    enum { N = 3000 };
    double host[N], back[N];
    for (int i = 0; i < N; i++) host[i] = i / 8.0;
    for (int i = 0; backend_at(i); i++) {
        const backend *b = backend_at(i);
        error e = {0};
        void *memory = b->alloc(N * b->real_bytes, &e);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        backend_put_reals(b, memory, host, N);
        backend_get_reals(b, back, memory, N);
        assert_memory_equal(host, back, sizeof host);
        b->release(memory);
    }
}

static void test_arena(void **state) {
    (void)state;
    arena *a = arena_new();
    for (size_t bytes = 0; bytes < 300000; bytes = 3 * bytes + 1) {
        unsigned char *p = arena_alloc(a, bytes);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(p[i], 0);
        memset(p, 0xAB, bytes); /* the next one must not see it */
    }
    int *items = NULL, n = 0, cap = 0;
    for (int i = 0; i < 1000; i++) {
        ARENA_GROW(a, items, n, cap);
        items[n++] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    assert_string_equal(arena_printf(a, "%s-%d", "w", 3), "w-3");
    assert_null(arena_text(a, NULL));
    arena_free(a);
    arena_free(NULL);
}

static void test_first_error_stays(void **state) {
    (void)state;
    error e = {0};
    assert_int_equal(error_set(&e, STATUS_USAGE, "first %d.", 1), STATUS_USAGE);
    assert_int_equal(error_set(&e, STATUS_ENVIRONMENT, "second."), STATUS_USAGE);
    assert_string_equal(e.text, "first 1.");
}

static void test_sentence_too_long_ends_early(void **state) {
    (void)state;
    const size_t room = sizeof((error *)0)->text;
    for (size_t n = room - 8; n < room + 8; n++) { /* "xx...xää." of n bytes */
        error e = {0};
        char text[2000];
        memset(text, 'x', n - 5);
        memcpy(text + n - 5, "\xc3\xa4\xc3\xa4.", 6);
        error_set(&e, STATUS_USAGE, "%s", text);
        if (n < room) {
            assert_string_equal(e.text, text);
            continue;
        }
        const size_t kept = strlen(e.text) - 3;
        assert_true(kept >= room - 5 && kept < room - 3);
        assert_string_equal(e.text + kept, "...");
        assert_memory_equal(e.text, text, kept);
        assert_int_not_equal((unsigned char)e.text[kept - 1], 0xc3); /* no half character */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_no_overlap),
        cmocka_unit_test(test_plan_equals_separate_memory),
        cmocka_unit_test(test_parts_equal_a_batch),
        cmocka_unit_test(test_host_seeds_gradient),
        cmocka_unit_test(test_inference_needs_less),
        cmocka_unit_test(test_pack_equals_alone),
        cmocka_unit_test(test_errors_stick),
        cmocka_unit_test(test_wrong_number_of_inputs),
        cmocka_unit_test(test_init_depends_on_names),
        cmocka_unit_test(test_init_kinds),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_flops),
        cmocka_unit_test(test_backend_names),
        cmocka_unit_test(test_backend_converts),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_first_error_stays),
        cmocka_unit_test(test_sentence_too_long_ends_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
