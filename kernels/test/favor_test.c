/* favor_test.c - feature maps against the kernels they stand for: positive random features estimate
 * exp(q.k / sqrt(d)) without bias, Taylor features give 1 + s + s^2 / 2. Seeds are fixed, so a
 * bound that holds once holds always. */
#include "float_fixture.h"

#include "kernels/core/orthogonal.h"

enum { D = 8, M = 20, SEEDS = 20000 }; /* M: two blocks of orthogonal rows and a half */

static rng draw_of(int seed) {
    return rng_start(rng_key_make((uint64_t)seed, "directions", NULL, 0), 0, 0);
}

static double dot(const float *a, const float *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static void test_rows_are_orthogonal_and_normal(void **state) {
    (void)state;
    double square = 0, fourth = 0, axis = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        double w[M * D];
        rng draw = draw_of(seed);
        orthogonal_rows(w, &draw, M, D);
        for (int i = 0; seed < 50 && i < M; i++)
            for (int j = i - i % D; j < i; j++) {
                double sum = 0;
                for (int c = 0; c < D; c++) sum += w[i * D + c] * w[j * D + c];
                assert_true(fabs(sum) < 1e-12);
            }
        double length = 0;
        for (int c = 0; c < D; c++) length += w[c] * w[c];
        square += length / SEEDS;
        fourth += length * length / SEEDS;
        axis += w[0] * w[0] / SEEDS;
    }
    /* |w|^2 is chi-square: mean D, variance 2 D; five standard errors */
    assert_true(fabs(square - D) < 5 * sqrt(2.0 * D / SEEDS));
    assert_true(fabs(fourth - square * square - 2 * D) < 0.1 * 2 * D);
    assert_true(fabs(axis - 1) < 5 * sqrt(2.0 / SEEDS));
}

/* Mean and standard error over seeds of phi(q).phi(k) without eps. */
static void estimate(double *mean, double *off, const float *q, const float *k) {
    const kernels *table = cpu();
    double sum = 0, square = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
        double w[M * D];
        float row[M * D], a[M], b[M];
        rng draw = draw_of(seed);
        orthogonal_rows(w, &draw, M, D);
        for (int i = 0; i < M * D; i++) row[i] = (float)w[i];
        table->favor_fwd(a, q, row, 1, 1, D, M, 0);
        table->favor_fwd(b, k, row, 1, 1, D, M, 0);
        const double v = dot(a, b, M);
        sum += v;
        square += v * v;
    }
    *mean = sum / SEEDS;
    *off = sqrt((square / SEEDS - *mean * *mean) / SEEDS);
}

static void test_features_estimate_the_softmax_kernel(void **state) {
    (void)state;
    const float q[D] = {.9F, -.4F, .3F, 1.1F, -.7F, .2F, .5F, -1.2F};
    const float k[3][D] = {{.8F, -.1F, .6F, .4F, -.9F, 0, .7F, -.3F},
                           {-.6F, .9F, -.2F, -1, .3F, .5F, 0, .8F},
                           {.9F, -.4F, .3F, 1.1F, -.7F, .2F, .5F, -1.2F}};
    for (int i = 0; i < 3; i++) {
        double mean, off;
        estimate(&mean, &off, q, k[i]);
        const double want = exp(dot(q, k[i], D) / sqrt(D));
        assert_true(off < 0.05 * want); /* the next line says something */
        if (fabs(mean - want) > 4 * off) fail_msg("%g +- %g, not %g", mean, off, want);
    }
}

static void test_taylor_features(void **state) {
    (void)state;
    const float x[D] = {.9F, -.4F, .3F, 1.1F, -.7F, .2F, .5F, -1.2F};
    const float z[D] = {.8F, -.1F, .6F, .4F, -.9F, 0, .7F, -.3F};
    float a[1 + D + D * D], b[1 + D + D * D];
    cpu()->taylor_fwd(a, x, 1, D);
    cpu()->taylor_fwd(b, z, 1, D);
    const double s = dot(x, z, D) / sqrt(D);
    assert_true(fabs(dot(a, b, 1 + D + D * D) - (1 + s + s * s / 2)) < 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_orthogonal_and_normal),
        cmocka_unit_test(test_features_estimate_the_softmax_kernel),
        cmocka_unit_test(test_taylor_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
