/* safetensors_fuzz.c - any bytes as a safetensors file.
 *
 * A file that is read has its tensors within the file, and reads the same when written again. */
#include "harness/safetensors.h"
#include "kernels/test/fuzz.h"

/* Every byte that the reader promises is there. */
static unsigned touch(const stored_file *f) {
    unsigned sum = 0;
    for (int i = 0; i < f->n_tensors; i++) {
        const unsigned char *p = f->tensor[i].data;
        for (size_t k = 0; k < f->tensor[i].bytes; k++) sum += p[k];
    }
    return sum;
}

static void check_same(const stored_file *x, const stored_file *y) {
    CHECK(x->n_tensors == y->n_tensors);
    for (int i = 0; i < x->n_tensors; i++) {
        const stored_tensor *a = &x->tensor[i], *b = stored_find(y, a->name);
        CHECK(b && !strcmp(a->dtype, b->dtype) && a->rank == b->rank && a->bytes == b->bytes);
        CHECK(!memcmp(a->dim, b->dim, sizeof a->dim) && !memcmp(a->data, b->data, a->bytes));
    }
    for (int i = 0; i < x->n_meta; i++) {
        const char *text = stored_meta(y, x->meta[i].key);
        CHECK(text && (!strcmp(text, x->meta[i].text) || !strcmp(x->meta[i].key, "checksum")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char copy[128];
    if (!*copy) snprintf(copy, sizeof copy, "%s/copy", fuzz_folder());
    if (size > FUZZ_MAX_BYTES) return 0;
    arena *a = arena_new();
    error e = {0};
    stored_file f, again;
    if (safetensors_read(&f, a, fuzz_file(data, size), &e)) {
        fuzz_check_error(&e);
        CHECK(!f.n_tensors && !f.n_meta);
    } else {
        touch(&f);
        if (safetensors_write(copy, &f, &e)) BUG("%s", e.text);
        if (safetensors_read(&again, a, copy, &e)) BUG("%s", e.text);
        check_same(&f, &again);
        CHECK(stored_meta(&again, "checksum") != NULL);
    }
    arena_free(a);
    return 0;
}
