/* whole_file.c - see whole_file.h. */
#include "whole_file.h"

#include "sha256.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_LENGTH = 180 };

status folder_create(const char *path, error *e) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "the folder %s cannot be created: %s; look at the permissions and the free "
                     "space of the folder it shall lie in.",
                     path, strerror(errno));
}

static bool write_all(int fd, const char *bytes, long n) {
    for (long done = 0; done < n;) {
        ssize_t more = write(fd, bytes + done, (size_t)(n - done));
        if (more < 0 && errno != EINTR) return false;
        if (more > 0) done += more;
    }
    return fsync(fd) == 0 || errno == EINVAL;
}

status file_replace(const char *path, const char *bytes, long n, error *e) {
    arena *a = arena_new();
    const char *fresh = arena_printf(a, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool written = fd >= 0 && write_all(fd, bytes, n);
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && written) written = false, why = errno;
    if (written && rename(fresh, path) != 0) written = false, why = errno;
    if (!written) {
        if (fd >= 0) unlink(fresh);
        error_set(e, STATUS_ENVIRONMENT,
                  "%s cannot be written: %s; what was there before is untouched, make room or look "
                  "at the permissions and run the same command again.",
                  path, strerror(why));
    }
    arena_free(a);
    return e->code;
}

char *file_bytes(arena *a, const char *path, long most, long *n, error *e) {
    struct stat info;
    FILE *file = fopen(path, "rbe");
    *n = 0;
    if (!file && errno == ENOENT) return NULL;
    char *bytes = NULL;
    if (file && fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode)) {
        long want = most >= 0 && most < info.st_size ? most : (long)info.st_size;
        bytes = arena_alloc(a, (size_t)want + 1);
        *n = (long)fread(bytes, 1, (size_t)want, file);
        if (ferror(file)) bytes = NULL;
    }
    if (!bytes)
        error_set(e, STATUS_ENVIRONMENT, "%s cannot be read: %s.", path,
                  file && !errno ? "it is no plain file" : strerror(errno));
    if (file) fclose(file);
    return bytes;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

names folder_names(arena *a, const char *folder, const char *ending) {
    struct dirent **entry = NULL;
    const int n = scandir(folder, &entry, NULL, by_bytes);
    names out = {.name = ARENA_NEW(a, const char *, n > 0 ? n : 1), .n = n < 0 ? -1 : 0};
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        const long stem = (long)strlen(name) - (long)strlen(ending);
        if (*name != '.' && stem > 0 && !strcmp(name + stem, ending))
            out.name[out.n++] = arena_printf(a, "%.*s", (int)stem, name);
        free(entry[i]);
    }
    free(entry);
    return out;
}

char *file_name_safe(arena *a, const char *name) {
    char *out = arena_alloc(a, 3 * strlen(name) + 1), *to = out;
    for (const char *c = name; *c; c++) {
        bool kept = isalnum((unsigned char)*c) || *c == '_' || *c == '-' || (*c == '.' && c > name);
        to += kept ? snprintf(to, 2, "%c", *c) : snprintf(to, 4, "%%%02X", (unsigned char)*c);
    }
    if (strlen(out) <= NAME_LENGTH) return out;
    char hash[SHA256_HEX];
    sha256_bytes(hash, name, strlen(name));
    return arena_printf(a, "%.*s-%.16s", NAME_LENGTH, out, hash);
}
