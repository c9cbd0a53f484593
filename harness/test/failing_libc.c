/* failing_libc.c - calls of the C library that fail on demand; linked into mixgrid_fault.
 *
 * MIXGRID_FAULT=FILE, a file of struct fault_plan, says which call: the n-th of a kind, counted
 * over the scheduler and its workers together, or that one and all after it. Symbols of a program
 * come before those of shared libraries, so SQLite, libyaml, jansson and libcrypto get these too;
 * calls that the C library makes inside itself (such as write in fflush) do not come here. The real
 * work is done by system calls and by glibc's other names of its allocator. */
#include "fault_plan.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static fault_plan *plan; /* shared with the driver and with forked workers; NULL: no faults */

static void map_plan(void) {
    const char *path = getenv("MIXGRID_FAULT");
    const long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0) return;
    void *p = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    syscall(SYS_close, fd);
    if (p != MAP_FAILED) plan = p;
}

/* Counting starts here: what libraries do before main is theirs. */
int __real_main(int argc, char **argv);
int __wrap_main(int argc, char **argv);
int __wrap_main(int argc, char **argv) {
    map_plan();
    return __real_main(argc, argv);
}

/* Counts a call; true where it must fail. */
static bool fails(fault_kind kind) {
    if (!plan) return false;
    const long n = atomic_fetch_add(&plan->count[kind], 1) + 1;
    if (plan->kind != kind || (plan->sticky ? n < plan->at : n != plan->at)) return false;
    atomic_fetch_add(&plan->fired, 1);
    errno = plan->error;
    return true;
}

/* ---- the allocator ---- */

void *malloc(size_t bytes) { return fails(FAULT_ALLOC) ? NULL : __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return fails(FAULT_ALLOC) ? NULL : __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) {
    return fails(FAULT_ALLOC) ? NULL : __libc_realloc(p, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
    return fails(FAULT_ALLOC) ? NULL : __libc_memalign(alignment, bytes);
}

/* ---- files ---- */

static int open_at(int folder, const char *path, int flags, va_list more) {
    const unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, unsigned) : 0;
    return fails(FAULT_OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const int fd = open_at(AT_FDCWD, path, flags, more);
    va_end(more);
    return fd;
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

FILE *fopen(const char *restrict path, const char *restrict mode) {
    union {
        void *address;
        FILE *(*call)(const char *, const char *);
    } real = {dlsym(RTLD_NEXT, "fopen")};
    return fails(FAULT_OPEN) ? NULL : real.call(path, mode);
}
FILE *fopen64(const char *restrict path, const char *restrict mode) __attribute__((alias("fopen")));

/* error 0: half of the bytes are written, which is no error. */
static bool cut_or_fail(size_t *bytes) {
    if (!fails(FAULT_WRITE)) return false;
    if (plan->error) return true;
    *bytes = (*bytes + 1) / 2;
    return false;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    return cut_or_fail(&bytes) ? -1 : syscall(SYS_write, fd, data, bytes);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    return cut_or_fail(&bytes) ? -1 : syscall(SYS_pwrite64, fd, data, bytes, at);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t at) __attribute__((alias("pwrite")));

ssize_t read(int fd, void *data, size_t bytes) {
    return fails(FAULT_READ) ? -1 : syscall(SYS_read, fd, data, bytes);
}
ssize_t pread(int fd, void *data, size_t bytes, off_t at) {
    return fails(FAULT_READ) ? -1 : syscall(SYS_pread64, fd, data, bytes, at);
}
ssize_t pread64(int fd, void *data, size_t bytes, off_t at) __attribute__((alias("pread")));

int fsync(int fd) { return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(FAULT_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd); }

int rename(const char *from, const char *to) {
    return fails(FAULT_RENAME) ? -1 : (int)syscall(SYS_rename, from, to);
}
int ftruncate(int fd, off_t bytes) {
    return fails(FAULT_TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, bytes);
}
int ftruncate64(int fd, off_t bytes) __attribute__((alias("ftruncate")));
int mkdir(const char *path, mode_t mode) {
    return fails(FAULT_FOLDER) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

/* ---- time: it does not fail, it is wrong ---- */

int clock_gettime(clockid_t clock, struct timespec *now) {
    const int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME && fails(FAULT_CLOCK)) now->tv_sec -= plan->error;
    return result;
}

/* ---- processes ---- */

pid_t fork(void) {
    union {
        void *address;
        pid_t (*call)(void);
    } real = {dlsym(RTLD_NEXT, "fork")};
    return fails(FAULT_FORK) ? -1 : real.call();
}
int pipe2(int ends[2], int flags) {
    return fails(FAULT_FORK) ? -1 : (int)syscall(SYS_pipe2, ends, flags);
}
