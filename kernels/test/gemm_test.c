/* gemm_test.c - the matrix product of every build against a triple loop in double.
 *
 * Sizes go around the edges of vectors, strips, panels and blocks of all builds. Operands are
 * allocated exactly, so that a sanitizer sees a read past their end; c has a gap after each row and
 * guards at both ends that must keep their bits; what is overwritten starts as NaN. */
#include "kernels/core/backend.h"
#include "kernels/core/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { GAP = 3, GUARD = 64, MAX_ROWS = 64, MAX_COLS = 129, MAX_INNER = 600 };
enum start { OVERWRITE, ACCUMULATE, BIAS };

/* One product: sizes, where the strides of a and b run, and what c starts from. */
typedef struct problem {
    int rows, cols, inner;
    bool a_across, b_across;
    enum start start;
} problem;

/* The operands of all problems, drawn once: element (i,k) of a is a[i][k] whatever the sizes. */
static double a[MAX_ROWS][MAX_INNER], b[MAX_INNER][MAX_COLS], c[MAX_ROWS][MAX_COLS];
static double exact[MAX_ROWS][MAX_COLS], magnitude[MAX_ROWS][MAX_COLS];

static const double sentinel = 12345.0;

#define BUILD(suffix, real)                                                                        \
    void gemm_##suffix(int rows, int cols, int inner, const real *x, long x_row, long x_col,       \
                       const real *y, long y_row, long y_col, real *z, long z_row,                 \
                       int accumulate);                                                            \
    void gemm_bias_##suffix(int rows, int cols, int inner, const real *x, long x_row, long x_col,  \
                            const real *y, long y_row, long y_col, real *z, long z_row,            \
                            const real *from);                                                     \
    /* Runs p from row `first` on, c being `shift` elements off alignment; out [rows, cols]. */    \
    static void run_##suffix(double *out, const problem *p, int first, int shift) {                \
        int rows = p->rows, cols = p->cols, inner = p->inner;                                      \
        long x_row = p->a_across ? 1 : inner, x_col = p->a_across ? rows : 1;                      \
        long y_row = p->b_across ? 1 : cols, y_col = p->b_across ? inner : 1;                      \
        long z_row = cols + GAP, z_n = rows * z_row + 2 * GUARD;                                   \
        real *x = malloc(sizeof(real) * (size_t)(rows * inner + shift));                           \
        real *y = malloc(sizeof(real) * (size_t)(inner * cols));                                   \
        real *z = malloc(sizeof(real) * (size_t)z_n), *from = malloc(sizeof(real) * (size_t)cols); \
        real *z0 = z + GUARD + shift;                                                              \
        assert_true(x &&y &&z &&from);                                                             \
        for (int i = 0; i < rows; i++)                                                             \
            for (int k = 0; k < inner; k++)                                                        \
                x[shift + i * x_row + k * x_col] = (real)a[first + i][k];                          \
        for (int k = 0; k < inner; k++)                                                            \
            for (int j = 0; j < cols; j++) y[k * y_row + j * y_col] = (real)b[k][j];               \
        for (long i = 0; i < z_n; i++) z[i] = (real)sentinel;                                      \
        for (int i = 0; i < rows; i++)                                                             \
            for (int j = 0; j < cols; j++)                                                         \
                z0[i * z_row + j] = p->start == ACCUMULATE ? (real)c[first + i][j] : (real)NAN;    \
        for (int j = 0; j < cols; j++) from[j] = (real)c[0][j];                                    \
        if (p->start == BIAS)                                                                      \
            gemm_bias_##suffix(rows, cols, inner, x + shift, x_row, x_col, y, y_row, y_col, z0,    \
                               z_row, from);                                                       \
        else                                                                                       \
            gemm_##suffix(rows, cols, inner, x + shift, x_row, x_col, y, y_row, y_col, z0, z_row,  \
                          p->start == ACCUMULATE);                                                 \
        for (long i = 0; i < z_n; i++) {                                                           \
            long at = i - GUARD - shift;                                                           \
            bool inside = at >= 0 && at < rows * z_row && at % z_row < cols;                       \
            if (inside)                                                                            \
                out[at / z_row * cols + at % z_row] = (double)z[i];                                \
            else                                                                                   \
                assert_true((double)z[i] == sentinel);                                             \
        }                                                                                          \
        free(x);                                                                                   \
        free(y);                                                                                   \
        free(z);                                                                                   \
        free(from);                                                                                \
    }
BUILD(v4, float)
BUILD(v3, float)
BUILD(f64, double)

/* Same names as backend_at(), which tells whether this processor runs them. */
typedef struct build {
    const char *name;
    double epsilon;
    void (*run)(double *out, const problem *p, int first, int shift);
} build;
static const build builds[] = {
    {"cpu-v4", 0x1p-24, run_v4}, {"cpu-v3", 0x1p-24, run_v3}, {"f64", 0x1p-53, run_f64}};

static bool runs_here(const build *t) {
    for (int i = 0; backend_at(i); i++)
        if (!strcmp(backend_at(i)->name, t->name)) return !backend_at(i)->missing();
    fail_msg("no backend is called %s", t->name);
    return false;
}

/* Fills `exact` and `magnitude` = sum |a| |b| + |start| for the sizes of p. */
static void reference(const problem *p) {
    for (int i = 0; i < p->rows; i++)
        for (int j = 0; j < p->cols; j++) {
            double start = p->start == OVERWRITE ? 0 : p->start == BIAS ? c[0][j] : c[i][j];
            double sum = start, size = fabs(start);
            for (int k = 0; k < p->inner; k++) {
                sum += a[i][k] * b[k][j];
                size += fabs(a[i][k] * b[k][j]);
            }
            exact[i][j] = sum;
            magnitude[i][j] = size;
        }
}

static void check(const build *t, const problem *p) {
    static double out[MAX_ROWS * MAX_COLS];
    double bound = 4 * t->epsilon * sqrt(p->inner + 1.0);
    t->run(out, p, 0, 0);
    for (int i = 0; i < p->rows; i++)
        for (int j = 0; j < p->cols; j++) {
            double got = out[i * p->cols + j];
            if (!(fabs(got - exact[i][j]) <= bound * magnitude[i][j]))
                fail_msg("%s %d x %d x %d, a %s, b %s, start %d: c(%d,%d) is %.17g, not %.17g",
                         t->name, p->rows, p->cols, p->inner, p->a_across ? "across" : "along",
                         p->b_across ? "across" : "along", (int)p->start, i, j, got, exact[i][j]);
        }
}

static void matches_triple_loop(void **state) {
    static const int rows[] = {1, 3, 13, 14, 15, 33, 64}, cols[] = {1, 3, 8, 16, 17, 32, 33, 129};
    static const int inner[] = {0, 1, 3, 4, 16, 33, 129, 257, 600};
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t n = 0; n < sizeof cols / sizeof *cols; n++)
            for (size_t k = 0; k < sizeof inner / sizeof *inner; k++)
                for (int start = OVERWRITE; start <= BIAS; start++) {
                    problem p = {rows[r], cols[n], inner[k], .start = (enum start)start};
                    reference(&p);
                    for (int layout = 0; layout < 4; layout++) {
                        p.a_across = layout & 1;
                        p.b_across = layout & 2;
                        for (size_t t = 0; t < sizeof builds / sizeof *builds; t++)
                            if (runs_here(&builds[t])) check(&builds[t], &p);
                    }
                }
}

/* A row alone, from other addresses and with b laid out otherwise, has the same bits as among
 * others: neither tiling, copying nor alignment may show. */
static void rows_do_not_see_each_other(void **state) {
    static double all[MAX_ROWS * MAX_COLS], one[MAX_COLS];
    (void)state;
    for (size_t t = 0; t < sizeof builds / sizeof *builds; t++) {
        if (!runs_here(&builds[t])) continue;
        for (int start = OVERWRITE; start <= ACCUMULATE; start++) {
            problem p = {33, 49, 300, false, false, (enum start)start};
            builds[t].run(all, &p, 0, 0);
            p.rows = 1;
            for (int i = 0; i < 33; i++) {
                p.b_across = i % 2;
                builds[t].run(one, &p, i, i % 5);
                assert_memory_equal(one, all + i * 49, sizeof(double) * 49);
            }
        }
    }
}

static void draw(double *to, size_t n, rng *g) {
    for (size_t i = 0; i < n; i++) to[i] = (double)(float)(2 * rng_uniform(g) - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_triple_loop),
        cmocka_unit_test(rows_do_not_see_each_other),
    };
    rng g = rng_start(rng_key_make(1, "gemm_test", NULL, 0), 0, 0);
    draw(a[0], sizeof a / sizeof(double), &g);
    draw(b[0], sizeof b / sizeof(double), &g);
    draw(c[0], sizeof c / sizeof(double), &g);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
