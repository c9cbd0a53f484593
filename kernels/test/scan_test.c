/* scan_test.c - the selective scan by strips of channels and chunks of tokens against its
 * definition: token by token, gradients by the chain rule of one token, all in double. A gradient
 * check cannot see a formula that is wrong in forward and backward alike. */
#include "float_fixture.h"

enum { C = SCAN_CHUNK, BATCH = 2, RUNS = 2 };

typedef struct shape {
    int time, cols, state;
    double fastest; /* rate a, below 0 */
} shape;

enum { X, DT, A, B, OUT, SKIP, INPUTS };

/* What scan_fwd and scan_bwd read and write. */
typedef struct data {
    long n[INPUTS];
    float *in[INPUTS], *grad[INPUTS], *y, *dy, *work;
    double *want[INPUTS], *want_y;
    size_t work_n;
} data;

static data data_make(const shape *s) {
    const long rows = (long)RUNS * BATCH * s->time, own = (long)RUNS * s->cols;
    data d = {.n = {rows * s->cols, rows * s->cols, own * s->state, rows * s->state,
                    rows * s->state, own}};
    const double lo[] = {-1, .01, s->fastest, -1, -1, -1}, hi[] = {1, .5, -.1, 1, 1, 1};
    for (int i = 0; i < INPUTS; i++) {
        d.in[i] = draw(d.n[i], lo[i], hi[i], i);
        d.grad[i] = draw(d.n[i], .5, .5, 0); /* backward adds */
        d.want[i] = test_calloc((size_t)d.n[i], sizeof *d.want[i]);
    }
    d.dy = draw(d.n[X], -1, 1, INPUTS);
    d.y = draw(d.n[X], NAN, NAN, 0);
    d.want_y = test_calloc((size_t)d.n[X], sizeof *d.want_y);
    d.work_n = scan_work(s->time, s->state);
    d.work = draw((long)d.work_n + 1, NAN, NAN, 0);
    d.work[d.work_n] = 7;
    return d;
}

static void data_free(data *d) {
    assert_true(d->work[d->work_n] == 7);
    for (int i = 0; i < INPUTS; i++)
        test_free(d->in[i]), test_free(d->grad[i]), test_free(d->want[i]);
    test_free(d->y), test_free(d->dy), test_free(d->want_y), test_free(d->work);
}

/* Element n of the state of channel c in a sequence; y and all gradients get its share. */
static void reference(data *d, const shape *s, long sequence, int c, int n) {
    const long own = sequence / BATCH * s->cols + c, rate = own * s->state + n;
    const double a = (double)d->in[A][rate];
    double *h = test_calloc((size_t)s->time + 1, sizeof *h), dh = 0;
    for (int t = 0; t < s->time; t++) {
        const long row = sequence * s->time + t, at = row * s->cols + c, of = row * s->state + n;
        const double dt = (double)d->in[DT][at], x = (double)d->in[X][at];
        h[t + 1] = exp(dt * a) * h[t] + dt * x * (double)d->in[B][of];
        d->want_y[at] += (double)d->in[OUT][of] * h[t + 1];
        if (n == 0) d->want_y[at] += (double)d->in[SKIP][own] * x;
    }
    for (int t = s->time - 1; t >= 0; t--) {
        const long row = sequence * s->time + t, at = row * s->cols + c, of = row * s->state + n;
        const double dt = (double)d->in[DT][at], x = (double)d->in[X][at], e = exp(dt * a);
        const double b = (double)d->in[B][of], dy = (double)d->dy[at];
        dh += dy * (double)d->in[OUT][of];
        d->want[OUT][of] += dy * h[t + 1];
        d->want[B][of] += dh * dt * x;
        d->want[X][at] += dh * dt * b;
        d->want[DT][at] += dh * (x * b + a * e * h[t]);
        d->want[A][rate] += dh * dt * e * h[t];
        if (n == 0) {
            d->want[X][at] += dy * (double)d->in[SKIP][own];
            d->want[SKIP][own] += dy * x;
        }
        dh *= e;
    }
    test_free(h);
}

static const char *text_of(const shape *s) {
    static char text[96];
    snprintf(text, sizeof text, "%d tokens, %d x %d, rate %g", s->time, s->cols, s->state,
             s->fastest);
    return text;
}

static void run_forward(data *d, const shape *s) {
    cpu()->scan_fwd(d->y, d->in[X], d->in[DT], d->in[A], d->in[B], d->in[OUT], d->in[SKIP], d->work,
                    RUNS, BATCH, s->time, s->cols, s->state);
}

/* Gradients whose bit in `wanted` is 0 are not asked for. */
static void run_backward(data *d, const shape *s, int wanted) {
    float *g[INPUTS];
    for (int i = 0; i < INPUTS; i++) g[i] = wanted >> i & 1 ? d->grad[i] : NULL;
    for (size_t i = 0; i < d->work_n; i++) d->work[i] = NAN;
    cpu()->scan_bwd(g[X], g[DT], g[A], g[B], g[OUT], g[SKIP], d->dy, d->in[X], d->in[DT], d->in[A],
                    d->in[B], d->in[OUT], d->in[SKIP], d->work, RUNS, BATCH, s->time, s->cols,
                    s->state);
}

static void check_data(data *d, const shape *s) {
    for (long q = 0; q < (long)RUNS * BATCH; q++)
        for (int c = 0; c < s->cols; c++)
            for (int n = 0; n < s->state; n++) reference(d, s, q, c, n);
    run_forward(d, s);
    run_backward(d, s, (1 << INPUTS) - 1);
    static const char *const names[] = {"dx", "ddt", "da", "db", "dc", "dd"};
    compare("y", d->y, 0, d->want_y, d->n[X], text_of(s));
    for (int i = 0; i < INPUTS; i++)
        compare(names[i], d->grad[i], .5, d->want[i], d->n[i], text_of(s));
}

static void check(const shape *s) {
    data d = data_make(s);
    check_data(&d, s);
    data_free(&d);
}

static void test_lengths_around_chunks(void **state) {
    (void)state;
    static const int times[] = {1, 2, C - 1, C, C + 1, 2 * C, 3 * C + 5};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) check(&(shape){times[i], 5, 6, -4});
}

static void test_widths(void **state) {
    (void)state;
    static const int cols[] = {1, 8, 15, 16, 17, 33}, states[] = {1, 3, 8, 16, 17, 33};
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        for (size_t j = 0; j < sizeof states / sizeof *states; j++)
            check(&(shape){C / 8 + 1, cols[i], states[j], -4});
}

/* Decays that underflow, an infinite rate, and tokens without input or gradient in which states
 * fade away. */
static void test_a_state_can_be_forgotten(void **state) {
    (void)state;
    const shape s = {2 * C + 1, 18, 7, -1000};
    check(&s);
    data d = data_make(&(shape){2 * C + 1, 18, 7, -20});
    for (long i = 0; i < d.n[X]; i++)
        if (i / s.cols % s.time % C > 3) d.in[X][i] = d.dy[i] = 0;
    check_data(&d, &s);
    data_free(&d);
}

/* A gradient has the same bits whichever others are wanted; y and gradients of a run or sequence do
 * not depend on what else is in the pack. */
static void test_others_do_not_matter(void **state) {
    (void)state;
    const shape s = {C + 3, 19, 17, -4};
    data all = data_make(&s);
    run_forward(&all, &s);
    run_backward(&all, &s, (1 << INPUTS) - 1);
    for (int i = 0; i < INPUTS; i++) {
        data d = data_make(&s);
        run_backward(&d, &s, 1 << i);
        for (int j = 0; j < INPUTS; j++)
            for (long k = 0; k < d.n[j]; k++)
                assert_true(d.grad[j][k] == (i == j ? all.grad[j][k] : .5F));
        data_free(&d);
    }
    data d = data_make(&s);
    const long x = d.n[X] / RUNS, a = d.n[A] / RUNS, b = d.n[B] / RUNS, own = s.cols;
    cpu()->scan_fwd(d.y, d.in[X] + x, d.in[DT] + x, d.in[A] + a, d.in[B] + b, d.in[OUT] + b,
                    d.in[SKIP] + own, d.work, 1, 1, s.time, s.cols, s.state);
    assert_memory_equal(d.y, all.y + x, (size_t)(x / BATCH) * sizeof *d.y);
    cpu()->scan_bwd(d.grad[X], d.grad[DT], d.grad[A], d.grad[B], d.grad[OUT], d.grad[SKIP],
                    d.dy + x, d.in[X] + x, d.in[DT] + x, d.in[A] + a, d.in[B] + b, d.in[OUT] + b,
                    d.in[SKIP] + own, d.work, 1, BATCH, s.time, s.cols, s.state);
    const long sizes[] = {x, x, a, b, b, own};
    for (int i = 0; i < INPUTS; i++)
        assert_memory_equal(d.grad[i], all.grad[i] + sizes[i], (size_t)sizes[i] * sizeof *d.y);
    data_free(&d), data_free(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_around_chunks),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_a_state_can_be_forgotten),
        cmocka_unit_test(test_others_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
