/* whole_file.h - files that are replaced as a whole or not at all. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

/* Creates the folder; one that is there is fine. */
status folder_create(const char *path, error *e);

/* Writes n bytes to PATH.new, waits for the disk, renames: at any moment `path` is the old file or
 * the new one. */
status file_replace(const char *path, const char *bytes, long n, error *e);

/* The first `most` bytes of a file, or all of it (most < 0), with a NUL behind; NULL with `*n` = 0
 * when there is no such file, NULL with an error when it cannot be read. */
char *file_bytes(arena *a, const char *path, long most, long *n, error *e);

/* Files and folders of `folder` whose names end in `ending` ("": all) and do not begin with a dot,
 * in the order of their bytes and without the ending. n = -1 (errno says why): it cannot be read.
 */
typedef struct names {
    const char **name; /* [n] */
    int n;
} names;
names folder_names(arena *a, const char *folder, const char *ending);

/* A name that any file system takes: bytes other than letters, digits and . _ - become %XX, and
 * what is too long ends in a hash of itself. */
char *file_name_safe(arena *a, const char *name);
