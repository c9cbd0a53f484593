/* fuzz.h - what fuzz targets share: the input as a file, and what every error must be.
 *
 * A target is X_fuzz.c with LLVMFuzzerTestOneInput: it sets up once, gives back what an input
 * took, and aborts (CHECK) where something does not hold. Its corpus is the folder X_fuzz beside
 * it, its dictionary X_fuzz.dict. Inputs longer than FUZZ_MAX_BYTES are passed over: what they
 * would find is that large files need memory. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

static inline int fuzz_remove_one(const char *path, const struct stat *info, int kind,
                                  struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static char fuzz_folder_path[64];
static inline void fuzz_remove_folder(void) {
    nftw(fuzz_folder_path, fuzz_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A new folder in memory, removed when the program ends by itself; one per target. */
static inline const char *fuzz_folder(void) {
    const bool memory = !access("/dev/shm", W_OK);
    snprintf(fuzz_folder_path, sizeof fuzz_folder_path, "%s/fuzz-XXXXXX",
             memory ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(fuzz_folder_path) != NULL && !atexit(fuzz_remove_folder));
    return fuzz_folder_path;
}
