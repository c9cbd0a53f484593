/* dynconv_test.c - convolutions whose taps belong to a token or mix heads, against a plain loop
 * over every tap of every token, in double. */
#include "float_fixture.h"

enum { RUNS = 2 };

/* n numbers of one kind: what a kernel reads or adds to, and what is wanted of it. */
typedef struct numbers {
    int n;
    float *x;
    double *want;
} numbers;

static numbers numbers_of(int n, int stream) {
    numbers v = {n, draw(n, -1, 1, stream), test_calloc((size_t)n, sizeof(double))};
    for (int i = 0; i < n; i++) v.want[i] = (double)v.x[i]; /* gradients are added to */
    return v;
}

/* Sums of `terms` products agree to their rounding; then the numbers are given back. */
static void check(const char *name, numbers v, int terms) {
    for (int i = 0; i < v.n; i++)
        if (!(fabs((double)v.x[i] - v.want[i]) <= 8 * sqrt(terms) * 0x1p-23))
            fail_msg("%s[%d] is %g, not %g", name, i, (double)v.x[i], v.want[i]);
    test_free(v.x), test_free(v.want);
}

typedef struct shape {
    int batch, time, cols, width, dilation;
    int rank, groups; /* of rankconv; of tokenconv, and heads of mixconv */
} shape;

static const shape shapes[] = {
    {1, 1, 1, 1, 1, 1, 1},    {2, 9, 6, 4, 1, 3, 3},    {1, 5, 33, 7, 1, 2, 1},
    {2, 50, 32, 3, 2, 16, 4}, {1, 97, 20, 2, 5, 17, 5}, {1, 49, 48, 9, 7, 5, 2},
    {1, 6, 16, 5, 1, 70, 16}, {1, 20, 12, 4, 30, 4, 6}, {2, 101, 17, 1, 1, 33, 17},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static int lags_at(shape s, int t) {
    const int reach = t / s.dilation + 1;
    return reach < s.width ? reach : s.width;
}

/* Runs of x, y, dx and dy: y starts as rubbish, as it is overwritten. */
typedef struct sequences {
    numbers x, y, dx, dy;
} sequences;

static sequences sequences_of(shape s) {
    const int n = RUNS * s.batch * s.time * s.cols;
    sequences q = {numbers_of(n, 1), numbers_of(n, 2), numbers_of(n, 3), numbers_of(n, 4)};
    memset(q.y.want, 0, sizeof(double) * (size_t)n);
    return q;
}

/* One term of y[i] = .. + tap x[from], and of dx; returns that of the tap's gradient. */
static double add_term(sequences *q, double tap, int i, int from) {
    q->y.want[i] += tap * q->x.want[from];
    q->dx.want[from] += tap * q->dy.want[i];
    return q->dy.want[i] * q->x.want[from];
}

static void check_sequences(sequences q, int terms) {
    check("y", q.y, terms), check("dx", q.dx, terms);
    check("x", q.x, 0), check("dy", q.dy, 0); /* untouched */
}

static void check_rankconv(const kernels *k, shape s) {
    const int rows = RUNS * s.batch * s.time, all = s.width * s.cols;
    sequences q = sequences_of(s);
    numbers z = numbers_of(rows * s.rank, 5), u = numbers_of(RUNS * s.rank * all, 6),
            w = numbers_of(RUNS * all, 7), dz = numbers_of(z.n, 8), du = numbers_of(u.n, 9),
            dw = numbers_of(w.n, 10),
            work = numbers_of((int)rankconv_work(s.time, s.cols, s.width, s.rank), 11);
    k->rankconv_fwd(q.y.x, q.x.x, z.x, u.x, w.x, work.x, RUNS, s.batch, s.time, s.cols, s.width,
                    s.rank, s.dilation);
    k->rankconv_bwd(q.dx.x, dz.x, du.x, dw.x, q.dy.x, q.x.x, z.x, u.x, w.x, work.x, RUNS, s.batch,
                    s.time, s.cols, s.width, s.rank, s.dilation);
    for (int i = 0; i < rows * s.cols; i++) {
        const int row = i / s.cols, c = i % s.cols, run = row / s.time / s.batch;
        for (int lag = 0; lag < lags_at(s, row % s.time); lag++) {
            const int at = (run * s.width + lag) * s.cols + c;
            double tap = w.want[at];
            for (int e = 0; e < s.rank; e++)
                tap +=
                    z.want[row * s.rank + e] * u.want[(run * s.rank + e) * all + lag * s.cols + c];
            const double g = add_term(&q, tap, i, i - lag * s.dilation * s.cols);
            dw.want[at] += g;
            for (int e = 0; e < s.rank; e++) {
                const int ue = (run * s.rank + e) * all + lag * s.cols + c;
                dz.want[row * s.rank + e] += g * u.want[ue];
                du.want[ue] += g * z.want[row * s.rank + e];
            }
        }
    }
    check_sequences(q, s.width * s.rank);
    check("dz", dz, all), check("du", du, s.batch * s.time), check("dw", dw, s.batch * s.time);
    check("z", z, 0), check("u", u, 0), check("w", w, 0);
    test_free(work.x), test_free(work.want);
}

static void check_tokenconv(const kernels *k, shape s) {
    const int rows = RUNS * s.batch * s.time, share = s.cols / s.groups;
    sequences q = sequences_of(s);
    numbers taps = numbers_of(rows * s.groups * s.width, 5), dtaps = numbers_of(taps.n, 6);
    k->tokenconv_fwd(q.y.x, q.x.x, taps.x, RUNS * s.batch, s.time, s.cols, s.width, s.groups,
                     s.dilation);
    k->tokenconv_bwd(q.dx.x, dtaps.x, q.dy.x, q.x.x, taps.x, RUNS * s.batch, s.time, s.cols,
                     s.width, s.groups, s.dilation);
    for (int i = 0; i < rows * s.cols; i++) {
        const int row = i / s.cols, group = i % s.cols / share;
        for (int lag = 0; lag < lags_at(s, row % s.time); lag++) {
            const int at = (row * s.groups + group) * s.width + lag;
            dtaps.want[at] += add_term(&q, taps.want[at], i, i - lag * s.dilation * s.cols);
        }
    }
    check_sequences(q, s.width);
    check("dtaps", dtaps, share), check("taps", taps, 0);
}

static void check_mixconv(const kernels *k, shape s) {
    const int rows = RUNS * s.batch * s.time, heads = s.groups, dim = s.cols / heads;
    sequences q = sequences_of(s);
    numbers w = numbers_of(RUNS * s.width * heads * heads, 5), dw = numbers_of(w.n, 6),
            work = numbers_of((int)mixconv_work(heads, s.width), 7);
    k->mixconv_fwd(q.y.x, q.x.x, w.x, work.x, RUNS, s.batch, s.time, heads, dim, s.width,
                   s.dilation);
    k->mixconv_bwd(q.dx.x, dw.x, q.dy.x, q.x.x, w.x, work.x, RUNS, s.batch, s.time, heads, dim,
                   s.width, s.dilation);
    for (int i = 0; i < rows * s.cols; i++) {
        const int row = i / s.cols, h = i % s.cols / dim, run = row / s.time / s.batch;
        for (int lag = 0; lag < lags_at(s, row % s.time); lag++)
            for (int j = 0; j < heads; j++) {
                const int at = ((run * s.width + lag) * heads + h) * heads + j;
                const int from = i - lag * s.dilation * s.cols + (j - h) * dim;
                dw.want[at] += add_term(&q, w.want[at], i, from);
            }
    }
    check_sequences(q, s.width * heads);
    check("dw", dw, s.batch * s.time * dim), check("w", w, 0);
    test_free(work.x), test_free(work.want);
}

typedef void check_function(const kernels *k, shape s);

static void check_all(check_function *f) {
    for (const backend *build = NULL; (build = build_next(build));)
        for (int i = 0; i < SHAPES; i++) f(build->kernels, shapes[i]);
}

static void test_rankconv(void **state) {
    (void)state;
    check_all(check_rankconv);
}

static void test_tokenconv(void **state) {
    (void)state;
    check_all(check_tokenconv);
}

static void test_mixconv(void **state) {
    (void)state;
    check_all(check_mixconv);
}

/* What is not asked for changes nothing in what is. */
static void test_rankconv_parts(void **state) {
    (void)state;
    enum { T = 60, C = 20, W = 5, E = 3, N = T * C, M = T * E, U = E * W * C };
    for (const backend *build = NULL; (build = build_next(build));)
        for (unsigned wanted = 0; wanted < 16; wanted++) {
            const int size[] = {N, M, U, W * C};
            numbers in[] = {numbers_of(N, 1),     numbers_of(N, 2),
                            numbers_of(M, 3),     numbers_of(U, 4),
                            numbers_of(W * C, 5), numbers_of((int)rankconv_work(T, C, W, E), 6)};
            numbers all[4], some[4];
            float *part[4];
            for (int i = 0; i < 4; i++) {
                all[i] = numbers_of(size[i], 7), some[i] = numbers_of(size[i], 7);
                part[i] = wanted >> i & 1 ? some[i].x : NULL;
            }
            build->kernels->rankconv_bwd(all[0].x, all[1].x, all[2].x, all[3].x, in[0].x, in[1].x,
                                         in[2].x, in[3].x, in[4].x, in[5].x, 1, 1, T, C, W, E, 2);
            build->kernels->rankconv_bwd(part[0], part[1], part[2], part[3], in[0].x, in[1].x,
                                         in[2].x, in[3].x, in[4].x, in[5].x, 1, 1, T, C, W, E, 2);
            for (int i = 0; i < 4; i++) {
                if (part[i])
                    assert_memory_equal(part[i], all[i].x, sizeof(float) * (size_t)size[i]);
                test_free(all[i].x), test_free(all[i].want);
                test_free(some[i].x), test_free(some[i].want);
            }
            for (int i = 0; i < 6; i++) test_free(in[i].x), test_free(in[i].want);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rankconv),
        cmocka_unit_test(test_tokenconv),
        cmocka_unit_test(test_mixconv),
        cmocka_unit_test(test_rankconv_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
