/* claim.c - see claim.h. */
#include "claim.h"

#include "kernels/core/arena.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS = 15 }; /* 60 bits: two runs of a sweep share no byte */

int claims_open(const char *journal_folder, error *e) {
    arena *a = arena_new();
    const char *path = arena_printf(a, "%s/claims", journal_folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        error_set(e, STATUS_ENVIRONMENT,
                  "%s cannot be written: %s; look at the permissions of the folder, or use --db "
                  "with a place you may write to.",
                  path, strerror(errno));
    arena_free(a);
    return fd;
}

static int set_lock(int claims, const char *run_id, short type) {
    char hash[SHA256_HEX];
    sha256_bytes(hash, run_id, strlen(run_id));
    hash[DIGITS] = '\0';
    struct flock byte = {.l_type = type,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)strtoull(hash, NULL, 16),
                         .l_len = 1};
    return fcntl(claims, F_OFD_SETLK, &byte);
}

bool claim_take(int claims, const char *run_id) {
    return set_lock(claims, run_id, F_WRLCK) == 0 || (errno != EAGAIN && errno != EACCES);
}

void claim_release(int claims, const char *run_id) { set_lock(claims, run_id, F_UNLCK); }

void claims_close(int claims) {
    if (claims >= 0) close(claims);
}
