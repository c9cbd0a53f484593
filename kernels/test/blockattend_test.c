/* blockattend_test.c - attention to blocks against its definition, written plainly in double. A
 * gradient check cannot see a forward that looks at the wrong token. */
#include "float_fixture.h"

enum { T = 11, D = 5, S = 3, BLOCKS = 4 };

static float q[T * D], k[T * D], v[T * D];

static double score_of(const float *a, const float *b) {
    double dot = 0;
    for (int d = 0; d < D; d++) dot += (double)a[d] * (double)b[d];
    return dot / sqrt(D);
}

/* Attention of query t over the tokens with a weight. */
static void check_query(const float *o, const double *weight, int t) {
    double total = 0, want[D] = {0};
    for (int j = 0; j < T; j++) {
        const double p = weight[j] * exp(score_of(q + t * D, k + j * D));
        total += p;
        for (int d = 0; d < D; d++) want[d] += p * (double)v[j * D + d];
    }
    for (int d = 0; d < D; d++)
        if (!(fabs((double)o[d] - want[d] / total) < 1e-5))
            fail_msg("query %d: %g, not %g", t, (double)o[d], want[d] / total);
}

/* open: the block whose gate is `gate`, for all queries; others are closed. */
static void check_open_block(int open, double gate) {
    float o[T * D], lse[T], gates[T * BLOCKS] = {0}, work[2 * T];
    assert_true(blockattend_work(T) <= sizeof work / sizeof *work);
    for (int t = 0; t < T; t++) gates[t * BLOCKS + open] = (float)gate;
    cpu()->blockattend_fwd(o, lse, q, k, v, gates, work, 1, T, 1, D, S, 0);
    for (int t = 0; t < T; t++) {
        double weight[T] = {0};
        if (t / S > open) /* the block and one more token */
            for (int j = open * S; j <= open * S + S; j++) weight[j] = gate;
        for (int j = t / S * S; j <= t; j++) weight[j] = 1;
        check_query(o + t * D, weight, t);
    }
}

static void test_one_block_its_follower_and_the_own(void **state) {
    (void)state;
    for (int open = 0; open < BLOCKS; open++) {
        check_open_block(open, 1);
        check_open_block(open, 0.25);
    }
}

static void test_all_open_is_attention(void **state) {
    (void)state;
    float o[T * D], lse[T], full[T * D], full_lse[T], gates[T * BLOCKS], work[2 * T];
    for (int i = 0; i < T * BLOCKS; i++) gates[i] = 1;
    cpu()->blockattend_fwd(o, lse, q, k, v, gates, work, 1, T, 1, D, S, 0);
    float *scratch = test_malloc(attention_work(D) * sizeof *scratch);
    cpu()->attention_fwd(full, full_lse, q, k, v, scratch, 1, 1, T, 1, D, 0, 0, 0);
    test_free(scratch);
    for (int i = 0; i < T * D; i++) assert_true(fabsf(o[i] - full[i]) < 1e-6F);
    for (int i = 0; i < T; i++) assert_true(fabsf(lse[i] - full_lse[i]) < 1e-6F);
}

static void test_landmarks_are_complete_earlier_blocks(void **state) {
    (void)state;
    float p[T * BLOCKS];
    cpu()->landmark_fwd(p, q, k, 1, T, 1, D, S, 0);
    for (int t = 0; t < T; t++) {
        double total = 0;
        for (int b = 0; b < t / S; b++) total += exp(score_of(q + t * D, k + (b * S + S - 1) * D));
        for (int b = 0; b < BLOCKS; b++) {
            double want = 0;
            if (b < t / S) want = exp(score_of(q + t * D, k + (b * S + S - 1) * D)) / total;
            assert_true(fabs((double)p[t * BLOCKS + b] - want) < 1e-6);
        }
    }
}

static void test_choice(void **state) {
    (void)state;
    const float p[3][4] = {{.1F, .4F, .4F, .1F}, {0, 0, .2F, 0}, {0, 0, 0, 0}};
    const float one[3][4] = {{0, 1, 0, 0}, {0, 0, 1, 0}, {0}};
    const float three[3][4] = {{1, 1, 1, 0}, {0, 0, 1, 0}, {0}};
    float y[12];
    cpu()->choose_fwd(y, p[0], NULL, 3, 4, 1);
    assert_memory_equal(y, one, sizeof one);
    cpu()->choose_fwd(y, p[0], p[0], 3, 4, 3);
    assert_memory_equal(y, three, sizeof three);
}

int main(void) {
    fill(q, T * D, 1);
    fill(k, T * D, 2);
    fill(v, T * D, 3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_block_its_follower_and_the_own),
        cmocka_unit_test(test_all_open_is_attention),
        cmocka_unit_test(test_landmarks_are_complete_earlier_blocks),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
