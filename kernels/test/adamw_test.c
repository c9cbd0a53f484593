/* adamw_test.c - gradnorm and adamw against a plain double reference over several steps: clipping,
 * decay flags, a frozen run, and a pack of three runs against three packs of one, bit by bit. */
#include "float_fixture.h"

enum { RUNS = 3, SEGMENTS = 4, PARAMS = 166, STEPS = 7 };
static const int seg[3 * SEGMENTS] = {0, 129, 1, 129, 33, 0, 162, 1, 0, 163, 3, 1};

/* Hyperparameters of a run: lr, wd, beta1, beta2, eps, clip, step, active. */
static const float hyper_of[RUNS][8] = {
    {1e-2f, 0.1f, 0.9f, 0.95f, 1e-8f, 0.0f, 0, 1},
    {3e-3f, 0.0f, 0.9f, 0.999f, 1e-6f, 1.0f, 0, 1},
    {1e-1f, 0.5f, 0.8f, 0.99f, 1e-8f, 1e-3f, 0, 1},
};

/* Start value (which = 0) or gradient of step `which` of one parameter of one run. */
static float value_of(int run, int which, int i) {
    rng g = rng_start((rng_key){{(uint32_t)run, (uint32_t)which}}, (uint64_t)i, 0);
    return (float)(rng_normal(&g) * (which ? 0.3 : 1));
}

/* Where parameter i of a run lies in the segment-major buffer of `runs` runs. */
static int place_of(int i, int run, int runs) {
    int s = 0;
    while (i >= seg[3 * s] + seg[3 * s + 1]) s++;
    return runs * seg[3 * s] + run * seg[3 * s + 1] + i - seg[3 * s];
}

/* Trains runs [first, first + runs) as one pack; out [runs, PARAMS] = parameters afterwards. */
static void train(float *out, const backend *b, int first, int runs) {
    float p[RUNS * PARAMS], m[RUNS * PARAMS] = {0}, v[RUNS * PARAMS] = {0}, g[RUNS * PARAMS];
    float norm[RUNS], hyper[RUNS][8];
    for (int step = 0; step <= STEPS; step++) {
        for (int r = 0; r < runs; r++) {
            memcpy(hyper[r], hyper_of[first + r], sizeof hyper[r]);
            hyper[r][6] = (float)step;
            for (int i = 0; i < PARAMS; i++)
                (step ? g : p)[place_of(i, r, runs)] = value_of(first + r, step, i);
        }
        if (!step) continue;
        b->kernels->gradnorm_fwd(norm, g, seg, runs, PARAMS, SEGMENTS);
        b->kernels->adamw_fwd(p, m, v, g, norm, hyper[0], seg, runs, PARAMS, SEGMENTS);
    }
    for (int r = 0; r < runs; r++)
        for (int i = 0; i < PARAMS; i++) out[r * PARAMS + i] = p[place_of(i, r, runs)];
}

/* The update as in the paper, one scalar after the other. */
static void train_plain(double out[PARAMS], int run) {
    const float *h = hyper_of[run];
    const double lr = (double)h[0], wd = (double)h[1], beta1 = (double)h[2], beta2 = (double)h[3];
    const double eps = (double)h[4], clip = (double)h[5];
    double m[PARAMS] = {0}, v[PARAMS] = {0};
    for (int i = 0; i < PARAMS; i++) out[i] = (double)value_of(run, 0, i);
    for (int step = 1; step <= STEPS; step++) {
        double square = 0, shrink = 1;
        for (int i = 0; i < PARAMS; i++) square += pow((double)value_of(run, step, i), 2);
        if (clip > 0 && clip < sqrt(square)) shrink = clip / sqrt(square);
        for (int i = 0; i < PARAMS; i++) {
            const double g = shrink * (double)value_of(run, step, i);
            const bool decays = i < 129 || i >= 163;
            m[i] = beta1 * m[i] + (1 - beta1) * g;
            v[i] = beta2 * v[i] + (1 - beta2) * g * g;
            const double mhat = m[i] / (1 - pow(beta1, step)), vhat = v[i] / (1 - pow(beta2, step));
            out[i] -= lr * (mhat / (sqrt(vhat) + eps) + (decays ? wd * out[i] : 0));
        }
    }
}

static void test_reference(void **state) {
    (void)state;
    for (const backend *b = NULL; (b = build_next(b));) {
        float got[RUNS * PARAMS];
        train(got, b, 0, RUNS);
        double worst = 0;
        for (int r = 0; r < RUNS; r++) {
            double want[PARAMS];
            train_plain(want, r);
            for (int i = 0; i < PARAMS; i++) {
                double off = fabs((double)got[r * PARAMS + i] - want[i]) / (1 + fabs(want[i]));
                worst = off <= worst ? worst : off;
            }
        }
        print_message("%s: error after %d steps %.3g\n", b->name, STEPS, worst);
        assert_true(worst < 1e-6);
    }
}

static void test_pack(void **state) {
    (void)state;
    for (const backend *b = NULL; (b = build_next(b));) {
        float pack[RUNS * PARAMS], alone[PARAMS];
        train(pack, b, 0, RUNS);
        for (int r = 0; r < RUNS; r++) {
            train(alone, b, r, 1);
            assert_memory_equal(alone, pack + r * PARAMS, sizeof alone);
        }
    }
}

static void test_frozen(void **state) {
    (void)state;
    for (const backend *b = NULL; (b = build_next(b));) {
        const int one_seg[] = {0, 5, 1};
        float p[10], m[10], v[10], g[10], norm[2], p0[10], m0[10], v0[10];
        float hyper[2][8];
        for (int i = 0; i < 10; i++) p[i] = 1, m[i] = v[i] = 0.5f, g[i] = i < 5 ? NAN : 1;
        p[1] = NAN, m[2] = INFINITY, v[3] = -0.0f; /* bits that arithmetic would not keep */
        memcpy(p0, p, sizeof p), memcpy(m0, m, sizeof m), memcpy(v0, v, sizeof v);
        for (int r = 0; r < 2; r++) memcpy(hyper[r], hyper_of[0], sizeof hyper[r]);
        hyper[0][6] = hyper[1][6] = 1, hyper[0][7] = 0;
        b->kernels->gradnorm_fwd(norm, g, one_seg, 2, 5, 1);
        assert_true(isnan(norm[0]) && norm[1] == sqrtf(5));
        b->kernels->adamw_fwd(p, m, v, g, norm, hyper[0], one_seg, 2, 5, 1);
        assert_memory_equal(p, p0, 5 * sizeof *p);
        assert_memory_equal(m, m0, 5 * sizeof *m);
        assert_memory_equal(v, v0, 5 * sizeof *v);
        for (int i = 5; i < 10; i++) assert_true(p[i] < p0[i] && m[i] > m0[i] && v[i] > v0[i]);
    }
}

/* Squares of these overflow float; in double the norm is exact. */
static void test_norm_range(void **state) {
    (void)state;
    for (const backend *b = NULL; (b = build_next(b));) {
        const int one_seg[] = {0, 2, 1};
        const float g[] = {3e30f, 4e30f, 3e-30f, 4e-30f};
        float norm[2];
        b->kernels->gradnorm_fwd(norm, g, one_seg, 2, 2, 1);
        assert_true(fabsf(norm[0] / 5e30f - 1) < 2e-7f && fabsf(norm[1] / 5e-30f - 1) < 2e-7f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_norm_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
