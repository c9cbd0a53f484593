/* fft_test.c - transforms against what they must be, and products by them against plain sums, in
 * double and at any length. What the kernel makes of them, in float: definition_test, op_test. */
#define REAL_IS_DOUBLE
#define KERNEL_SUFFIX f64
#include "kernels/core/rng.h"
#include "kernels/cpu/fft.h"

#include <complex.h>
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
/* cmocka needs the headers above */
#include <cmocka.h>

enum { MOST = 2049, COLS = 18 /* two lanes more than one transform holds */ };
static const int lengths[] = {1, 3, 127, 128, 129, 1000, 2049};
enum { N_LENGTH = sizeof lengths / sizeof *lengths };

static void fill(double *x, long n, uint32_t stream) {
    rng g = rng_start((rng_key){{stream, 2}}, 0, 0);
    for (long i = 0; i < n; i++) x[i] = (double)(float)(2 * rng_uniform(&g) - 1);
}

static double norm(const double *x, long rows) {
    double sum = 0;
    for (long t = 0; t < rows; t++) sum += x[t * COLS] * x[t * COLS];
    return sqrt(sum);
}

/* Rounding errors spread over a channel: what bounds one element is the norm of both factors. */
static void near(double got, double want, double eps, double size) {
    if (!(fabs(got - want) <= 2 * eps * size)) fail_msg("%.9g, not %.9g", got, want);
}

/* Memory of one length. */
typedef struct transform {
    fft f;
    double *z, *h;
    void *memory;
} transform;

static transform transform_new(long rows) {
    const long length = fft_length(rows), size = length * FFT_ROW;
    double *memory = malloc(sizeof *memory * (2 * (size_t)size + fft_table(length)));
    assert_non_null(memory);
    return (transform){fft_start(memory + 2 * size, length), memory, memory + size, memory};
}

static double complex at(const double *z, long k, int lane) {
    return CMPLX(z[k * FFT_ROW + lane], z[k * FFT_ROW + FFT_LANES + lane]);
}

static void test_lengths(void **state) {
    (void)state;
    for (long n = 1; n < 5000; n++) {
        const long length = fft_length(n);
        assert_true(length >= n && (length == 2 || 2 * length <= 3 * n || n < 5));
        assert_int_equal(fft_length(length), length);
    }
}

/* A one at time t becomes the t-th powers of the N different roots of i. */
static void test_of_ones(void **state) {
    (void)state;
    for (int i = 0; i < N_LENGTH; i++) {
        transform s = transform_new(lengths[i]);
        const long n = s.f.length;
        double *x = calloc((size_t)n, sizeof *x);
        assert_non_null(x);
        x[0] = 1;
        fft_forward(s.z, &s.f, x, 1, n, 1);
        for (long k = 0; k < n; k++) assert_true(cabs(at(s.z, k, 0) - 1) < 1e-15);
        x[0] = 0, x[1] = 1;
        fft_forward(s.h, &s.f, x, 1, n, 1);
        const long t = n / 3 + 1;
        x[1] = 0, x[t] = 1;
        fft_forward(s.z, &s.f, x, 1, n, 1);
        char *seen = calloc((size_t)n, 1);
        assert_non_null(seen);
        for (long k = 0; k < n; k++) {
            const double turn = carg(at(s.h, k, 0)) / (2 * acos(-1)) * (double)n - .25;
            const long root = (lround(turn) + n) % n;
            assert_true(fabs(turn - (double)lround(turn)) < 1e-10 && !seen[root]);
            seen[root] = 1;
            assert_true(cabs(at(s.z, k, 0) - cpow(at(s.h, k, 0), (double)t)) < 1e-11);
        }
        free(seen), free(x), free(s.memory);
    }
}

/* sum |z|^2 = N sum x^2, lanes that were not given stay zero, and the way back gives x. */
static void test_parseval(void **state) {
    (void)state;
    static double x[MOST * COLS], back[MOST * COLS];
    fill(x, MOST * COLS, 1);
    for (int i = 0; i < N_LENGTH; i++)
        for (int n = 1; n <= FFT_LANES; n += 5) {
            const long rows = lengths[i];
            transform s = transform_new(rows);
            fft_forward(s.z, &s.f, x, COLS, rows, n);
            for (int c = 0; c < FFT_LANES; c++) {
                double sum = 0, size = norm(x + c, rows);
                for (long k = 0; k < s.f.length; k++) sum += pow(cabs(at(s.z, k, c)), 2);
                const double want = c < n ? (double)s.f.length * size * size : 0;
                assert_true(fabs(sum - want) <= 1e-14 * want);
            }
            for (int j = 0; j < MOST * COLS; j++) back[j] = j;
            fft_inverse(back, NULL, &s.f, s.z, COLS, rows, n);
            for (int j = 0; j < MOST * COLS; j++) {
                const bool given = j < rows * COLS && j % COLS < n;
                if (given)
                    assert_true(fabs(back[j] - (j + x[j])) < 1e-10);
                else
                    assert_true(back[j] == j);
            }
            free(s.memory);
        }
}

/* Plain sums, in double: y += w * x, dx += w correlated with dy, dw += dy correlated with x,
 * of one sequence. */
static void direct(double *y, double *dx, double *dw, const double *dy, const double *x,
                   const double *w, int time, int width) {
    for (int t = 0; t < time; t++)
        for (int k = 0; k < width && k <= t; k++)
            for (int c = 0; c < COLS; c++) {
                const int now = t * COLS + c, past = (t - k) * COLS + c, tap = k * COLS + c;
                y[now] += w[tap] * x[past];
                dx[past] += w[tap] * dy[now];
                dw[tap] += dy[now] * x[past];
            }
}

static double x[MOST * COLS], w[MOST * COLS], dy[MOST * COLS];
static double want_y[MOST * COLS], want_dx[MOST * COLS], want_dw[MOST * COLS];
static double y[MOST * COLS], dx[MOST * COLS], dw[MOST * COLS];

static void test_products(void **state) {
    (void)state;
    const double eps = DBL_EPSILON;
    double start[FFT_LANES];
    fill(start, FFT_LANES, 4);
    for (int i = 0; i < N_LENGTH; i++) {
        const int time = lengths[i], n = FFT_LANES;
        transform s = transform_new(time);
        fill(x, time * COLS, 1), fill(w, time * COLS, 2), fill(dy, time * COLS, 3);
        memset(want_y, 0, sizeof want_y);
        memset(want_dx, 0, sizeof want_dx), memset(dx, 0, sizeof dx);
        memset(want_dw, 0, sizeof want_dw), memset(dw, 0, sizeof dw);
        direct(want_y, want_dx, want_dw, dy, x, w, time, time);

        fft_forward(s.h, &s.f, w, COLS, time, n);
        fft_forward(s.z, &s.f, x, COLS, time, n);
        fft_convolve(s.z, s.h, s.f.length);
        fft_inverse(y, start, &s.f, s.z, COLS, time, n);
        fft_forward(s.z, &s.f, dy, COLS, time, n);
        fft_correlate(s.z, s.h, s.f.length);
        fft_inverse(dx, NULL, &s.f, s.z, COLS, time, n);
        fft_forward(s.z, &s.f, dy, COLS, time, n);
        fft_forward(s.h, &s.f, x, COLS, time, n);
        fft_correlate(s.z, s.h, s.f.length);
        fft_inverse(dw, NULL, &s.f, s.z, COLS, time, n);
        for (int c = 0; c < n; c++) {
            const double nx = norm(x + c, time), nw = norm(w + c, time), ny = norm(dy + c, time);
            for (int j = c; j < time * COLS; j += COLS) {
                near(y[j], start[c] + want_y[j], eps, nx * nw + fabs(start[c]));
                near(dx[j], want_dx[j], eps, ny * nw);
                near(dw[j], want_dw[j], eps, ny * nx);
            }
        }
        free(s.memory);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_of_ones),
        cmocka_unit_test(test_parseval),
        cmocka_unit_test(test_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
