/* bench_test.c - the tables of mixgrid bench: slopes, and that every mixer and every kind of
 * convolution has a row, whatever becomes of the others. Times themselves are not looked at. */
#include "folder_fixture.h"
#include "harness/bench_mixers.h"
#include "models/conv_config.h"
#include "models/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void slope_is_that_of_a_power(void **state) {
    (void)state;
    const double x[] = {64, 128, 512, 1024, 4096};
    double y[5];
    for (int power = -1; power <= 3; power++) {
        for (int i = 0; i < 5; i++) y[i] = 7e-6 * pow(x[i], power);
        assert_true(fabs(bench_slope(x, y, 5, 64) - power) < 1e-12);
    }
    /* the start of a curve, where overheads rule, does not count; nor does what was not measured */
    y[0] = 100;
    y[1] = 1;
    assert_true(fabs(bench_slope(x, y, 5, 512) - 3) < 1e-12);
    assert_true(fabs(bench_slope(x, y, 5, 64) - 3) > .3);
    y[4] = (double)NAN;
    assert_true(fabs(bench_slope(x, y, 5, 512) - 3) < 1e-12);
    y[3] = 0;
    assert_true(isnan(bench_slope(x, y, 5, 512)));
    /* of scattered points the least squares line: log2 y = 0, 2, 1 over log2 x = 0, 1, 2 */
    assert_true(fabs(bench_slope((double[]){1, 2, 4}, (double[]){1, 4, 2}, 3, 1) - .5) < 1e-12);
}

static void lengths_are_read(void **state) {
    (void)state;
    int length[BENCH_MAX_LENGTHS], n;
    error e = {0};
    assert_int_equal(bench_lengths(length, &n, "8,16,4096", &e), STATUS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(length[0] + length[1] + length[2], 8 + 16 + 4096);
    static const char *const wrong[] = {"",
                                        ",",
                                        "8,",
                                        "8,,9",
                                        "0",
                                        "-1",
                                        "8;9",
                                        "9,8",
                                        "2000000",
                                        "99999999999999999999",
                                        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error why = {0};
        if (bench_lengths(length, &n, wrong[i], &why) != STATUS_USAGE)
            fail_msg("'%s' is taken", wrong[i]);
        assert_non_null(strstr(why.text, "--lengths"));
    }
}

/* The row of a CSV table that begins with NAME and a comma; how many cells of it hold a number. */
static int numbers_of(const char *csv, const char *name) {
    const size_t n = strlen(name);
    const char *line = csv;
    while (line && (strncmp(line, name, n) || line[n] != ',')) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    if (!line) fail_msg("no row %s in\n%s", name, csv);
    int numbers = 0;
    for (const char *p = line + n; *p == ',';) {
        char *end;
        const double v = strtod(++p, &end);
        if (end > p) assert_true(v >= 0 || v < 0); /* not NAN */
        numbers += end > p;
        p += strcspn(p, ",\r\n");
    }
    return numbers;
}

static int rows_of(const char *csv) {
    int n = -1; /* the names of the columns */
    for (; *csv; csv++) n += *csv == '\n';
    return n;
}

#define TINY "--ms 1 --tokens 64 --format csv --device cpu "

static void every_mixer_has_a_row(void **state) {
    (void)state;
    folder f = folder_new();
    const outcome o = mixgrid(&f, "bench --mixers --lengths 8,16 --d-model 8 --db {}/b.db " TINY);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    assert_int_equal(rows_of(o.out), n_mixers);
    /* times at two lengths; what is divided by them may vanish in noise */
    for (int i = 0; i < n_mixers; i++) assert_true(numbers_of(o.out, mixers[i]->name) >= 2);
    const outcome kept = mixgrid(&f, "query 'select count(*) from bench where name = "
                                     "\"mixer, per sequence\" and value >= 0' --format csv "
                                     "--db {}/b.db");
    assert_int_equal(strtol(strchr(kept.out, '\n'), NULL, 10), 2 * n_mixers);
    folder_remove(&f);
}

/* With an odd number of channels retnet has no pairs to turn; others have rows all the same. */
static void a_row_that_cannot_run_stops_no_other(void **state) {
    (void)state;
    folder f = folder_new();
    const outcome o = mixgrid(&f, "bench --mixers --lengths 8 --d-model 7 --only e " TINY);
    assert_int_equal(o.code, 0);
    assert_non_null(strstr(o.err, "mixgrid: retnet, T = 8: "));
    assert_true(numbers_of(o.out, "retnet") <= 2); /* those at 128 channels */
    assert_true(numbers_of(o.out, "attention") >= 1);
    assert_true(rows_of(o.out) > 4 && rows_of(o.out) < n_mixers); /* --only */
    folder_remove(&f);
}

/* The row stays. */
static void what_needs_more_memory_is_left_out(void **state) {
    (void)state;
    arena *a = arena_new();
    error e = {0};
    const int length[2] = {8, 16};
    bench_mixers_request q = {.backend = backend_find("cpu", &e),
                              .only = "retnet",
                              .length = length,
                              .n_length = 2,
                              .d_model = 8,
                              .tokens = 16,
                              .seconds = 1e-3};
    for (int allowed = 0; allowed < 2; allowed++) {
        q.mem_bytes = allowed ? 1e9 : 1000;
        const table *t = bench_mixers(a, &q, &e);
        assert_non_null(t);
        assert_int_equal(t->n_row, 1);
        int numbers = 0;
        for (int i = 0; i < t->n_column; i++) numbers += t->row[0][i].kind == CELL_NUMBER;
        assert_true(allowed ? numbers >= 2 : numbers == 0);
    }
    arena_free(a);
}

static void every_kind_of_convolution_has_a_row(void **state) {
    (void)state;
    folder f = folder_new();
    const outcome o = mixgrid(&f, "bench --convs " TINY);
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    assert_int_equal(rows_of(o.out), CONV_SSM + 1);
    for (char *rest = arena_text(f.arena, CONV_KINDS), *kind; (kind = strtok_r(rest, "|", &rest));)
        assert_true(numbers_of(o.out, kind) <= 2);
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slope_is_that_of_a_power),
        cmocka_unit_test(lengths_are_read),
        cmocka_unit_test(every_mixer_has_a_row),
        cmocka_unit_test(a_row_that_cannot_run_stops_no_other),
        cmocka_unit_test(what_needs_more_memory_is_left_out),
        cmocka_unit_test(every_kind_of_convolution_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
