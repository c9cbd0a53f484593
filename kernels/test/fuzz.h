/* fuzz.h - what fuzz targets share: the input as a file, and what every error must be.
 *
 * A target is X_fuzz.c with LLVMFuzzerTestOneInput: it sets up once, gives back what an input
 * took, and aborts (CHECK) where something does not hold. Its corpus is the folder X_fuzz beside
 * it, its dictionary X_fuzz.dict. Inputs longer than FUZZ_MAX_BYTES are passed over: what they
 * would find is that large files need memory. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FUZZ_MAX_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a file in memory; its path, valid until the next call. */
static inline const char *fuzz_file(const void *data, size_t size) {
    static int fd = -1;
    static char path[64];
    if (fd < 0) {
        fd = memfd_create("input", MFD_CLOEXEC);
        CHECK(fd >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK(!ftruncate(fd, (off_t)size) && pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

/* An error that reaches the user: a status, and a sentence that ends. */
static inline void fuzz_check_error(const error *e) {
    const size_t n = strlen(e->text);
    CHECK(e->code == STATUS_USAGE || e->code == STATUS_ENVIRONMENT);
    if (n < 2 || e->text[n - 1] != '.') BUG("no sentence: \"%s\"", e->text);
}

/* stderr for as long as a warning is expected; glibc lets it be assigned. */
static inline void fuzz_hush(bool hush) {
    static FILE *silence, *loud;
    if (!silence) {
        silence = fopen("/dev/null", "w");
        loud = stderr;
        CHECK(silence != NULL);
    }
    stderr = hush ? silence : loud;
}

/* A new folder in memory, which whoever cleans the machine removes. */
static inline const char *fuzz_folder(void) {
    static char path[64];
    snprintf(path, sizeof path, "%s",
             access("/dev/shm", W_OK) ? "/tmp/fuzz-XXXXXX" : "/dev/shm/fuzz-XXXXXX");
    CHECK(mkdtemp(path) != NULL);
    return path;
}
