/* bf16_test.c - the rounding of bf16.cu on the emulated GPU against the nearest bfloat16 by value.
 */
#include "kernels/cuda/bf16.h"
#include "kernels/emu/backend_emu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 3, ROWS = 2, COLS = 5, PAD = 8, ROW = 7, RUN = 20, N_FROM = RUNS * RUN };
enum { N_TO = RUNS * ROWS * PAD, FLOAT_BITS = 23, BF16_BITS = 7 };

/* Nearest multiple of the last place that bfloat16 keeps, halves to even: the definition. */
static float nearest(float v) {
    int exponent;
    if (!isfinite(v) || v == 0) return v;
    frexpf(v, &exponent);
    if (exponent < -125) exponent = -125; /* subnormal: the last place stays */
    const double place = ldexp(1, exponent - BF16_BITS - 1);
    return (float)(rint((double)v / place) * place);
}

static float value_of(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << (FLOAT_BITS - BF16_BITS);
    float v;
    memcpy(&v, &wide, sizeof v);
    return v;
}

static void fill(float *from) {
    static const float special[] = {0,        -0.0f,     1.00390625f, 1.01171875f, -1.00390625f,
                                    INFINITY, -INFINITY, 3.4e38f,     1e-45f,      1.1754944e-38f,
                                    65280,    1e-39f};
    enum { N_SPECIAL = sizeof special / sizeof *special };
    for (int i = 0; i < N_FROM; i++)
        from[i] = ldexpf((float)((i * 7919) % 20011) - 9999, i % 40 - 25);
    for (int i = 0; i < N_SPECIAL; i++)
        from[i / COLS / ROWS * RUN + i / COLS % ROWS * ROW + i % COLS] = special[i];
}

static void convert(uint16_t *to, const float *from) {
    const backend *b = &backend_emu[0];
    error e = {0};
    void *x = b->alloc(N_FROM * sizeof *from, &e), *y = b->alloc(N_TO * sizeof *to, &e);
    assert_true(x && y);
    b->put(x, from, N_FROM * sizeof *from);
    bf16_convert(y, x, RUNS, ROWS, COLS, PAD, RUN, ROW);
    b->get(to, y, N_TO * sizeof *to);
    assert_int_equal(b->sync(&e), STATUS_OK);
    b->release(x);
    b->release(y);
}

static void rounds_to_nearest_even(void **state) {
    (void)state;
    float from[N_FROM];
    uint16_t to[N_TO];
    fill(from);
    convert(to, from);
    for (int r = 0; r < RUNS; r++)
        for (int i = 0; i < ROWS; i++)
            for (int k = 0; k < PAD; k++) {
                const float got = value_of(to[(r * ROWS + i) * PAD + k]);
                const float want = k < COLS ? nearest(from[r * RUN + i * ROW + k]) : 0;
                assert_true(got == want && signbit(got) == signbit(want));
            }
}

/* The bits of a NaN are all in the half that is cut off. */
static void keeps_nan(void **state) {
    (void)state;
    float from[N_FROM] = {0};
    uint16_t to[N_TO];
    const uint32_t nan[] = {0x7f800001, 0xff800001, 0x7fffffff};
    memcpy(from, nan, sizeof nan);
    convert(to, from);
    for (int i = 0; i < 3; i++) assert_true(isnan(value_of(to[i])));
    assert_int_equal(to[3], 0);
}

static int open_emulator(void **state) {
    (void)state;
    error e = {0};
    return (int)backend_emu[0].open(NULL, NUMERICS_STRICT, &e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(keeps_nan),
    };
    return cmocka_run_group_tests(tests, open_emulator, NULL);
}
