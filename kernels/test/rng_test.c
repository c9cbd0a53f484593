/* rng_test.c - known answers of Philox4x32-10, the distributions built on it, and the dropout mask,
 * which the kernels make with their own copy of the generator. Seeds are fixed, so a bound that
 * holds once holds always; bounds are about five standard deviations. */
#define REAL_IS_FLOAT
#define KERNEL_SUFFIX test
#include "kernels/core/rng.h"

#include "kernels/core/backend.h"
#include "kernels/core/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the three headers above */
#include <cmocka.h>

/* Vectors of Random123 1.14, tests/kat_vectors: philox4x32 10. */
static void test_known_answers(void **state) {
    (void)state;
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32(out, kat[i], (rng_key){{kat[i][4], kat[i][5]}});
        assert_memory_equal(out, kat[i] + 6, sizeof out);
        memcpy(out, kat[i], sizeof out);
        philox4x32(out, out, (rng_key){{kat[i][4], kat[i][5]}}); /* in place */
        assert_memory_equal(out, kat[i] + 6, sizeof out);
    }
}

static void test_streams(void **state) {
    (void)state;
    const rng_key a = rng_key_make(1, "train", NULL, 0);
    const rng_key same = rng_key_make(1, "train", NULL, 0);
    assert_memory_equal(&a, &same, sizeof a);
    const rng_key other[] = {rng_key_make(2, "train", NULL, 0), rng_key_make(1, "valid", NULL, 0),
                             rng_key_make(1, "train", "x", 1)};
    for (int i = 0; i < 3; i++) assert_memory_not_equal(&a, &other[i], sizeof a);
    /* draws are the words of consecutive blocks, whatever was drawn of another index before */
    rng g = rng_start(a, 0x500000007u, 3), h = rng_start(a, 8, 3);
    for (uint32_t i = 0; i < 9; i++) {
        uint32_t out[4], counter[4] = {7, 5, 3, i / 4};
        philox4x32(out, counter, a);
        assert_int_equal(rng_u32(&g), out[i % 4]);
        rng_u32(&h);
    }
}

/* Chi-square of counts that should be equal, as deviations from its mean in units of its standard
 * deviation sqrt(2 (n - 1)). */
static double chi_deviation(const long *count, int n, double expected) {
    double chi = 0;
    for (int i = 0; i < n; i++) chi += pow((double)count[i] - expected, 2) / expected;
    return (chi - (n - 1)) / sqrt(2.0 * (n - 1));
}

static void test_below(void **state) {
    (void)state;
    rng g = rng_start(rng_key_make(3, "below", NULL, 0), 0, 0);
    for (uint32_t n = 1; n <= 129; n = 3 * n - (n > 1)) {
        long count[1024] = {0};
        for (int i = 0; i < 200000; i++) {
            uint32_t pick = rng_below(&g, n);
            assert_true(pick < n);
            count[pick]++;
        }
        if (n > 1) assert_true(fabs(chi_deviation(count, (int)n, 200000.0 / n)) < 5);
    }
    /* 3 2^30: without rejection every third value would come twice as often */
    long count[3] = {0};
    for (int i = 0; i < 300000; i++) count[rng_below(&g, 0xC0000000u) % 3]++;
    assert_true(fabs(chi_deviation(count, 3, 100000)) < 5);
}

static void test_uniform_and_normal(void **state) {
    (void)state;
    enum { N = 400000 };
    rng g = rng_start(rng_key_make(4, "moments", NULL, 0), 0, 0);
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n3 = 0, n4 = 0;
    for (int i = 0; i < N; i++) {
        const double u = rng_uniform(&g), z = rng_normal(&g);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        u1 += u, u2 += u * u;
        n1 += z, n2 += z * z, n3 += z * z * z, n4 += z * z * z * z;
    }
    const double five = 5 / sqrt(N); /* standard deviations of the means, times five */
    assert_true(fabs(u1 / N - 1. / 2) < five * sqrt(1. / 12));
    assert_true(fabs(u2 / N - 1. / 3) < five * sqrt(4. / 45));
    assert_true(fabs(n1 / N) < five && fabs(n2 / N - 1) < five * sqrt(2));
    assert_true(fabs(n3 / N) < five * sqrt(15) && fabs(n4 / N - 3) < five * sqrt(96));
}

static void test_sample(void **state) {
    (void)state;
    enum { N = 7, K = 4, TRIALS = 70000 };
    rng g = rng_start(rng_key_make(5, "sample", NULL, 0), 0, 0);
    long first[N] = {0}, any[N] = {0}, pair[N * N] = {0}, pairs[N * (N - 1)];
    for (int t = 0; t < TRIALS; t++) {
        int out[K];
        unsigned seen = 0;
        rng_sample(&g, out, K, N);
        for (int i = 0; i < K; i++) {
            assert_in_range(out[i], 0, N - 1);
            assert_false(seen >> out[i] & 1);
            seen |= 1u << out[i];
            any[out[i]]++;
        }
        first[out[0]]++;
        pair[out[1] * N + out[3]]++; /* order and set at once: all ordered pairs are as likely */
    }
    int n = 0;
    for (int i = 0; i < N * N; i++)
        if (i / N != i % N) pairs[n++] = pair[i];
    assert_true(fabs(chi_deviation(first, N, TRIALS / (double)N)) < 5);
    assert_true(fabs(chi_deviation(any, N, TRIALS * K / (double)N)) < 5);
    assert_true(fabs(chi_deviation(pairs, n, TRIALS / (double)n)) < 5);
    int all[33];
    unsigned long seen = 0;
    rng_sample(&g, all, 33, 33); /* everything: a permutation */
    for (int i = 0; i < 33; i++) seen |= 1ul << all[i];
    assert_true(seen == (1ul << 33) - 1);
}

static void test_permute(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 1000, 65537};
    for (int s = 0; s < 5; s++) {
        const uint64_t n = sizes[s];
        const rng_key key = rng_key_make(6, "permute", &n, 0);
        unsigned char *hit = calloc(n, 1);
        assert_non_null(hit);
        uint64_t fixed = 0;
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t to = rng_permute(key, n, i);
            assert_true(to < n && !hit[to]);
            hit[to] = 1;
            fixed += to == i;
        }
        free(hit);
        if (n > 3) assert_true(fixed < 10); /* one is expected of a random permutation */
    }
    /* the key matters: over many keys each element goes everywhere equally often */
    long count[3] = {0};
    for (uint64_t seed = 0; seed < 3000; seed++)
        count[rng_permute(rng_key_make(seed, "permute", NULL, 0), 3, 0)]++;
    assert_true(fabs(chi_deviation(count, 3, 1000)) < 5);
}

/* The mask of the kernels is the one that kernels.def promises, in every build. */
static void check_mask(const backend *b) {
    enum { RUNS = 2, BATCH = 3, COLS = 1030, FIRST = 64, STEP = 900, SITE = 5 };
    const int key[2 * RUNS] = {11, -12, 13, 14}, tick[] = {STEP, FIRST, 1};
    const float rate[RUNS] = {0.25f, 0.1f};
    static float x[RUNS * BATCH * COLS], y[RUNS * BATCH * COLS], alone[COLS];
    for (int i = 0; i < RUNS * BATCH * COLS; i++) x[i] = 1;
    b->kernels->dropout_fwd(y, x, rate, key, tick, SITE, RUNS, BATCH, COLS);
    for (int r = 0; r < RUNS; r++)
        for (int e = 0; e < BATCH; e++)
            for (int c = 0; c < COLS; c++) {
                uint32_t out[4], counter[4] = {(uint32_t)c / 4, (uint32_t)(FIRST + e), STEP, SITE};
                const rng_key k = {{(uint32_t)key[2 * r], (uint32_t)key[2 * r + 1]}};
                philox4x32(out, counter, k);
                const bool keep = (double)out[c % 4] >= (double)rate[r] * 0x1p32;
                assert_true(y[(r * BATCH + e) * COLS + c] == (keep ? 1 / (1 - rate[r]) : 0));
            }
    const int later[] = {STEP, FIRST + 2, 1}; /* the last example in a micro-batch of its own */
    b->kernels->dropout_fwd(alone, x, rate + 1, key + 2, later, SITE, 1, 1, COLS);
    assert_memory_equal(alone, y + (RUNS * BATCH - 1) * COLS, sizeof alone);
    const float none[] = {0, 1}; /* rate 0 keeps all, rate 1 nothing */
    b->kernels->dropout_fwd(y, x, none, key, tick, SITE, RUNS, BATCH, COLS);
    for (int i = 0; i < RUNS * BATCH * COLS; i++) assert_true(y[i] == (i < BATCH * COLS));
}

static void test_dropout_mask(void **state) {
    (void)state;
    for (int i = 0; backend_at(i); i++)
        if (!strncmp(backend_at(i)->name, "cpu-", 4) && !backend_at(i)->missing())
            check_mask(backend_at(i));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers), cmocka_unit_test(test_streams),
        cmocka_unit_test(test_below),         cmocka_unit_test(test_uniform_and_normal),
        cmocka_unit_test(test_sample),        cmocka_unit_test(test_permute),
        cmocka_unit_test(test_dropout_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
