/* attention_test.c - tiled attention against softmax(q k^T) v written out in double.
 *
 * Every backend that runs here, a GPU too, forward and backward, lengths around the tile size,
 * windows, ALiBi, odd head sizes; then what tiling could break: causality, independence of the
 * length, large scores, one tensor given as q, k and v. */
#include "kernels/core/backend.h"
#include "kernels/core/rng.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 2, HEADS = 2 };

typedef struct setup {
    int time, dim, window, alibi;
    double spread; /* of q and k: large ones make the softmax pick one key */
} setup;

/* All [B, T, C] but lse [B, H, T]; dout is an input. */
typedef struct result {
    double *q, *k, *v, *dout, *o, *lse, *dq, *dk, *dv;
} result;

static long size_of(const setup *s) { return (long)BATCH * s->time * HEADS * s->dim; }

static result result_new(arena *a, const setup *s) {
    const long n = size_of(s), rows = (long)BATCH * HEADS * s->time;
    result x = {ARENA_NEW(a, double, n), ARENA_NEW(a, double, n), ARENA_NEW(a, double, n),
                ARENA_NEW(a, double, n), ARENA_NEW(a, double, n), ARENA_NEW(a, double, rows),
                ARENA_NEW(a, double, n), ARENA_NEW(a, double, n), ARENA_NEW(a, double, n)};
    rng g = rng_start(rng_key_make(7, "attention", s, sizeof *s), 0, 0);
    for (long i = 0; i < n; i++) { /* rounded to float, so that all builds see the same values */
        x.q[i] = (double)(float)(s->spread * (2 * rng_uniform(&g) - 1));
        x.k[i] = (double)(float)(s->spread * (2 * rng_uniform(&g) - 1));
        x.v[i] = (double)(float)(2 * rng_uniform(&g) - 1);
        x.dout[i] = (double)(float)(2 * rng_uniform(&g) - 1);
    }
    return x;
}

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *y, double factor, const double *x, int n) {
    for (int i = 0; i < n; i++) y[i] += factor * x[i];
}

/* One query of the plain formula: weights p and their cotangents over all visible keys at once. */
static void plain_query(result *x, const setup *s, long b, int h, int t, double *p, double *dp) {
    const int first = s->window && t - s->window + 1 > 0 ? t - s->window + 1 : 0;
    const double slope = s->alibi ? pow(2, -8.0 * (h + 1) / HEADS) : 0, scale = 1 / sqrt(s->dim);
    const long base = b * s->time * HEADS * s->dim + h * s->dim, row = HEADS * s->dim,
               at = base + t * row;
    double top = -INFINITY, total = 0, mean = 0;
    for (int j = first; j <= t; j++) {
        p[j] = scale * dot(x->q + at, x->k + base + j * row, s->dim) - slope * (t - j);
        top = fmax(top, p[j]);
    }
    for (int j = first; j <= t; j++) total += p[j] = exp(p[j] - top);
    for (int j = first; j <= t; j++) {
        p[j] /= total;
        add_scaled(x->o + at, p[j], x->v + base + j * row, s->dim);
        dp[j] = dot(x->dout + at, x->v + base + j * row, s->dim);
        mean += p[j] * dp[j];
    }
    x->lse[(b * HEADS + h) * s->time + t] = top + log(total);
    for (int j = first; j <= t; j++) {
        const double ds = p[j] * (dp[j] - mean) * scale;
        add_scaled(x->dq + at, ds, x->k + base + j * row, s->dim);
        add_scaled(x->dk + base + j * row, ds, x->q + at, s->dim);
        add_scaled(x->dv + base + j * row, p[j], x->dout + at, s->dim);
    }
}

static void plain_attention(arena *a, result *x, const setup *s) {
    double *p = ARENA_NEW(a, double, s->time), *dp = ARENA_NEW(a, double, s->time);
    for (long b = 0; b < BATCH; b++)
        for (int h = 0; h < HEADS; h++)
            for (int t = 0; t < s->time; t++) plain_query(x, s, b, h, t, p, dp);
}

static void step(void *g) {
    graph_forward(g);
    graph_backward(g);
}

/* The op on a backend. same: q is given three times and dq is the sum of the three gradients. */
static void tiled_attention(arena *a, const backend *device, result *x, const setup *s, bool same) {
    error e = {0};
    graph *g = graph_new(a, device, 1);
    const init zero = {INIT_CONST, 0};
    const long n = size_of(s);
    tensor *in[3];
    for (int i = 0; i < 3; i++)
        in[i] = graph_param(g, (const char *[]){"q", "k", "v"}[i], zero, false,
                            DIM(1, BATCH, s->time, HEADS * s->dim));
    tensor *out = same ? APPLY_WITH(g, attention, IN(in[0], in[0], in[0]), .heads = HEADS,
                                    .window = s->window, .alibi = s->alibi)
                       : APPLY_WITH(g, attention, IN(in[0], in[1], in[2]), .heads = HEADS,
                                    .window = s->window, .alibi = s->alibi);
    assert_int_equal(graph_plan(g, true, &e), STATUS_OK);
    void *base = device->alloc(graph_arena_bytes(g), &e);
    void *param = device->alloc(graph_param_bytes(g), &e);
    void *grad = device->alloc(graph_param_bytes(g), &e);
    assert_int_equal(e.code, STATUS_OK);
    graph_bind(g, base, param, grad);
    assert_int_equal(device->reserve(device->measure(step, g), &e), STATUS_OK);
    void *nan = arena_alloc(a, graph_arena_bytes(g)); /* what is read must have been written */
    device->put(base, memset(nan, 0xff, graph_arena_bytes(g)), graph_arena_bytes(g));
    const double *values[] = {x->q, x->k, x->v};
    for (int i = 0; i < 3; i++) backend_put_reals(device, in[i]->x, values[i], (size_t)n);
    graph_forward(g);
    const tensor *lse = graph_node_of(g, out)->aux;
    backend_get_reals(device, x->o, out->x, (size_t)n);
    backend_get_reals(device, x->lse, lse->x, lse->n);
    backend_put_reals(device, out->g, x->dout, (size_t)n);
    graph_backward(g);
    double *gradients[] = {x->dq, x->dk, x->dv};
    for (int i = 0; i < 3; i++) backend_get_reals(device, gradients[i], in[i]->g, (size_t)n);
    assert_int_equal(device->sync(&e), STATUS_OK);
    device->release(base);
    device->release(param);
    device->release(grad);
}

static void assert_near(const char *what, const double *got, const double *want, long n, double tol,
                        const setup *s, const backend *device) {
    for (long i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tol * fmax(1, fabs(want[i]))))
            fail_msg("%s: %s[%ld] is %.17g, not %.17g (T %d D %d window %d alibi %d)", device->name,
                     what, i, got[i], want[i], s->time, s->dim, s->window, s->alibi);
}

static void compare(const backend *device, const setup *s) {
    arena *a = arena_new();
    result want = result_new(a, s), got = result_new(a, s);
    plain_attention(a, &want, s);
    tiled_attention(a, device, &got, s, false);
    const double eps = device->real_bytes == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON;
    const double tol = 8 * s->spread * s->spread * eps * sqrt(s->time + s->dim);
    const long n = size_of(s);
    assert_near("o", got.o, want.o, n, tol, s, device);
    assert_near("lse", got.lse, want.lse, (long)BATCH * HEADS * s->time, tol, s, device);
    assert_near("dq", got.dq, want.dq, n, tol, s, device);
    assert_near("dk", got.dk, want.dk, n, tol, s, device);
    assert_near("dv", got.dv, want.dv, n, tol, s, device);
    arena_free(a);
}

/* Backend i, opened; NULL when it does not run here. */
static const backend *runnable(int i) {
    static unsigned opened; /* a device can be opened once */
    const backend *device = backend_at(i);
    error e = {0};
    if (!device || device->missing()) return NULL;
    if (!(opened >> i & 1)) assert_int_equal(device->open(NULL, NUMERICS_STRICT, &e), STATUS_OK);
    opened |= 1u << i;
    return device;
}

static void tiled_equals_plain(void **state) {
    (void)state;
    static const int times[] = {1, 63, 64, 65, 130}, windows[] = {0, 1, 5, 64, 66},
                     dims[] = {1, 8, 33, 64};
    for (int i = 0; backend_at(i); i++)
        for (int c = 0; runnable(i) && c < 5 * 4 * 5 * 2; c++)
            compare(runnable(i),
                    &(setup){times[c % 5], dims[c / 5 % 4], windows[c / 20 % 5], c / 100, 1});
}

/* Scores of up to +-600 and weights that are 0 or 1 to the last bit. */
static void large_scores_stay_finite(void **state) {
    (void)state;
    for (int i = 0; backend_at(i); i++)
        if (runnable(i)) {
            compare(runnable(i), &(setup){130, 8, 0, 0, 15});
            compare(runnable(i), &(setup){130, 8, 70, 1, 15});
        }
}

/* New k, v and q from time t on: nothing before t changes, not a bit. */
static void future_changes_nothing(void **state) {
    (void)state;
    const setup s = {130, 8, 0, 0, 1};
    const int row = HEADS * s.dim;
    for (int i = 0; backend_at(i); i++)
        for (int t = 1; runnable(i) && t < s.time; t += 9) {
            arena *a = arena_new();
            result x = result_new(a, &s), y = result_new(a, &s);
            for (long b = 0; b < BATCH; b++)
                for (long at = (b * s.time + t) * row; at < (b + 1) * s.time * row; at++)
                    y.q[at] = 3, y.k[at] = 9, y.v[at] = -5;
            tiled_attention(a, runnable(i), &x, &s, false);
            tiled_attention(a, runnable(i), &y, &s, false);
            for (long b = 0; b < BATCH; b++) {
                const long at = b * s.time * row;
                assert_memory_equal(x.o + at, y.o + at, sizeof(double) * (size_t)(t * row));
                assert_true(x.o[at + t * row] != y.o[at + t * row]);
            }
            arena_free(a);
        }
}

/* The first rows of a long sequence are those of the short one, to the bit. */
static void length_changes_nothing(void **state) {
    (void)state;
    const setup longer = {130, 33, 0, 1, 1};
    const int row = HEADS * longer.dim;
    for (int i = 0; backend_at(i); i++)
        for (int time = 1; runnable(i) && time < longer.time; time += 16) {
            arena *a = arena_new();
            setup shorter = longer;
            shorter.time = time;
            result x = result_new(a, &longer), y = result_new(a, &shorter);
            const size_t bytes = sizeof(double) * (size_t)(time * row);
            memcpy(y.q, x.q, bytes);
            memcpy(y.k, x.k, bytes);
            memcpy(y.v, x.v, bytes);
            tiled_attention(a, runnable(i), &x, &longer, false);
            tiled_attention(a, runnable(i), &y, &shorter, false);
            assert_memory_equal(x.o, y.o, bytes);
            arena_free(a);
        }
}

static void one_tensor_as_all_inputs(void **state) {
    (void)state;
    const setup s = {65, 8, 0, 0, 1};
    for (int i = 0; backend_at(i); i++)
        if (runnable(i)) {
            arena *a = arena_new();
            result want = result_new(a, &s), got = result_new(a, &s);
            want.k = want.v = want.q;
            plain_attention(a, &want, &s);
            tiled_attention(a, runnable(i), &got, &s, true);
            for (long j = 0; j < size_of(&s); j++) want.dq[j] += want.dk[j] + want.dv[j];
            const double eps =
                runnable(i)->real_bytes == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON;
            assert_near("sum of gradients", got.dq, want.dq, size_of(&s), 64 * eps, &s,
                        runnable(i));
            arena_free(a);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiled_equals_plain),       cmocka_unit_test(large_scores_stay_finite),
        cmocka_unit_test(future_changes_nothing),   cmocka_unit_test(length_changes_nothing),
        cmocka_unit_test(one_tensor_as_all_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
