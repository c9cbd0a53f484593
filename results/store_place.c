/* store_place.c - see store_place.h. */
#include "store_place.h"

#include "clock.h"
#include "jsontext.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

static char *folder_of(arena *a, const char *path) {
    char *folder = arena_text(a, path);
    char *slash = strrchr(folder, '/');
    if (!slash) return arena_text(a, ".");
    slash[slash == folder] = '\0';
    return folder;
}

/* ---- file system -----------------------------------------------------------------------------*/

const char *place_remote_kind(unsigned long magic) {
    switch (magic) {
    case 0x6969: return "NFS";
    case 0x517b:
    case 0xfe534d42:
    case 0xff534d42: return "SMB";
    case 0x65735546: return "FUSE";
    case 0x0bd00bd0: return "Lustre";
    case 0x19830326: return "BeeGFS";
    case 0x47504653: return "GPFS";
    case 0x00c36400: return "Ceph";
    case 0x01021997: return "9P";
    default: return NULL;
    }
}

const char *place_remote(const char *path) {
    arena *a = arena_new();
    struct statfs info;
    int failed = statfs(folder_of(a, path), &info);
    arena_free(a);
    return failed ? NULL : place_remote_kind((unsigned long)info.f_type & 0xffffffff);
}

/* ---- lock ------------------------------------------------------------------------------------*/

static status folder_failed(arena *a, const char *path, int why, error *e) {
    const char *folder = folder_of(a, path);
    if (why == ENOENT || why == ENOTDIR)
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be created: there is no folder %s; create it or use another "
                         "--db.",
                         path, folder);
    if (why == EACCES || why == EROFS || why == EPERM)
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be written: the folder %s is read-only for you; use --db with "
                         "a place you may write to.",
                         path, folder);
    return error_set(e, STATUS_ENVIRONMENT, "%s cannot be written: %s.", path, strerror(why));
}

static status owner_failed(int fd, const char *path, error *e) {
    char text[1024] = "";
    if (pread(fd, text, sizeof text - 1, 0) < 0) text[0] = '\0';
    json_t *owner = json_loads(text, 0, NULL);
    const char *host = json_string_value(json_object_get(owner, "host"));
    time_t start = (time_t)json_number_value(json_object_get(owner, "start_s"));
    char since[64] = "";
    struct tm parts;
    if (gmtime_r(&start, &parts)) strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S UTC", &parts);
    if (host)
        error_set(e, STATUS_ENVIRONMENT,
                  "%s is being written by process %lld on host %s since %s; wait for it or use "
                  "another --db.",
                  path, (long long)json_integer_value(json_object_get(owner, "pid")), host, since);
    else
        error_set(e, STATUS_ENVIRONMENT,
                  "%s is being written by another process; wait for it or use another --db.", path);
    json_decref(owner);
    return e->code;
}

static void write_owner(arena *a, int fd) {
    struct utsname machine = {0};
    uname(&machine);
    jsontext t = {.arena = a};
    jsontext_put(&t, "{\"host\":");
    jsontext_string(&t, machine.nodename);
    jsontext_printf(&t, ",\"pid\":%ld,\"start_s\":%.0f}\n", (long)getpid(), clock_unix_s());
    /* Only for the message of others: the lock holds without it. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, t.data, (size_t)t.n, 0) != t.n) return;
}

/* The owner before may have removed the file between our open and our lock. */
static bool is_still_there(int fd, const char *file) {
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(file, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

int place_lock(const char *path, error *e) {
    arena *a = arena_new();
    const char *file = arena_printf(a, "%s.lock", path);
    int fd = -1;
    while (!e->code) {
        fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            folder_failed(a, path, errno, e);
            break;
        }
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
            if (errno == EAGAIN || errno == EACCES)
                owner_failed(fd, path, e);
            else
                error_set(e, STATUS_ENVIRONMENT,
                          "%s cannot be locked: %s; use --db on a file system with locks.", file,
                          strerror(errno));
        } else if (is_still_there(fd, file)) {
            write_owner(a, fd);
            break;
        }
        close(fd);
        fd = -1;
    }
    arena_free(a);
    return fd;
}

status place_check(const char *path, error *e) {
    static const char magic[] = "SQLite format 3";
    char head[sizeof magic] = "";
    struct stat info;
    if (stat(path, &info)) return STATUS_OK;
    if (S_ISDIR(info.st_mode))
        return error_set(e, STATUS_ENVIRONMENT, "%s is a folder; name a file in it with --db.",
                         path);
    if (!S_ISREG(info.st_mode))
        return error_set(e, STATUS_ENVIRONMENT, "%s is no plain file; name another with --db.",
                         path);
    FILE *f = info.st_size ? fopen(path, "rbe") : NULL;
    if (!f) return STATUS_OK;
    const bool whole = fread(head, 1, sizeof head, f) == sizeof head;
    fclose(f);
    if (whole && !memcmp(head, magic, sizeof magic)) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s is no SQLite database and is left alone; name another with --db, or, if "
                     "it held results, "
                     "move it away, and `mixgrid rebuild` makes it again from the journals.",
                     path);
}

bool place_is_locked(const char *path) {
    arena *a = arena_new();
    const int fd = open(arena_printf(a, "%s.lock", path), O_RDONLY | O_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const bool held = fd >= 0 && !fcntl(fd, F_OFD_GETLK, &whole) && whole.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    arena_free(a);
    return held;
}

void place_unlock(int fd, const char *path) {
    if (fd < 0) return;
    arena *a = arena_new();
    unlink(arena_printf(a, "%s.lock", path));
    close(fd);
    arena_free(a);
}

/* ---- damage ----------------------------------------------------------------------------------*/

status place_move_aside(const char *path, const char *why, error *e) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
    arena *a = arena_new();
    char *aside;
    int number = 1;
    do aside = arena_printf(a, "%s.damaged-%d", path, number++);
    while (access(aside, F_OK) == 0);
    for (int i = 0; i < 4 && !e->code; i++) {
        const char *from = arena_printf(a, "%s%s", path, suffix[i]);
        const char *to = arena_printf(a, "%s%s", aside, suffix[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            error_set(e, STATUS_ENVIRONMENT,
                      "%s is damaged (%s) and cannot be renamed to %s: %s; move it away.", path,
                      why, aside, strerror(errno));
    }
    if (!e->code)
        fprintf(stderr,
                "mixgrid: %s was damaged (%s) and is now %s; runs are read again from the "
                "journals.\n",
                path, why, aside);
    arena_free(a);
    return e->code;
}
