/* home.c - see home.h. */
#include "home.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

home home_of(arena *a, const char *db) {
    const char *folder = dirname(arena_text(a, db));
    return (home){arena_printf(a, "%s/journal", folder), arena_printf(a, "%s/log", folder),
                  arena_printf(a, "%s/checkpoint", folder)};
}

status make_folder(const char *path, error *e) {
    if (!mkdir(path, 0777) || errno == EEXIST) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "could not create the folder %s: %s; choose another place with --db.", path,
                     strerror(errno));
}

status home_make(const home *h, error *e) {
    const char *const folder[] = {h->journal, h->log, h->checkpoint};
    for (int i = 0; i < 3; i++)
        if (make_folder(folder[i], e)) return e->code;
    return STATUS_OK;
}

const char *home_log(arena *a, const home *h, const char *run_id) {
    return arena_printf(a, "%s/%s.log", h->log, run_id);
}

status refuse_foreign_file(const char *db, error *e) {
    static const char magic[] = "SQLite format 3";
    char head[sizeof magic] = "";
    struct stat info;
    if (stat(db, &info)) return STATUS_OK;
    if (S_ISDIR(info.st_mode))
        return error_set(e, STATUS_ENVIRONMENT, "%s is a folder; name a file in it with --db.", db);
    FILE *f = fopen(db, "rbe");
    const bool whole = f && fread(head, 1, sizeof head, f) == sizeof head;
    if (f) fclose(f);
    if (!f || !info.st_size || (whole && !memcmp(head, magic, sizeof magic))) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s is no SQLite database and is left alone; name another with --db, or move "
                     "it away if it held this sweep: its runs are read again from the journals.",
                     db);
}
