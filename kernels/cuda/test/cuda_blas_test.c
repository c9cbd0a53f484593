/* cuda_blas_test.c - products by cuBLAS in every precision, and which ones are left to own kernels.
 */
#include "cuda_fixture.h"
#include "kernels/cuda/blas.h"

enum { RUNS = 2, ROWS = 3, COLS = 5, INNER = 4, SIZE = RUNS * 64 };

static void multiply_body(void *context) { expect(launch_blas(context)); }

/* Small integers, exact in any precision here. */
static void multiply(int a_turned, int b_turned, bool b_shared, bool accumulate) {
    static float *a, *b, *c;
    static float ha[SIZE], hb[SIZE], hc[SIZE];
    if (!a) a = device_new(sizeof ha), b = device_new(sizeof hb), c = device_new(sizeof hc);
    for (int i = 0; i < SIZE; i++) {
        ha[i] = (float)(i * 7 % 11 - 5);
        hb[i] = (float)(i * 5 % 13 - 6);
        hc[i] = (float)(i % 3);
    }
    gpu->put(a, ha, sizeof ha);
    gpu->put(b, hb, sizeof hb);
    gpu->put(c, hc, sizeof hc);
    product p = {.runs = RUNS,
                 .rows = ROWS,
                 .cols = COLS,
                 .inner = INNER,
                 .a = a,
                 .b = b,
                 .c = c,
                 .a_run = 64,
                 .a_row = a_turned ? 1 : 6,
                 .a_col = a_turned ? 6 : 1,
                 .b_run = b_shared ? 0 : 64,
                 .b_row = b_turned ? 1 : 7,
                 .b_col = b_turned ? 7 : 1,
                 .c_run = 64,
                 .c_row = 8,
                 .accumulate = accumulate};
    error e = {0};
    expect(gpu->reserve(gpu->measure(multiply_body, &p), &e) == STATUS_OK);
    multiply_body(&p);
    float got[SIZE];
    gpu->get(got, c, sizeof got);
    if (gpu->sync(&e)) expect_text(e.text, "no error");
    for (long i = 0; i < SIZE; i++) {
        const long r = i / 64, row = i % 64 / 8, col = i % 8;
        double want = (double)hc[i];
        if (row < ROWS && col < COLS) {
            if (!accumulate) want = 0;
            for (long k = 0; k < INNER; k++)
                want += (double)ha[r * p.a_run + row * p.a_row + k * p.a_col] *
                        (double)hb[r * p.b_run + k * p.b_row + col * p.b_col];
        }
        expect((double)got[i] == want);
    }
}

static void open_with_blas(numerics n) {
    plug_in();
    fake.has_blas = true;
    fake.device[0].mem_bytes = fake.device[0].mem_free_bytes = (size_t)1 << 30;
    error e = {0};
    expect(gpu->open(NULL, n, &e) == STATUS_OK);
}

static void multiplies_in(numerics n) {
    open_with_blas(n);
    for (int i = 0; i < 16; i++) multiply(i & 1, i >> 1 & 1, i & 4, i & 8);
}
static void multiplies_fp32(void) { multiplies_in(NUMERICS_FP32); }
static void multiplies_tf32(void) { multiplies_in(NUMERICS_TF32); }
static void multiplies_bf16(void) {
    multiplies_in(NUMERICS_BF16);
    float x = 0;
    product p = {.runs = 4,
                 .rows = 64,
                 .cols = 64,
                 .inner = 60,
                 .a = &x,
                 .b = &x,
                 .c = &x,
                 .a_run = 9999,
                 .a_row = 64,
                 .a_col = 1,
                 .b_row = 64,
                 .b_col = 1,
                 .c_row = 64};
    /* 64 rows padded from 60 to 64 for each run; 60 rows of 64 that all runs share, rounded once */
    expect(gpu->measure(multiply_body, &p) == 4 * 64 * 64 * 2 + 60 * 64 * 2);
}

/* x x, of 2 rows and columns. */
static product two_by_two(float *x) {
    return (product){.runs = 1,
                     .rows = 2,
                     .cols = 2,
                     .inner = 2,
                     .a = x,
                     .b = x,
                     .c = x,
                     .a_row = 2,
                     .a_col = 1,
                     .b_row = 2,
                     .b_col = 1,
                     .c_row = 2};
}

static void leaves_odd_products_to_own_kernels(void) {
    float x = 0;
    product p = two_by_two(&x);
    expect(blas_fits(&p));
    expect(!launch_blas(&p)); /* strict, as long as nothing else was asked for */
    p.a_col = 3;
    expect(!blas_fits(&p));
    p.a_row = 1; /* turned */
    expect(blas_fits(&p));
    p.a_col = 0; /* columns that repeat */
    expect(!blas_fits(&p));
    p.inner = 1; /* one column: its stride does not matter */
    expect(blas_fits(&p));
    p.inner = 0;
    expect(!blas_fits(&p));
}

static void keeps_errors_of_cublas(void) {
    error e = {0};
    open_with_blas(NUMERICS_FP32);
    expect(!strcmp(blas_name(), "libcublas.so.12"));
    fake.blas_code = 13;
    float *x = device_new(64);
    product p = two_by_two(x);
    expect(launch_blas(&p));
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "cuBLAS failed at a product of 2 x 2 x 2, 1 runs: planted.");
}

static void says_no_memory_for_cublas(void) {
    plug_in();
    fake.has_blas = true;
    error e = {0};
    expect(gpu->open("1", NUMERICS_BF16, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "32 MiB for cuBLAS are not free");
}

#define SCENARIOS(S)                                                                               \
    S(multiplies_fp32)                                                                             \
    S(multiplies_tf32)                                                                             \
    S(multiplies_bf16)                                                                             \
    S(leaves_odd_products_to_own_kernels)                                                          \
    S(keeps_errors_of_cublas)                                                                      \
    S(says_no_memory_for_cublas)
SCENARIOS(SCENARIO)

int main(void) {
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
