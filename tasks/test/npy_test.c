/* npy_test.c - .npy files: round trip, exact bytes, and every way a file can be wrong. */
#include "tasks/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/npy_test.XXXXXX", path[64];

static int setup(void **unused) {
    (void)unused;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.npy", folder);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    remove(path);
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static void put_file(const void *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void test_round_trip(void **unused) {
    (void)unused;
    int ids[6] = {1, -1, 0, INT32_MAX, INT32_MIN, 7};
    float narrow[2] = {1.5f, -0.f};
    double wide[1] = {0.1};
    const npy out[] = {
        {NPY_INT32, 2, {2, 3}, ids}, {NPY_INT32, 3, {1, 6, 1}, ids}, {NPY_FLOAT32, 1, {2}, narrow},
        {NPY_FLOAT64, 0, {0}, wide}, {NPY_INT32, 2, {0, 5}, ids},
    };
    for (int i = 0; i < 5; i++) {
        error e = {0};
        arena *a = arena_new();
        assert_int_equal(npy_write(path, &out[i], &e), STATUS_OK);
        npy *in = npy_read(a, path, &e);
        if (!in) fail_msg("%s", e.text);
        assert_int_equal(in->type, out[i].type);
        assert_int_equal(in->n_dims, out[i].n_dims);
        for (int d = 0; d < in->n_dims; d++) assert_int_equal(in->dim[d], out[i].dim[d]);
        size_t bytes = (size_t)npy_count(in) * (in->type == NPY_FLOAT64 ? 8 : 4);
        assert_memory_equal(in->data, out[i].data, bytes);
        arena_free(a);
    }
}

/* The bytes numpy.save writes for numpy.array([[1, 2, 3]], numpy.int32). */
static void test_bytes_of_numpy(void **unused) {
    (void)unused;
    static const char header[] = "\x93NUMPY\1\0v\0{'descr': '<i4', 'fortran_order': False, "
                                 "'shape': (1, 3), }";
    unsigned char want[140], got[200];
    int ids[3] = {1, 2, 3};
    error e = {0};
    memset(want, ' ', 127);
    memcpy(want, header, sizeof header - 1);
    want[127] = '\n';
    memcpy(want + 128, ids, sizeof ids);
    assert_int_equal(npy_write(path, &(npy){NPY_INT32, 2, {1, 3}, ids}, &e), STATUS_OK);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(got, 1, sizeof got, file), sizeof want);
    fclose(file);
    assert_memory_equal(got, want, sizeof want);
}

/* Writes a version 1.0 file with the given header and `bytes` zero bytes of data. */
static void put_header(const char *dict, size_t bytes) {
    char file[1024] = "\x93NUMPY\1";
    size_t n = strlen(dict);
    file[8] = (char)n;
    memcpy(file + 10, dict, n);
    memset(file + 10 + n, 0, bytes);
    put_file(file, 10 + n + bytes);
}

static void expect_reason(const char *word) {
    error e = {0};
    arena *a = arena_new();
    assert_null(npy_read(a, path, &e));
    if (!strstr(e.text, word)) fail_msg("no '%s' in: %s", word, e.text);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    arena_free(a);
}

static void test_accepted_headers(void **unused) {
    (void)unused;
    static const char *const dicts[] = {
        "{'shape': (2,), 'descr': '<i4', 'fortran_order': False}\n",
        "{ 'descr' : '<i4', 'shape':( 2 , 1 ) , 'fortran_order':False , }",
        "{'shape': (2,1,), 'fortran_order': False, 'descr': '<f4', }   \n",
    };
    for (int i = 0; i < 3; i++) {
        error e = {0};
        arena *a = arena_new();
        put_header(dicts[i], 8);
        npy *x = npy_read(a, path, &e);
        if (!x) fail_msg("%s: %s", dicts[i], e.text);
        assert_int_equal(npy_count(x), 2);
        arena_free(a);
    }
    static const char v2[] = "\x93NUMPY\2\0\x38\0\0\0{'shape': (1,), 'descr': '<i4', "
                             "'fortran_order': False}\n\x2a\0\0";
    error e = {0};
    arena *a = arena_new();
    put_file(v2, sizeof v2);
    npy *x = npy_read(a, path, &e);
    if (!x) fail_msg("%s", e.text);
    assert_int_equal(*(int *)x->data, 42);
    arena_free(a);
}

static void test_wrong_files(void **unused) {
    (void)unused;
    static const struct {
        const char *dict;
        size_t bytes;
        const char *reason;
    } wrong[] = {
        {"{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", 8, "astype"},
        {"{'descr': '>i4', 'fortran_order': False, 'shape': (1,), }", 4, "type"},
        {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", 4, "type"},
        {"{'descr': '<i4', 'fortran_order': True, 'shape': (1,), }", 4, "ascontiguousarray"},
        {"{'descr': '<i4', 'fortran_order': 0, 'shape': (1,), }", 4, "neither"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", 4, "asks for 8 bytes"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", 8, "has 8"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }", 4, "tuple"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1), }", 4, "tuple"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': 1, }", 4, "tuple"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "tuple"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4,
         "tuple"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (4294967296,4294967296,4), }", 4,
         "memory"},
        {"{'descr': '<i4', 'fortran_order': False, }", 4, "once each"},
        {"{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", 4, "once"},
        {"{'descr': '<i4', 'order': 'C', 'fortran_order': False, 'shape': (1,), }", 4, "key"},
        {"{'descr': '<i4' 'fortran_order': False, 'shape': (1,), }", 4, "malformed"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,), } x", 4, "follows"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1,", 0, "tuple"},
        {"['descr']", 4, "dict"},
        {"", 0, "dict"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_header(wrong[i].dict, wrong[i].bytes);
        expect_reason(wrong[i].reason);
    }
    put_file("", 0);
    expect_reason("does not start");
    put_file("PK\3\4 not an array", 17);
    expect_reason("does not start");
    put_file("\x93NUMPY\4\0\1\0{", 11);
    expect_reason("version");
    put_file("\x93NUMPY\1\0\x76\0{'descr'", 18);
    expect_reason("ends inside");
    put_file("\x93NUMPY\2\0\0\0\0\x7f{", 13);
    expect_reason("longer");
    put_file("\x93NUMPY\1\0\3\0{\0}", 13);
    expect_reason("zero byte");
}

/* Every prefix of a good file is refused. */
static void test_truncated(void **unused) {
    (void)unused;
    int ids[3] = {1, 2, 3};
    char bytes[140];
    error e = {0};
    assert_int_equal(npy_write(path, &(npy){NPY_INT32, 1, {3}, ids}, &e), STATUS_OK);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), sizeof bytes);
    fclose(file);
    for (size_t n = 0; n < sizeof bytes; n++) {
        put_file(bytes, n);
        expect_reason("cannot read");
    }
}

static void test_paths(void **unused) {
    (void)unused;
    int one = 1;
    error e = {0}, missing = {0}, directory = {0};
    assert_int_equal(npy_write("/no/such/folder/x.npy", &(npy){NPY_INT32, 0, {0}, &one}, &e),
                     STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "/no/such/folder/x.npy"));
    assert_non_null(strstr(e.text, "No such file"));
    arena *a = arena_new();
    assert_null(npy_read(a, "/no/such/file.npy", &missing));
    assert_non_null(strstr(missing.text, "/no/such/file.npy"));
    assert_null(npy_read(a, folder, &directory));
    assert_non_null(strstr(directory.text, folder));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_bytes_of_numpy),
        cmocka_unit_test(test_accepted_headers), cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_truncated),        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
