/* npy_fuzz.c - any bytes as a .npy file; one that is read reads the same when written again. */
#include "kernels/test/fuzz.h"
#include "tasks/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char copy[128];
    if (!*copy) snprintf(copy, sizeof copy, "%s/copy", fuzz_folder());
    if (size > FUZZ_MAX_BYTES) return 0;
    arena *a = arena_new();
    error e = {0};
    const npy *x = npy_read(a, fuzz_file(data, size), &e);
    if (!x) {
        fuzz_check_error(&e);
    } else {
        if (npy_write(copy, x, &e)) BUG("%s", e.text);
        const npy *again = npy_read(a, copy, &e);
        if (!again) BUG("%s", e.text);
        CHECK(again->type == x->type && again->n_dims == x->n_dims);
        CHECK(!memcmp(again->dim, x->dim, sizeof *x->dim * (size_t)x->n_dims));
        CHECK(
            !memcmp(again->data, x->data, (size_t)npy_count(x) * (x->type == NPY_FLOAT64 ? 8 : 4)));
    }
    arena_free(a);
    return 0;
}
