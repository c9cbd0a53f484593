/* experts_test.c - routing, its losses, experts and low-bit layers against their definitions,
 * written token by token in double, and against values that are known. */
#define REAL_IS_DOUBLE
#define KERNEL_SUFFIX test
#include "kernels/core/backend.h"
#include "kernels/core/kernels.h"
#include "kernels/core/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
/* cmocka needs the headers above */
#include <cmocka.h>

static const kernels *build(void) {
    error e = {0};
    return backend_find("f64", &e)->kernels;
}

static void fill(double *x, int n, uint32_t stream) {
    rng g = rng_start((rng_key){{stream, 1}}, 0, 0);
    for (int i = 0; i < n; i++) x[i] = 2 * rng_uniform(&g) - 1;
}

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want)))) fail_msg("%.15g, not %.15g", got, want);
}

static void test_route_prefers_the_lowest_index(void **state) {
    (void)state;
    const double z[] = {1, 3, 3, 2, 3, /**/ 0, 0, 0, 0, 0, /**/ -1, -2, 5, -3, -1};
    const int want[] = {1, 2, 4, /**/ 0, 1, 2, /**/ 2, 0, 4};
    double weight[9];
    int choice[9];
    build()->route_fwd(weight, choice, z, 3, 5, 3);
    assert_memory_equal(choice, want, sizeof want);
    for (int i = 0; i < 6; i++) near(weight[i], 1. / 3);
    near(weight[6], exp(6) / (exp(6) + 2));
}

/* NaN compares with nothing, but indices of memory come from the choice. */
static void test_route_of_nan_is_legal(void **state) {
    (void)state;
    const double z[] = {NAN, NAN, NAN, /**/ 1, NAN, 2};
    double weight[6];
    int choice[6];
    build()->route_fwd(weight, choice, z, 2, 3, 3);
    for (int i = 0; i < 6; i++) assert_in_range(choice[i], 0, 2);
}

/* Equal logits, even use: the balance is 1, its least value, and the logsumexp log(E). */
static void test_balance_of_even_use(void **state) {
    (void)state;
    const double z[16] = {0};
    const int even[] = {0, 1, 2, 3}, uneven[] = {2, 2, 2, 2};
    double loss;
    build()->balance_fwd(&loss, z, even, 1, 4, 4, 1);
    near(loss, 1 + .1 * log(4) * log(4));
    build()->balance_fwd(&loss, z, uneven, 1, 4, 4, 1);
    near(loss, 1 + .1 * log(4) * log(4)); /* the router itself is even */
}

static void test_balance_is_its_formula(void **state) {
    (void)state;
    enum { S = 3, T = 5, E = 4, K = 2 };
    double z[S * T * E], loss[S];
    const int choice[S * T * K] = {0, 1, 0, 2, 3, 0, 1, 2, 0, 3, 2, 1, 2, 0, 2,
                                   3, 2, 1, 2, 0, 3, 1, 0, 3, 3, 2, 1, 3, 3, 0};
    fill(z, S * T * E, 1);
    build()->balance_fwd(loss, z, choice, S, T, E, K);
    for (int s = 0; s < S; s++) {
        double p[E] = {0}, count[E] = {0}, size = 0, p_norm = 0, count_norm = 0, want = 0;
        for (int t = 0; t < T; t++) {
            double sum = 0;
            for (int e = 0; e < E; e++) sum += exp(z[(s * T + t) * E + e]);
            for (int e = 0; e < E; e++) p[e] += exp(z[(s * T + t) * E + e]) / sum;
            size += log(sum) * log(sum) / T;
            for (int k = 0; k < K; k++) count[choice[(s * T + t) * K + k]]++;
        }
        for (int e = 0; e < E; e++) p_norm += p[e], count_norm += count[e];
        for (int e = 0; e < E; e++) want += E * p[e] / p_norm * count[e] / count_norm;
        near(loss[s], want + .1 * size);
    }
}

/* Token by token, without sorting: the same sums, whoever shares an expert. */
static void test_experts_are_their_formula(void **state) {
    (void)state;
    enum { R = 2, N = 7, K = 2, E = 3, C = 4, H = 5 };
    double x[R * N * C], weight[R * N * K], wg[R * E * C * H], w1[R * E * C * H], w2[R * E * C * H];
    double y[R * N * C], kept[2 * R * N * K * H], work[1024];
    int choice[R * N * K];
    fill(x, R * N * C, 1), fill(weight, R * N * K, 2), fill(wg, R * E * C * H, 3);
    fill(w1, R * E * C * H, 4), fill(w2, R * E * C * H, 5);
    for (int i = 0; i < R * N * K; i++) choice[i] = i * i % 5 % E;
    build()->experts_fwd(y, kept, x, weight, choice, wg, w1, w2, work, R, N, K, E, C, H, 0);
    for (int i = 0; i < R * N; i++)
        for (int c = 0; c < C; c++) {
            double want = 0;
            for (int k = 0; k < K; k++) {
                const int e = i / N * E + choice[i * K + k]; /* of all runs */
                for (int h = 0; h < H; h++) {
                    double a = 0, b = 0;
                    for (int from = 0; from < C; from++) {
                        a += x[i * C + from] * wg[(e * C + from) * H + h];
                        b += x[i * C + from] * w1[(e * C + from) * H + h];
                    }
                    want += weight[i * K + k] * a / (1 + exp(-a)) * b * w2[(e * H + h) * C + c];
                }
            }
            near(y[i * C + c], want);
        }
}

static void test_low_bits(void **state) {
    (void)state;
    const double w[] = {.1, -.2, .9, -1.2}, x[] = {127, -63.4, .5, 1.5, 0, 0, 0, 0};
    double y[8];
    build()->ternary_fwd(y, w, 1, 4, 1e-5); /* mean size 0.6 */
    near(y[0], 0), near(y[1], 0), near(y[2], .6), near(y[3], -.6);
    build()->quant8_fwd(y, x, 2, 4, 1e-5);
    near(y[0], 127), near(y[1], -63), near(y[2], 0), near(y[3], 2); /* halves to even */
    for (int i = 4; i < 8; i++) near(y[i], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_prefers_the_lowest_index),
        cmocka_unit_test(test_route_of_nan_is_legal),
        cmocka_unit_test(test_balance_of_even_use),
        cmocka_unit_test(test_balance_is_its_formula),
        cmocka_unit_test(test_experts_are_their_formula),
        cmocka_unit_test(test_low_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
