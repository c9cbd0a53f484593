/* gemm_bench.c - speed of the matrix product against this core's own multiply-add peak.
 *
 * gemm_bench [v3|v4|f64]     GFLOP/s for a table of shapes, each as NN, NT and TN, and the share of
 * the peak. The peak is measured beside every shape, with independent multiply-adds in registers,
 * as the clock of a shared machine moves; times are minima over many short batches. Operands are
 * warm (they fit L2), as in training. It does not test anything: kernels/test/gemm_test.c does. */
#include "bench_time.h"

#include "kernels/core/backend.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(suffix, real)                                                                      \
    void gemm_##suffix(int rows, int cols, int inner, const real *a, long a_row, long a_col,       \
                       const real *b, long b_row, long b_col, real *c, long c_row,                 \
                       int accumulate);
DECLARE(v3, float)
DECLARE(v4, float)
DECLARE(f64, double)

/* GFLOP/s of 2000 rounds of 12 independent chains: enough to hide the latency of 4 cycles on two
 * ports. The compiler is told nothing of the values, so that it folds none. */
#define HIDE(x) __asm__ volatile("" : "+v"(x))
#define PEAK(suffix, real, bytes, isa)                                                             \
    __attribute__((target(isa))) static double peak_##suffix(void) {                               \
        typedef real vector __attribute__((vector_size(bytes)));                                   \
        vector s[12] = {0}, x = {0}, y = {0};                                                      \
        double start = now_s();                                                                    \
        HIDE(x);                                                                                   \
        HIDE(y);                                                                                   \
        for (int round = 0; round < 2000; round++)                                                 \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) {                                \
                s[i] = s[i] * x + y;                                                               \
                HIDE(s[i]);                                                                        \
            }                                                                                      \
        double wall_s = now_s() - start;                                                           \
        return 2000.0 * 12 * 2 * (bytes / sizeof(real)) / wall_s * 1e-9;                           \
    }
PEAK(v3, float, 32, "avx2,fma")
PEAK(v4, float, 64, "avx512f,fma")
PEAK(f64, double, 16, "sse2")

enum { MOST = 1 << 20 };
static float a_f[MOST], b_f[MOST], c_f[MOST];
static double a_d[MOST], b_d[MOST], c_d[MOST];

typedef struct build {
    const char *name;
    double (*peak)(void);
} build;
static const build builds[] = {{"v3", peak_v3}, {"v4", peak_v4}, {"f64", peak_f64}};

typedef struct layout {
    const char *name;
    bool a_across, b_across;
} layout;
static const layout layouts[] = {{"NN", false, false}, {"NT", false, true}, {"TN", true, false}};

static const int shapes[][3] = {
    {64, 64, 16},    {64, 16, 64},    {64, 64, 32},    {64, 64, 64},    {64, 128, 128},
    {256, 64, 64},   {256, 128, 128}, {256, 192, 64},  {256, 256, 256}, {512, 512, 128},
    {256, 512, 512}, {64, 64, 256},   {128, 128, 512}, {1024, 64, 64},  {64, 1024, 64},
    {33, 33, 33},    {100, 100, 100}, {16, 1024, 64},  {8, 64, 64},     {1, 64, 64},
};

static void product(int which, const int *shape, layout l) {
    int m = shape[0], n = shape[1], k = shape[2];
    long ar = l.a_across ? 1 : k, ac = l.a_across ? m : 1;
    long br = l.b_across ? 1 : n, bc = l.b_across ? k : 1;
    if (which == 0) gemm_v3(m, n, k, a_f, ar, ac, b_f, br, bc, c_f, n, 0);
    if (which == 1) gemm_v4(m, n, k, a_f, ar, ac, b_f, br, bc, c_f, n, 0);
    if (which == 2) gemm_f64(m, n, k, a_d, ar, ac, b_d, br, bc, c_d, n, 0);
}

int main(int argc, char **argv) {
    int which = 1;
    for (int i = 0; i < 3; i++)
        if (argc > 1 && !strcmp(argv[1], builds[i].name)) which = i;
    printf("gemm_%s, GFLOP/s and share of the multiply-add peak of one core\n", builds[which].name);
    printf("%5s %5s %5s", "rows", "cols", "inner");
    for (int l = 0; l < 3; l++) printf("  %8s      ", layouts[l].name);
    printf("     peak\n");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const int *shape = shapes[s];
        double flops = 2.0 * shape[0] * shape[1] * shape[2], best[3] = {0}, peak = 0;
        int calls = (int)(2e6 / flops) + 1;
        for (int repeat = 0; repeat < 60; repeat++) {
            double p = builds[which].peak();
            peak = p > peak ? p : peak;
            for (int l = 0; l < 3; l++) {
                double start = now_s();
                for (int i = 0; i < calls; i++) product(which, shape, layouts[l]);
                double rate = flops * calls / (now_s() - start) * 1e-9;
                best[l] = rate > best[l] ? rate : best[l];
            }
        }
        printf("%5d %5d %5d", shape[0], shape[1], shape[2]);
        for (int l = 0; l < 3; l++) printf("  %8.1f (%3.0f%%)", best[l], 100 * best[l] / peak);
        printf(" %8.1f\n", peak);
    }
    return 0;
}
