/* home.c - see home.h. */
#include "home.h"

#include <errno.h>
#include <libgen.h>
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
