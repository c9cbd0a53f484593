/* attention_test.c - tiled attention against softmax(q k^T) v written out in double.
 *
 * Every backend that runs here, a GPU too, forward and backward, lengths around the tile size,
 * windows, ALiBi, odd head sizes; then what tiling could break: causality, independence of the
 * length, large scores, one tensor given as q, k and v. */
#include "device_fixture.h"

#include "kernels/core/rng.h"

#include <float.h>
#include <math.h>

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

/* The op on a backend. same: q is given three times and dq is the sum of the three gradients. */
static void tiled_attention(arena *a, const backend *device, result *x, const setup *s, bool same) {
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
    placed at = placed_new(a, device, g);
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
    placed_free(&at);
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

static void tiled_equals_plain(void **state) {
    (void)state;
    static const int times[] = {1, 63, 64, 65, 130}, windows[] = {0, 1, 5, 64, 66},
                     dims[] = {1, 8, 33, 64};
    for (const backend *d = NULL; (d = device_next(d));)
        for (int c = 0; c < 5 * 4 * 5 * 2; c++)
            compare(d, &(setup){times[c % 5], dims[c / 5 % 4], windows[c / 20 % 5], c / 100, 1});
}

/* Scores of up to +-600 and weights that are 0 or 1 to the last bit. */
static void large_scores_stay_finite(void **state) {
    (void)state;
    for (const backend *d = NULL; (d = device_next(d));) {
        compare(d, &(setup){130, 8, 0, 0, 15});
        compare(d, &(setup){130, 8, 70, 1, 15});
    }
}

/* New k, v and q from time t on: nothing before t changes, not a bit. */
static void future_changes_nothing(void **state) {
    (void)state;
    const setup s = {130, 8, 0, 0, 1};
    const int row = HEADS * s.dim;
    for (const backend *d = NULL; (d = device_next(d));)
        for (int t = 1; t < s.time; t += 9) {
            arena *a = arena_new();
            result x = result_new(a, &s), y = result_new(a, &s);
            for (long b = 0; b < BATCH; b++)
                for (long at = (b * s.time + t) * row; at < (b + 1) * s.time * row; at++)
                    y.q[at] = 3, y.k[at] = 9, y.v[at] = -5;
            tiled_attention(a, d, &x, &s, false);
            tiled_attention(a, d, &y, &s, false);
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
    for (const backend *d = NULL; (d = device_next(d));)
        for (int time = 1; time < longer.time; time += 16) {
            arena *a = arena_new();
            setup shorter = longer;
            shorter.time = time;
            result x = result_new(a, &longer), y = result_new(a, &shorter);
            const size_t bytes = sizeof(double) * (size_t)(time * row);
            memcpy(y.q, x.q, bytes);
            memcpy(y.k, x.k, bytes);
            memcpy(y.v, x.v, bytes);
            tiled_attention(a, d, &x, &longer, false);
            tiled_attention(a, d, &y, &shorter, false);
            assert_memory_equal(x.o, y.o, bytes);
            arena_free(a);
        }
}

static void one_tensor_as_all_inputs(void **state) {
    (void)state;
    const setup s = {65, 8, 0, 0, 1};
    for (const backend *d = NULL; (d = device_next(d));) {
        arena *a = arena_new();
        result want = result_new(a, &s), got = result_new(a, &s);
        want.k = want.v = want.q;
        plain_attention(a, &want, &s);
        tiled_attention(a, d, &got, &s, true);
        for (long j = 0; j < size_of(&s); j++) want.dq[j] += want.dk[j] + want.dv[j];
        const double eps = d->real_bytes == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON;
        assert_near("sum of gradients", got.dq, want.dq, size_of(&s), 64 * eps, &s, d);
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
