/* definition_test.c - conv, norms and gates against their definitions, written as plainly as
 * possible in double. Gradient checks cannot see a wrong forward; a tap at the wrong lag is one. */
#include "float_fixture.h"

enum { MAX_N = 20000, RUNS = 2 };

/* |got - want| within `eps` units of float rounding. */
static void near(float got, double want, double eps) {
    if (!(fabs((double)got - want) <= eps * 0x1p-23)) fail_msg("%.9g, not %.9g", (double)got, want);
}

typedef struct conv_shape {
    int batch, time, cols, width, groups, dilation;
} conv_shape;

static const conv_shape shapes[] = {
    {1, 1, 1, 1, 1, 1},      {2, 9, 3, 4, 3, 1},       {1, 3, 33, 5, 33, 1},
    {2, 33, 16, 3, 4, 2},    {1, 129, 5, 64, 5, 1},    {1, 40, 6, 33, 2, 1},
    {1, 12, 257, 4, 257, 3}, {1, 6, 387, 2, 129, 1},   {1, 5, 512, 3, 1, 2},
    {1, 30, 8, 32, 8, 16},   {1, 3, 4, 3, 2, 7},       {1, 21, 64, 10, 64, 1},
    {1, 20, 129, 8, 3, 5},   {3, 128, 17, 200, 17, 1}, {1, 1000, 3, 1000, 3, 1}, /* by transforms */
    {1, 2049, 2, 700, 2, 1},
};

static void check_conv(const kernels *k, conv_shape s) {
    static float x[MAX_N], w[MAX_N], bias[RUNS * 1024], y[MAX_N], dy[MAX_N];
    static float dx[MAX_N], dw[MAX_N], db[RUNS * 1024];
    static float work[1 << 19];
    static double want_dx[MAX_N], want_dw[MAX_N], want_db[RUNS * 1024];
    double partial[RUNS * 1024] = {0}; /* sizes of the sums that are rounded on the way to db */
    const int n = RUNS * s.batch * s.time * s.cols, share = s.cols / s.groups;
    assert_true(n <= MAX_N && RUNS * s.width * s.groups <= MAX_N);
    assert_true(conv_work(s.time, s.width, s.cols, s.groups, s.dilation) <=
                sizeof work / sizeof *work);
    fill(x, n, 1), fill(w, RUNS * s.width * s.groups, 2), fill(bias, RUNS * s.cols, 3);
    fill(dy, n, 4), fill(dx, n, 5), fill(dw, RUNS * s.width * s.groups, 6),
        fill(db, RUNS * s.cols, 7);
    for (int i = 0; i < n; i++) want_dx[i] = (double)dx[i]; /* gradients are added to */
    for (int i = 0; i < RUNS * s.width * s.groups; i++) want_dw[i] = (double)dw[i];
    for (int i = 0; i < RUNS * s.cols; i++) want_db[i] = (double)db[i];
    k->conv_fwd(y, x, w, bias, work, RUNS, s.batch, s.time, s.cols, s.width, s.groups, s.dilation);
    k->conv_bwd(dx, dw, db, dy, x, w, work, RUNS, s.batch, s.time, s.cols, s.width, s.groups,
                s.dilation);
    const double terms = s.batch * s.time * share;
    for (int i = 0; i < n; i++) {
        const int c = i % s.cols, t = i / s.cols % s.time, r = i / s.cols / s.time / s.batch;
        double sum = (double)bias[r * s.cols + c];
        for (int lag = 0; lag < s.width && lag * s.dilation <= t; lag++) {
            const int tap = (r * s.width + lag) * s.groups + c / share;
            const int from = i - lag * s.dilation * s.cols;
            sum += (double)w[tap] * (double)x[from];
            want_dx[from] += (double)w[tap] * (double)dy[i];
            want_dw[tap] += (double)dy[i] * (double)x[from];
        }
        want_db[r * s.cols + c] += (double)dy[i];
        partial[r * s.cols + c] += fabs(want_db[r * s.cols + c]);
        near(y[i], sum, 4 * sqrt(s.width));
    }
    for (int i = 0; i < n; i++) near(dx[i], want_dx[i], 4 * sqrt(s.width));
    for (int i = 0; i < RUNS * s.width * s.groups; i++) near(dw[i], want_dw[i], 4 * sqrt(terms));
    for (int i = 0; i < RUNS * s.cols; i++) near(db[i], want_db[i], 4 + partial[i] / 2);
}

static void test_conv(void **state) {
    (void)state;
    for (const backend *build = NULL; (build = build_next(build));)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_conv(build->kernels, shapes[i]);
}

/* A NaN reaches exactly the outputs that the definition gives it to: later ones, within the width,
 * of its own channel; a NaN tap only those that have its lag. */
static void test_conv_reach(void **state) {
    (void)state;
    enum { TIME = 23, COLS = 5, WIDTH = 7, AT = 9 };
    for (const backend *build = NULL; (build = build_next(build));) {
        const kernels *k = build->kernels;
        float x[TIME * COLS], w[WIDTH * COLS], y[TIME * COLS];
        fill(x, TIME * COLS, 1), fill(w, WIDTH * COLS, 2);
        x[AT * COLS + 2] = NAN, w[6 * COLS + 4] = NAN;
        k->conv_fwd(y, x, w, NULL, NULL, 1, 1, TIME, COLS, WIDTH, COLS, 1);
        for (int t = 0; t < TIME; t++)
            for (int c = 0; c < COLS; c++) {
                const bool hit = (c == 2 && t >= AT && t < AT + WIDTH) || (c == 4 && t >= 6);
                assert_int_equal(isnan(y[t * COLS + c]), hit);
            }
    }
}

static void test_norms(void **state) {
    (void)state;
    enum { ROWS = 6, COLS = 129 };
    const double eps = 1e-3;
    for (const backend *build = NULL; (build = build_next(build));) {
        const kernels *k = build->kernels;
        float x[ROWS * COLS], w[RUNS * COLS], bias[RUNS * COLS];
        float rms[ROWS * COLS], layer[ROWS * COLS], rstd[ROWS], stats[2 * ROWS];
        fill(x, ROWS * COLS, 1), fill(w, RUNS * COLS, 2), fill(bias, RUNS * COLS, 3);
        for (int i = 0; i < COLS; i++) x[i] *= 100, x[COLS + i] += 10, x[2 * COLS + i] = 0;
        k->rmsnorm_fwd(rms, rstd, x, w, RUNS, ROWS / RUNS, COLS, eps);
        k->layernorm_fwd(layer, stats, x, w, bias, RUNS, ROWS / RUNS, COLS, eps);
        for (int i = 0; i < ROWS; i++) {
            double mean = 0, square = 0, var = 0;
            for (int c = 0; c < COLS; c++) mean += (double)x[i * COLS + c] / COLS;
            for (int c = 0; c < COLS; c++) {
                square += pow((double)x[i * COLS + c], 2) / COLS;
                var += pow((double)x[i * COLS + c] - mean, 2) / COLS;
            }
            for (int c = 0; c < COLS; c++) {
                const int j = i * COLS + c, p = i / (ROWS / RUNS) * COLS + c;
                const double wp = (double)w[p], xj = (double)x[j];
                near(rms[j], xj / sqrt(square + eps) * wp, 4 * sqrt(COLS));
                near(layer[j], (xj - mean) / sqrt(var + eps) * wp + (double)bias[p],
                     4 * sqrt(COLS));
            }
        }
    }
}

static void test_gates(void **state) {
    (void)state;
    enum { N = 1033 };
    for (const backend *build = NULL; (build = build_next(build));) {
        const kernels *k = build->kernels;
        float a[N], b[N], y[N], da[N] = {0}, db[N] = {0}, dy[N];
        fill(a, N, 1), fill(b, N, 2), fill(dy, N, 3);
        for (int i = 0; i < N; i++) a[i] *= 8;
        k->swiglu_fwd(y, a, b, N);
        for (int i = 0; i < N; i++)
            near(y[i], (double)a[i] / (1 + exp(-(double)a[i])) * (double)b[i], 16);
        k->mul_fwd(y, a, b, N);
        for (int i = 0; i < N; i++) near(y[i], (double)a[i] * (double)b[i], 4);
        /* x x: both gradients go to one buffer */
        k->mul_bwd(da, da, dy, a, a, N);
        for (int i = 0; i < N; i++) near(da[i], 2 * (double)a[i] * (double)dy[i], 8);
        memset(da, 0, sizeof da);
        k->swiglu_bwd(da, da, dy, a, a, N);
        k->swiglu_bwd(db, NULL, dy, a, a, N);
        k->swiglu_bwd(NULL, db, dy, a, a, N);
        assert_memory_equal(da, db, sizeof da);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_reach),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
