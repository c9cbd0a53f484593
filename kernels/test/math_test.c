/* math_test.c - errors of the polynomial exponential, silu, gelu and softplus of the float builds
 * against libm in double, scanned over all of their range (every STEP-th float), and the special
 * values. */
#include "float_fixture.h"

#include "kernels/core/functions.h"
#include "kernels/cpu/cpu.h"

enum { STEP = 401, BLOCK = 1000 }; /* odd sizes, so that vector bodies and tails both see work */

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Next BLOCK floats of a sign from 2^-30 up to `last`, STEP apart; false when done. */
static bool scan(float x[BLOCK], uint32_t *bits, float last) {
    if (fabsf(float_of(*bits)) > fabsf(last)) return false;
    for (int i = 0; i < BLOCK; i++, *bits += STEP) {
        x[i] = float_of(*bits);
        if (fabsf(x[i]) > fabsf(last)) x[i] = last;
    }
    return true;
}
static uint32_t scan_start(float last) { return 0x30800000u | (last < 0 ? 0x80000000u : 0); }

static double worse(double worst, double off) { return off <= worst ? worst : off; }

static void test_exp_error(void **state) {
    (void)state;
    const float last[] = {88.72f, -87.33f};
    double worst = 0;
    float x[BLOCK];
    for (int sign = 0; sign < 2; sign++)
        for (uint32_t bits = scan_start(last[sign]); scan(x, &bits, last[sign]);)
            for (int i = 0; i < BLOCK; i++) {
                double exact = exp((double)x[i]);
                worst = worse(worst, fabs((double)real_exp(x[i]) - exact) / exact);
            }
    print_message("real_exp: relative error %.3g\n", worst);
    assert_true(worst < 8.7e-8);
}

static void test_exp_special(void **state) {
    (void)state;
    assert_true(real_exp(0.0f) == 1.0f && real_exp(-0.0f) == 1.0f);
    const float zero[] = {-87.34f, -100.0f, -3e38f, -INFINITY};
    const float huge[] = {88.73f, 100.0f, 3e38f, INFINITY};
    for (int i = 0; i < 4; i++) {
        assert_true(real_exp(zero[i]) == 0.0f);
        assert_true(isinf(real_exp(huge[i])) && real_exp(huge[i]) > 0);
    }
    const uint32_t nan[] = {0x7FC00000u, 0xFFC00000u, 0x7F800001u, 0x7FFFFFFFu, 0xFFFFFFFFu};
    for (int i = 0; i < 5; i++) assert_true(isnan(real_exp(float_of(nan[i]))));
}

/* f(b) runs a check on the float builds that this processor can run. */
static void each_float_build(void (*f)(const backend *)) {
    int seen = 0;
    for (const backend *b = NULL; (b = build_next(b)); seen++) f(b);
    if (!seen) skip();
}

static void silu_error(const backend *b) {
    double worst = 0;
    float x[BLOCK], y[BLOCK];
    const float last[] = {3e38f, -87.0f}; /* below, 1 + e^-x overflows and the result is 0 */
    for (int sign = 0; sign < 2; sign++)
        for (uint32_t bits = scan_start(last[sign]); scan(x, &bits, last[sign]);) {
            b->kernels->silu_fwd(y, x, BLOCK);
            for (int i = 0; i < BLOCK; i++) {
                double exact = (double)x[i] / (1 + exp(-(double)x[i]));
                worst = worse(worst, fabs((double)y[i] - exact) / fabs(exact));
            }
        }
    print_message("%s silu: relative error %.3g\n", b->name, worst);
    assert_true(worst < 2.1e-7);
}

static void gelu_error(const backend *b) {
    double worst = 0, worst_slope = 0, worst_tail = 0;
    float x[BLOCK], y[BLOCK], dx[BLOCK], one[BLOCK];
    for (int i = 0; i < BLOCK; i++) one[i] = 1;
    const float last[] = {3e38f, -40.0f};
    for (int sign = 0; sign < 2; sign++)
        for (uint32_t bits = scan_start(last[sign]); scan(x, &bits, last[sign]);) {
            memset(dx, 0, sizeof dx);
            b->kernels->gelu_fwd(y, x, BLOCK);
            b->kernels->gelu_bwd(dx, one, x, BLOCK);
            for (int i = 0; i < BLOCK; i++) {
                const double v = (double)x[i], cdf = 0.5 * erfc(-v * sqrt(0.5));
                const double off = fabs((double)y[i] - v * cdf);
                const double slope = cdf + v * exp(-v * v / 2) / sqrt(8 * atan(1));
                worst = worse(worst, off / fmax(1, fabs(v)));
                worst_slope = worse(worst_slope, fabs((double)dx[i] - slope));
                if (v < 0 && v > -10) worst_tail = worse(worst_tail, off / -(v * cdf));
            }
        }
    print_message("%s gelu: error %.3g of max(1, |x|), relative in the tail to -10 %.3g, "
                  "slope %.3g\n",
                  b->name, worst, worst_tail, worst_slope);
    assert_true(worst < 1.3e-7 && worst_slope < 3e-7 && worst_tail < 3e-6);
}

static void softplus_error(const backend *b) {
    double worst = 0;
    float x[BLOCK], y[BLOCK];
    const float last[] = {3e38f, -87.0f};
    for (int sign = 0; sign < 2; sign++)
        for (uint32_t bits = scan_start(last[sign]); scan(x, &bits, last[sign]);) {
            b->kernels->map_fwd(y, x, MAP_SOFTPLUS, 0, BLOCK);
            for (int i = 0; i < BLOCK; i++) {
                const double v = (double)x[i], exact = fmax(v, 0) + log1p(exp(-fabs(v)));
                worst = worse(worst, fabs((double)y[i] - exact) / exact);
            }
        }
    print_message("%s softplus: relative error %.3g\n", b->name, worst);
    assert_true(worst < 1.5e-7);
    const float at[] = {NAN, INFINITY, -INFINITY, -200};
    b->kernels->map_fwd(y, at, MAP_SOFTPLUS, 0, 4);
    assert_true(isnan(y[0]) && y[1] == INFINITY && y[2] == 0 && y[3] == 0);
}

/* No NaN is lost and none is made of a finite number. */
static void special_values(const backend *b) {
    const float x[] = {NAN, -NAN, 3e38f, -3e38f, 100, -100, 0, 1e-38f, 1e-45f};
    enum { N = sizeof x / sizeof *x };
    float y[4][N], one[N];
    memset(y, 0, sizeof y);
    for (int i = 0; i < N; i++) one[i] = 1;
    b->kernels->silu_fwd(y[0], x, N);
    b->kernels->silu_bwd(y[1], one, x, N);
    b->kernels->gelu_fwd(y[2], x, N);
    b->kernels->gelu_bwd(y[3], one, x, N);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < N; i++) assert_int_equal(isnan(y[k][i]), isnan(x[i]));
    for (int k = 0; k < 4; k += 2) {
        assert_true(y[k][2] == x[2] && y[k][4] == x[4] && y[k][6] == 0);
        assert_true(fabsf(y[k][3]) == 0 && fabsf(y[k][5]) == 0);
    }
}

static void test_silu_error(void **state) {
    (void)state;
    each_float_build(silu_error);
}
static void test_gelu_error(void **state) {
    (void)state;
    each_float_build(gelu_error);
}
static void test_softplus_error(void **state) {
    (void)state;
    each_float_build(softplus_error);
}
static void test_special_values(void **state) {
    (void)state;
    each_float_build(special_values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_error),      cmocka_unit_test(test_exp_special),
        cmocka_unit_test(test_silu_error),     cmocka_unit_test(test_gelu_error),
        cmocka_unit_test(test_softplus_error), cmocka_unit_test(test_special_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
