/* head_test.c - what the head promises beyond its gradient, on every build.
 *
 * Sizes make several tiles of rows and several blocks of words, both ragged. Loss, argmax and both
 * gradients are compared with plain loops in double; then the edges: ties, nothing scored, one
 * gradient not wanted, logits too large for exp, rows that must not notice each other. */
#include "kernels/core/backend.h"
#include "kernels/core/rng.h"
#include "kernels/core/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 150, COLS = 33, VOCAB = 2 * HEAD_BLOCK + 77 };

/* Inputs and outputs in double, whatever the build computes in. */
typedef struct head {
    int rows, vocab;
    bool want_dx, want_dw;
    double scale;
    double x[ROWS * COLS], w[VOCAB * COLS];
    int label[ROWS];
    double nll[ROWS], dx[ROWS * COLS], dw[VOCAB * COLS];
    int pred[ROWS];
} head;

static head h, other; /* too large for the stack */

#define BUILD(suffix, real)                                                                        \
    void head_fwd_##suffix(real *nll, int *pred, const real *x, const real *w, const int *label,   \
                           real *work, int runs, int rows, int cols, int vocab);                   \
    void head_bwd_##suffix(real *nll, int *pred, real *dx, real *dw, const real *x, const real *w, \
                           const int *label, const real *scale, real *work, int runs, int rows,    \
                           int cols, int vocab);                                                   \
    /* Work memory starts as NaN and has exactly the promised size; gradients start from 1. */     \
    static void run_##suffix(head *t, bool backward) {                                             \
        static real x[ROWS * COLS], w[VOCAB * COLS], dx[ROWS * COLS], dw[VOCAB * COLS], nll[ROWS]; \
        size_t work_n = head_work(t->rows, COLS, t->vocab);                                        \
        real *work = malloc(work_n * sizeof(real)), scale = (real)t->scale;                        \
        assert_non_null(work);                                                                     \
        for (size_t i = 0; i < work_n; i++) work[i] = (real)NAN;                                   \
        for (int i = 0; i < t->rows * COLS; i++) x[i] = (real)t->x[i], dx[i] = 1;                  \
        for (int i = 0; i < t->vocab * COLS; i++) w[i] = (real)t->w[i], dw[i] = 1;                 \
        if (backward)                                                                              \
            head_bwd_##suffix(nll, t->pred, t->want_dx ? dx : NULL, t->want_dw ? dw : NULL, x, w,  \
                              t->label, &scale, work, 1, t->rows, COLS, t->vocab);                 \
        else                                                                                       \
            head_fwd_##suffix(nll, t->pred, x, w, t->label, work, 1, t->rows, COLS, t->vocab);     \
        for (int i = 0; i < t->rows; i++) t->nll[i] = (double)nll[i];                              \
        for (int i = 0; i < t->rows * COLS; i++) t->dx[i] = (double)dx[i];                         \
        for (int i = 0; i < t->vocab * COLS; i++) t->dw[i] = (double)dw[i];                        \
        free(work);                                                                                \
    }
BUILD(v4, float)
BUILD(v3, float)
BUILD(f64, double)

typedef struct build {
    const char *name; /* as in backend_at() */
    double tolerance; /* of loss and gradients here, whose sizes are about 10 and 1 */
    void (*run)(head *t, bool backward);
} build;
static const build builds[] = {
    {"cpu-v4", 2e-5, run_v4}, {"cpu-v3", 2e-5, run_v3}, {"f64", 1e-12, run_f64}};
enum { N_BUILD = sizeof builds / sizeof *builds };

/* The build after `last` (NULL: the first) that this processor runs; NULL at the end. */
static const build *build_next(const build *last) {
    for (const build *b = last ? last + 1 : builds; b < builds + N_BUILD; b++)
        for (int i = 0; backend_at(i); i++)
            if (!strcmp(backend_at(i)->name, b->name) && !backend_at(i)->missing()) return b;
    return NULL;
}

/* Random x, w and labels; one row in three is unscored. */
static void draw(head *t, int rows, int vocab) {
    rng g = rng_start(rng_key_make(1, "head_test", NULL, 0), (uint64_t)vocab, 0);
    *t = (head){.rows = rows, .vocab = vocab, .want_dx = true, .want_dw = true, .scale = 0.5};
    for (int i = 0; i < ROWS * COLS; i++) t->x[i] = (double)(float)(4 * rng_uniform(&g) - 2);
    for (int i = 0; i < VOCAB * COLS; i++) t->w[i] = (double)(float)(rng_uniform(&g) - 0.5);
    for (int i = 0; i < ROWS; i++)
        t->label[i] = rng_below(&g, 3) ? (int)rng_below(&g, (uint32_t)vocab) : -1;
}

/* Fills t's outputs with plain loops. */
static void reference(head *t) {
    for (int i = 0; i < t->rows * COLS; i++) t->dx[i] = 1;
    for (int i = 0; i < t->vocab * COLS; i++) t->dw[i] = 1;
    for (int i = 0; i < t->rows; i++) {
        double z[VOCAB] = {0}, sum = 0;
        t->nll[i] = 0;
        t->pred[i] = -1;
        if (t->label[i] < 0) continue;
        t->pred[i] = 0;
        for (int v = 0; v < t->vocab; v++) {
            for (int c = 0; c < COLS; c++) z[v] += t->x[i * COLS + c] * t->w[v * COLS + c];
            if (z[v] > z[t->pred[i]]) t->pred[i] = v;
        }
        double top = z[t->pred[i]];
        for (int v = 0; v < t->vocab; v++) sum += exp(z[v] - top);
        t->nll[i] = log(sum) + top - z[t->label[i]];
        for (int v = 0; v < t->vocab; v++) {
            double dz = t->scale * (exp(z[v] - top) / sum - (v == t->label[i] ? 1 : 0));
            for (int c = 0; c < COLS; c++) {
                t->dx[i * COLS + c] += dz * t->w[v * COLS + c];
                t->dw[v * COLS + c] += dz * t->x[i * COLS + c];
            }
        }
    }
}

static void near(const char *what, const build *b, const double *got, const double *want, int n) {
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= b->tolerance * (1 + fabs(want[i]))))
            fail_msg("%s: element %d of %s is %.9g, not %.9g", b->name, i, what, got[i], want[i]);
}

static void matches_plain_loops(void **state) {
    static const int sizes[][2] = {{ROWS, VOCAB}, {1, 1}, {17, HEAD_BLOCK}, {65, 3}, {ROWS, 33}};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (const build *b = NULL; (b = build_next(b));) {
            draw(&h, sizes[s][0], sizes[s][1]);
            other = h;
            reference(&other);
            b->run(&h, true);
            near("nll", b, h.nll, other.nll, h.rows);
            near("dx", b, h.dx, other.dx, h.rows * COLS);
            near("dw", b, h.dw, other.dw, h.vocab * COLS);
            assert_memory_equal(h.pred, other.pred, sizeof(int) * (size_t)h.rows);
        }
}

static void forward_agrees_with_backward_to_the_bit(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, ROWS, VOCAB);
        other = h;
        b->run(&h, true);
        b->run(&other, false);
        assert_memory_equal(h.nll, other.nll, sizeof h.nll);
        assert_memory_equal(h.pred, other.pred, sizeof h.pred);
    }
}

static void gradients_do_not_need_each_other(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, ROWS, VOCAB);
        b->run(&h, true);
        draw(&other, ROWS, VOCAB);
        other.want_dx = false;
        b->run(&other, true);
        assert_memory_equal(h.dw, other.dw, sizeof h.dw);
        other.want_dx = true;
        other.want_dw = false;
        b->run(&other, true);
        assert_memory_equal(h.dx, other.dx, sizeof h.dx);
    }
}

/* Alone, a row has the loss, argmax and gradient it has in a tile of others. */
static void rows_do_not_see_each_other(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, ROWS, VOCAB);
        b->run(&h, true);
        for (int at = 0; at < ROWS; at += 7) {
            draw(&other, 1, VOCAB);
            memcpy(other.x, h.x + at * COLS, COLS * sizeof(double));
            other.label[0] = h.label[at];
            b->run(&other, true);
            assert_true(other.nll[0] == h.nll[at]);
            assert_int_equal(other.pred[0], h.pred[at]);
            assert_memory_equal(other.dx, h.dx + at * COLS, COLS * sizeof(double));
        }
    }
}

/* Equal words: the lowest index wins within a block, across blocks, and when all are equal. */
static void ties_go_to_the_lowest_index(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, 3, VOCAB);
        memset(h.w, 0, sizeof h.w);
        for (int r = 0; r < 3; r++) {
            h.label[r] = 0;
            for (int c = 0; c < COLS; c++) h.x[r * COLS + c] = c == r;
        }
        h.w[100 * COLS] = h.w[101 * COLS] = h.w[(VOCAB - 1) * COLS] = 1;
        for (int v = HEAD_BLOCK + 5; v < VOCAB; v += 20) h.w[v * COLS + 1] = 1;
        b->run(&h, false);
        assert_int_equal(h.pred[0], 100);
        assert_int_equal(h.pred[1], HEAD_BLOCK + 5);
        assert_int_equal(h.pred[2], 0);
    }
}

static void nothing_scored_changes_nothing(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, ROWS, VOCAB);
        for (int r = 0; r < ROWS; r++) h.label[r] = -1;
        b->run(&h, true);
        for (int r = 0; r < ROWS; r++) {
            assert_true(h.nll[r] == 0);
            assert_int_equal(h.pred[r], -1);
        }
        for (int k = 0; k < ROWS * COLS; k++) assert_true(h.dx[k] == 1);
        for (int k = 0; k < VOCAB * COLS; k++) assert_true(h.dw[k] == 1);
    }
}

/* Logits of a few hundred, rising from block to block: no overflow, and exact 0 and 1. */
static void large_logits_stay_finite(void **state) {
    (void)state;
    for (const build *b = NULL; (b = build_next(b));) {
        draw(&h, 2, VOCAB);
        memset(h.w, 0, sizeof h.w);
        for (int v = 0; v < VOCAB; v++) h.w[v * COLS] = v;
        h.x[0] = h.x[COLS] = 2000;
        h.label[0] = VOCAB - 1;
        h.label[1] = 0;
        b->run(&h, true);
        assert_true(h.nll[0] == 0);
        assert_true(h.nll[1] == 2000.0 * (VOCAB - 1));
        assert_true(h.dx[0] == 1);
        assert_true(h.dw[0] == 1 - 0.5 * 2000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_plain_loops),
        cmocka_unit_test(forward_agrees_with_backward_to_the_bit),
        cmocka_unit_test(gradients_do_not_need_each_other),
        cmocka_unit_test(rows_do_not_see_each_other),
        cmocka_unit_test(ties_go_to_the_lowest_index),
        cmocka_unit_test(nothing_scored_changes_nothing),
        cmocka_unit_test(large_logits_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
