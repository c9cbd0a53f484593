/* head_bench.c - speed of the head: logits, cross-entropy and both gradients at scored rows.
 *
 * head_bench [v3|v4|f64]   For some vocabularies and numbers of scored rows: time of one call, and
 * GFLOP/s counting 2 C V flops per scored row forward and 6 C V backward (exponentials are not
 * counted). Minima over many calls; w and dw are as warm as the caches allow. */
#include "bench_time.h"

#include "kernels/core/work.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 256, COLS = 64 };

/* out_s [2] = seconds of head_fwd and of head_bwd. */
#define BUILD(suffix, real)                                                                        \
    void head_fwd_##suffix(real *nll, int *pred, const real *x, const real *w, const int *label,   \
                           real *work, int runs, int rows, int cols, int vocab);                   \
    void head_bwd_##suffix(real *nll, int *pred, real *dx, real *dw, const real *x, const real *w, \
                           const int *label, const real *scale, real *work, int runs, int rows,    \
                           int cols, int vocab);                                                   \
    static void time_##suffix(double out_s[2], int scored, int vocab) {                            \
        size_t w_n = (size_t)vocab * COLS, x_n = (size_t)ROWS * COLS;                              \
        real *w = aligned_alloc(64, 2 * w_n * sizeof(real)), *dw = w + w_n;                        \
        real *x = aligned_alloc(64, 2 * x_n * sizeof(real)), *dx = x + x_n;                        \
        real *work = aligned_alloc(64, head_work(ROWS, COLS, vocab) * sizeof(real));               \
        real nll[ROWS], scale = (real)0.01;                                                        \
        int pred[ROWS], label[ROWS];                                                               \
        if (!w || !x || !work) exit(3);                                                            \
        for (size_t i = 0; i < 2 * w_n; i++) w[i] = (real)((double)(i * 7919 % 1013) / 5e3 - 0.1); \
        for (size_t i = 0; i < 2 * x_n; i++) x[i] = (real)((double)(i * 104729 % 997) / 500 - 1);  \
        for (int i = 0; i < ROWS; i++)                                                             \
            label[i] = i * scored % ROWS < scored ? i * 31 % vocab : -1;                           \
        out_s[0] = out_s[1] = 1e9;                                                                 \
        for (int repeat = 0; repeat < 30; repeat++) {                                              \
            double t0 = now_s();                                                                   \
            head_fwd_##suffix(nll, pred, x, w, label, work, 1, ROWS, COLS, vocab);                 \
            double t1 = now_s();                                                                   \
            head_bwd_##suffix(nll, pred, dx, dw, x, w, label, &scale, work, 1, ROWS, COLS, vocab); \
            double t2 = now_s();                                                                   \
            out_s[0] = t1 - t0 < out_s[0] ? t1 - t0 : out_s[0];                                    \
            out_s[1] = t2 - t1 < out_s[1] ? t2 - t1 : out_s[1];                                    \
        }                                                                                          \
        free(w);                                                                                   \
        free(x);                                                                                   \
        free(work);                                                                                \
    }
BUILD(v3, float)
BUILD(v4, float)
BUILD(f64, double)

int main(int argc, char **argv) {
    static const int vocabs[] = {64, 256, 1024, 8192}, scored[] = {4, 16, 32, 64, 256};
    const char *name = argc > 1 ? argv[1] : "v4";
    printf("head_%s, %d rows of %d channels\n%6s %6s  %18s  %18s\n", name, ROWS, COLS, "vocab",
           "scored", "forward", "backward");
    for (size_t v = 0; v < sizeof vocabs / sizeof *vocabs; v++)
        for (size_t s = 0; s < sizeof scored / sizeof *scored; s++) {
            double wall_s[2], flops = 2.0 * COLS * vocabs[v] * scored[s];
            if (!strcmp(name, "v3"))
                time_v3(wall_s, scored[s], vocabs[v]);
            else if (!strcmp(name, "f64"))
                time_f64(wall_s, scored[s], vocabs[v]);
            else
                time_v4(wall_s, scored[s], vocabs[v]);
            printf("%6d %6d  %8.1f us %6.1f  %8.1f us %6.1f\n", vocabs[v], scored[s],
                   wall_s[0] * 1e6, flops / wall_s[0] * 1e-9, wall_s[1] * 1e6,
                   3 * flops / wall_s[1] * 1e-9);
        }
    return 0;
}
