/* gla_test.c - linear attention against its recurrence, written out in double.
 *
 * Every backend that runs here, a GPU too, forward and backward, all decays, lengths around the
 * chunks of the CPU kernel, odd sizes; then what chunks could break: decays whose products
 * underflow, causality, independence of the length. */
#include "device_fixture.h"

#include "kernels/core/rng.h"
#include "kernels/core/work.h"

#include <float.h>
#include <math.h>

enum { BATCH = 2, HEADS = 2, C = GLA_CHUNK };

/* Its bytes seed the values, so that there must be no padding. */
typedef struct setup {
    int time, key, value, decay, bonus;
    int low; /* log decays are drawn from low to 0 */
} setup;

/* Inputs, and their gradients, in the order of the op: q k v g u. */
enum { IN_Q, IN_K, IN_V, IN_G, IN_U, INPUTS };
static const char *const names[] = {"q", "k", "v", "g", "u"};

typedef struct result {
    double *in[INPUTS], *grad[INPUTS], *o, *dout;
    long n[INPUTS], out_n;
} result;

static result result_new(arena *a, const setup *s) {
    const long rows = (long)BATCH * s->time * HEADS, out = rows * s->value;
    const long g = s->decay == GLA_CHANNEL ? rows * s->key : s->decay == GLA_HEAD ? rows : 0;
    result x = {.n = {rows * s->key, rows * s->key, out, g, s->bonus ? HEADS * s->key : 0},
                .out_n = out};
    rng draw = rng_start(rng_key_make(7, "gla", s, sizeof *s), 0, 0);
    for (int i = 0; i < INPUTS; i++) { /* rounded to float, so that all builds see the same */
        x.in[i] = ARENA_NEW(a, double, x.n[i] + 1), x.grad[i] = ARENA_NEW(a, double, x.n[i] + 1);
        for (long j = 0; j < x.n[i]; j++) {
            const double unit = rng_uniform(&draw);
            x.in[i][j] = (double)(float)(i == IN_G ? s->low * unit : 2 * unit - 1);
        }
    }
    x.o = ARENA_NEW(a, double, out), x.dout = ARENA_NEW(a, double, out);
    for (long i = 0; i < out; i++) x.dout[i] = (double)(float)(2 * rng_uniform(&draw) - 1);
    return x;
}

/* ---- the recurrence --------------------------------------------------------------------- */

static long at_token(long b, int t, int h, const setup *s) { return (b * s->time + t) * HEADS + h; }

static double decay_at(const result *x, const setup *s, long token, int h, int i) {
    switch (s->decay) {
    case GLA_RETNET: return 1 - pow(2, -5 - h);
    case GLA_HEAD: return exp(x->in[IN_G][token]);
    case GLA_CHANNEL: return exp(x->in[IN_G][token * s->key + i]);
    default: return 1;
    }
}

/* What o_t, or a gradient that comes by it, has to do with the token's own key and value. */
static double own_factor(const result *x, const setup *s, int h, int i) {
    return s->bonus ? x->in[IN_U][h * s->key + i] : 1;
}

/* Row i of the state of a head alone: all there is, is a sum over rows. states [T + 1,V]. */
static void plain_row(result *x, const setup *s, double *states, double *back, long b, int h,
                      int i) {
    const int value = s->value;
    memset(states, 0, sizeof *states * (size_t)value);
    memset(back, 0, sizeof *back * (size_t)value);
    for (int t = 0; t < s->time; t++) {
        const long token = at_token(b, t, h, s), key = token * s->key + i;
        const double a = decay_at(x, s, token, h, i), u = own_factor(x, s, h, i);
        for (int d = 0; d < value; d++) {
            const double old = states[t * value + d], v = x->in[IN_V][token * value + d];
            const double faded = s->bonus ? old : a * old;
            states[(t + 1) * value + d] = a * old + x->in[IN_K][key] * v;
            x->o[token * value + d] += x->in[IN_Q][key] * (faded + u * x->in[IN_K][key] * v);
        }
    }
    for (int t = s->time - 1; t >= 0; t--) { /* back: gradient of the state after t, by later o */
        const long token = at_token(b, t, h, s), key = token * s->key + i;
        const double a = decay_at(x, s, token, h, i), u = own_factor(x, s, h, i);
        const double q = x->in[IN_Q][key], k = x->in[IN_K][key];
        for (int d = 0; d < value; d++) {
            const double old = states[t * value + d], v = x->in[IN_V][token * value + d],
                         dO = x->dout[token * value + d], faded = s->bonus ? old : a * old;
            const double da = back[d] * old + (s->bonus ? 0 : q * dO * old);
            x->grad[IN_Q][key] += dO * (faded + u * k * v);
            x->grad[IN_K][key] += v * (back[d] + u * q * dO);
            x->grad[IN_V][token * value + d] += k * (back[d] + u * q * dO);
            if (s->bonus) x->grad[IN_U][h * s->key + i] += q * k * v * dO;
            if (s->decay == GLA_HEAD) x->grad[IN_G][token] += a * da;
            if (s->decay == GLA_CHANNEL) x->grad[IN_G][key] += a * da;
            back[d] = a * back[d] + (s->bonus ? 1 : a) * q * dO;
        }
    }
}

static void plain_gla(arena *a, result *x, const setup *s) {
    double *states = ARENA_NEW(a, double, (long)(s->time + 1) * s->value);
    double *back = ARENA_NEW(a, double, s->value);
    for (long b = 0; b < BATCH; b++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < s->key; i++) plain_row(x, s, states, back, b, h, i);
}

/* ---- the op ----------------------------------------------------------------------------- */

static void op_gla(arena *a, const backend *device, result *x, const setup *s) {
    graph *g = graph_new(a, device, 1);
    const init zero = {INIT_CONST, 0};
    tensor *in[INPUTS] = {0};
    const int last[] = {s->key, s->key, s->value, s->decay == GLA_HEAD ? 1 : s->key};
    for (int i = 0; i < IN_U; i++)
        if (x->n[i])
            in[i] = graph_param(g, names[i], zero, false, DIM(1, BATCH, s->time, HEADS * last[i]));
    if (s->bonus) in[IN_U] = graph_param(g, "u", zero, false, DIM(1, HEADS * s->key));
    tensor *out =
        s->bonus ? APPLY_WITH(g, gla, IN(in[0], in[1], in[2], in[3], in[4]), .heads = HEADS,
                              .kind = s->decay)
        : in[3]
            ? APPLY_WITH(g, gla, IN(in[0], in[1], in[2], in[3]), .heads = HEADS, .kind = s->decay)
            : APPLY_WITH(g, gla, IN(in[0], in[1], in[2]), .heads = HEADS, .kind = s->decay);
    placed at = placed_new(a, device, g);
    for (int i = 0; i < INPUTS; i++)
        if (in[i]) backend_put_reals(device, in[i]->x, x->in[i], (size_t)x->n[i]);
    graph_forward(g);
    backend_get_reals(device, x->o, out->x, (size_t)x->out_n);
    backend_put_reals(device, out->g, x->dout, (size_t)x->out_n);
    graph_backward(g);
    for (int i = 0; i < INPUTS; i++)
        if (in[i]) backend_get_reals(device, x->grad[i], in[i]->g, (size_t)x->n[i]);
    placed_free(&at);
}

/* ---- comparison ------------------------------------------------------------------------- */

static void assert_near(const char *what, const double *got, const double *want, long n, double tol,
                        const setup *s, const backend *device) {
    double square = 0;
    for (long i = 0; i < n; i++) square += want[i] * want[i] / (double)n;
    for (long i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tol * (1 + sqrt(square) + fabs(want[i]))))
            fail_msg("%s: %s[%ld] is %.17g, not %.17g (T %d K %d V %d decay %d bonus %d low %d)",
                     device->name, what, i, got[i], want[i], s->time, s->key, s->value, s->decay,
                     s->bonus, s->low);
}

static void compare(const backend *device, const setup *s) {
    arena *a = arena_new();
    result want = result_new(a, s), got = result_new(a, s);
    plain_gla(a, &want, s);
    op_gla(a, device, &got, s);
    const double eps = device->real_bytes == sizeof(float) ? (double)FLT_EPSILON : DBL_EPSILON;
    const double tol = 4 * eps * sqrt(s->time + s->key + s->value);
    assert_near("o", got.o, want.o, want.out_n, tol, s, device);
    for (int i = 0; i < INPUTS; i++)
        assert_near(names[i], got.grad[i], want.grad[i], want.n[i], tol, s, device);
    arena_free(a);
}

static const int times[] = {1, C - 1, C, C + 1, 2 * C + 1};

/* All decays, the last with a bonus too. */
static void compare_decays(const backend *device, int time, int key, int value, int low) {
    for (int decay = GLA_NONE; decay <= GLA_CHANNEL; decay++)
        for (int bonus = 0; bonus <= (decay == GLA_CHANNEL); bonus++)
            compare(device, &(setup){time, key, value, decay, bonus, low});
}

static void chunks_equal_the_recurrence(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 1},  {5, 7},          {16, 16}, {33, 18},
                                   {48, 1}, {7, GLA_NARROW}, {3, 40},  {17, GLA_NARROW + 1}};
    for (const backend *d = NULL; (d = device_next(d));)
        for (int c = 0; c < 5 * 8; c++)
            compare_decays(d, times[c % 5], sizes[c / 5][0], sizes[c / 5][1], -1);
}

static void many_keys(void **state) {
    (void)state;
    for (const backend *d = NULL; (d = device_next(d));) {
        compare_decays(d, 2 * C + 1, 300, 20, -1);
        compare_decays(d, C + 1, 300, 1, -1);
    }
}

/* Products of decays underflow within a chunk, within a sub-chunk, and within two tokens. */
static void strong_decays(void **state) {
    (void)state;
    static const int lows[] = {-5, -30, -100};
    for (const backend *d = NULL; (d = device_next(d));)
        for (int c = 0; c < 3; c++) {
            compare_decays(d, 2 * C + 1, 9, 6, lows[c]);
            compare_decays(d, C + 9, 6, 2, lows[c]);
        }
}

/* Of q, k, v and g, the rows of token t and later. */
static void change_later(result *x, const setup *s, int t) {
    for (int i = 0; i < IN_U; i++) {
        const long row = x->n[i] / BATCH / s->time;
        for (long b = 0; b < BATCH; b++)
            for (long at = (b * s->time + t) * row; at < (b + 1) * s->time * row; at++)
                x->in[i][at] = i == IN_G ? -.5 : 5;
    }
}

/* New inputs from time t on: nothing before t changes, not a bit. */
static void future_changes_nothing(void **state) {
    (void)state;
    for (const backend *d = NULL; (d = device_next(d));)
        for (int t = 1; t < 2 * C + 1; t += 5) {
            const setup s = {2 * C + 1, 8, 6, t % 4, t % 8 == 3, -1};
            const long row = HEADS * s.value;
            arena *a = arena_new();
            result x = result_new(a, &s), y = result_new(a, &s);
            change_later(&y, &s, t);
            op_gla(a, d, &x, &s);
            op_gla(a, d, &y, &s);
            for (long b = 0; b < BATCH; b++) {
                const long at = b * s.time * row;
                assert_memory_equal(x.o + at, y.o + at, sizeof(double) * (size_t)(t * row));
                assert_true(x.o[at + t * row] != y.o[at + t * row]);
            }
            arena_free(a);
        }
}

/* The first sequence of a long pair starts as that of a short pair does, to the bit. */
static void length_changes_nothing(void **state) {
    (void)state;
    for (const backend *d = NULL; (d = device_next(d));)
        for (int time = 1; time < 2 * C + 1; time += 5) {
            const setup longer = {2 * C + 1, 8, 6, time % 4, time % 8 == 3, -1};
            setup shorter = longer;
            shorter.time = time;
            arena *a = arena_new();
            result x = result_new(a, &longer), y = result_new(a, &shorter);
            for (int k = 0; k < INPUTS; k++) {
                const long n = k == IN_U ? y.n[k] : y.n[k] / BATCH;
                memcpy(y.in[k], x.in[k], sizeof(double) * (size_t)n);
            }
            op_gla(a, d, &x, &longer);
            op_gla(a, d, &y, &shorter);
            assert_memory_equal(x.o, y.o, sizeof(double) * (size_t)(y.out_n / BATCH));
            arena_free(a);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_equal_the_recurrence),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(strong_decays),
        cmocka_unit_test(future_changes_nothing),
        cmocka_unit_test(length_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
