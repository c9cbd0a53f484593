/* safetensors_test.c - what comes back, and what is refused in which words. */
#include "harness/safetensors.h"

#include "folder_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A file of this header and 8 bytes of data. */
static void read_header(stored_file *out, const folder *f, const char *header, error *e) {
    FILE *file = fopen(folder_at(f, "x"), "wb");
    const size_t n = strlen(header);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) fputc((int)(n >> (8 * i) & 0xff), file);
    fputs(header, file);
    fwrite("01234567", 1, 8, file);
    fclose(file);
    safetensors_read(out, f->arena, folder_at(f, "x"), e);
}

static void headers_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header, *sentence;
    } cases[] = {
        {"[]", "its header is no JSON object"},
        {"{\"x\":1,\"x\":1}", "its header is no JSON object"},
        {"{\"__metadata__\":[]}", "its metadata are no object"},
        {"{\"__metadata__\":{\"a\":1}}", "its metadata are not text"},
        {"{\"x\":1}", "tensor x: unknown dtype"},
        {"{\"x\":{\"dtype\":\"F8\"}}", "tensor x: unknown dtype"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":8}}", "shape is not a list of at most 8 numbers"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", "is not a pair"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[\"8\"],\"data_offsets\":[0,0]}}",
         "shape is not a list of whole numbers"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0.5,1]}}",
         "data_offsets are no whole numbers"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,0]}}",
         "larger than the file"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
         "shape is larger than the file"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", "outside the file"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[5,4]}}", "outside the file"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,4]}}", "do not fit the shape"},
    };
    folder f = folder_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error e = {0};
        stored_file out;
        read_header(&out, &f, cases[i].header, &e);
        assert_int_equal(e.code, STATUS_ENVIRONMENT);
        if (!strstr(e.text, cases[i].sentence)) fail_msg("%s: %s", cases[i].header, e.text);
        assert_int_equal(out.n_tensors, 0);
        assert_int_equal(out.n_meta, 0);
    }
    folder_remove(&f);
}

static void what_fits_is_read(void **state) {
    (void)state;
    folder f = folder_new();
    error e = {0};
    stored_file out;
    read_header(&out, &f,
                "{\"__metadata__\":{\"a\":\"b\"},"
                "\"x\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[1,7]},"
                "\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}",
                &e);
    if (e.code) fail_msg("%s", e.text);
    assert_int_equal(out.n_tensors, 2);
    const stored_tensor *x = stored_find(&out, "x");
    assert_int_equal(x->rank, 2);
    assert_int_equal(x->dim[1], 3);
    assert_memory_equal(x->data, "123456", 6);
    assert_int_equal(stored_find(&out, "s")->bytes, 8);
    assert_null(stored_find(&out, "y"));
    assert_string_equal(stored_meta(&out, "a"), "b");
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_that_make_no_sense_are_refused),
        cmocka_unit_test(what_fits_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
