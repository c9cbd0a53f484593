/* stats_test.c - the statistics against values from textbooks and published tables. */
#include "report/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.15g, want %.15g", got, want);
}

static void test_mean_sd(void **state) {
    (void)state;
    const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    near(stat_mean(x, 8), 5, 1e-15);
    near(stat_sd(x, 8), sqrt(32.0 / 7), 1e-15);
    assert_true(isnan(stat_mean(x, 0)));
    assert_true(isnan(stat_sd(x, 1)));
}

/* I_x(a, b) in closed form: a polynomial, and the arcsine law. */
static void test_beta(void **state) {
    (void)state;
    near(beta_incomplete(0.5, 2, 3), 0.6875, 1e-14);
    near(beta_incomplete(0.2, 0.5, 0.5), 2 / acos(-1.0) * asin(sqrt(0.2)), 1e-14);
    near(beta_incomplete(0.99, 5, 1), pow(0.99, 5), 1e-14);
    near(beta_incomplete(0.3, 40, 60) + beta_incomplete(0.7, 60, 40), 1, 1e-13);
    near(beta_incomplete(0, 2, 3), 0, 0);
    near(beta_incomplete(1, 2, 3), 1, 0);
}

static void test_t_quantile(void **state) {
    (void)state;
    /* Closed forms, and for whole degrees of freedom the finite trigonometric series. */
    near(t_quantile(0.975, 1), tan(acos(-1.0) * 0.475), 1e-11);
    near(t_quantile(0.975, 2), 0.95 / sqrt(2 * 0.975 * 0.025), 1e-12);
    near(t_quantile(0.975, 9), 2.2621571627982044, 1e-13);
    near(t_quantile(0.95, 30), 1.6972608865939542, 1e-13);
    near(t_quantile(0.025, 4), -2.7764451051977934, 1e-13);
    near(normal_quantile(0.975), 1.959963984540054, 1e-12);
    near(t_cdf(1, 1), 0.75, 1e-14);
}

static void test_t_interval(void **state) {
    (void)state;
    const double x[] = {1, 2, 3};
    near(t_half_width(x, 3), 0.95 / sqrt(2 * 0.975 * 0.025) / sqrt(3), 1e-12);
    assert_true(isnan(t_half_width(x, 1)));
}

/* Newcombe, Statistics in Medicine 17 (1998), table I, method 3. */
static void test_wilson(void **state) {
    (void)state;
    static const struct {
        int successes, n;
        double low, high;
    } row[] = {{81, 263, 0.2553, 0.3662},
               {15, 148, 0.0624, 0.1605},
               {0, 20, 0, 0.1611},
               {1, 29, 0.0061, 0.1718}};
    for (int i = 0; i < 4; i++) {
        interval w = wilson_interval(row[i].successes, row[i].n);
        near(w.low, row[i].low, 6e-5);
        near(w.high, row[i].high, 6e-5);
    }
    near(wilson_interval(3, 3).high, 1, 0);
    assert_true(isnan(wilson_interval(0, 0).low));
}

/* Student's sleep data (1908), as every textbook has it: t = -4.0621, 9 degrees, p = 0.002833. */
static void test_paired(void **state) {
    (void)state;
    const double a[] = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
    const double b[] = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
    double difference;
    near(paired_p(&difference, a, b, 10), 0.002832890197383975, 1e-14);
    near(difference, -1.58, 1e-14);
    near(paired_p(&difference, a, a, 10), 1, 0);
    assert_true(isnan(paired_p(&difference, a, b, 1)));
    const double c[] = {0.5, 0.5, 0.5}, d[] = {0.25, 0.25, 0.25};
    near(paired_p(&difference, c, d, 3), 0, 0);
}

static void test_holm(void **state) {
    (void)state;
    arena *a = arena_new();
    double p[] = {0.01, 0.04, (double)NAN, 0.03, 0.005};
    assert_int_equal(holm_adjust(a, p, 5), 4);
    near(p[0], 0.03, 1e-15);
    near(p[1], 0.06, 1e-15);
    assert_true(isnan(p[2]));
    near(p[3], 0.06, 1e-15);
    near(p[4], 0.02, 1e-15);
    double tiny[] = {1e-20, 0.9};
    holm_adjust(a, tiny, 2);
    near(tiny[0], 2e-20, 1e-30);
    arena_free(a);
}

static void test_iqm(void **state) {
    (void)state;
    arena *a = arena_new();
    const double x[] = {8, 1, 7, 2, 6, 3, 5, 4};
    near(stat_iqm(a, x, 8), 4.5, 1e-15);
    near(stat_iqm(a, x, 3), 16.0 / 3, 1e-15);
    const int one[] = {8}, two[] = {4, 4}, singles[] = {1, 1, 1, 1, 1, 1, 1, 1};
    interval w = iqm_interval(a, x, one, 1), again = iqm_interval(a, x, one, 1);
    assert_true(w.low == again.low && w.high == again.high);
    assert_true(w.low < 4.5 && w.high > 4.5 && w.low >= 1 && w.high <= 8);
    /* Resampling inside strata of one value can change nothing. */
    interval fixed = iqm_interval(a, x, singles, 8);
    near(fixed.low, 4.5, 1e-15);
    near(fixed.high, 4.5, 1e-15);
    interval split = iqm_interval(a, x, two, 2);
    assert_true(split.low != w.low || split.high != w.high);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_sd),    cmocka_unit_test(test_beta),
        cmocka_unit_test(test_t_quantile), cmocka_unit_test(test_t_interval),
        cmocka_unit_test(test_wilson),     cmocka_unit_test(test_paired),
        cmocka_unit_test(test_holm),       cmocka_unit_test(test_iqm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
