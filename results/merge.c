/* merge.c - what is joined from where; see merge.h. One run is merge_run.c.
 *
 * A database is never opened where it lies but copied by SQLite's backup, which is consistent while
 * its scheduler writes: so an older schema can be brought up to date and nothing of the source
 * changes. Cost: the copy, and for each run one read of its journal. */
#include "merge.h"

#include "journal_read.h"
#include "merge_run.h"
#include "store_own.h"
#include "whole_file.h"

#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ENDING[] = ".jsonl";

static bool has_ending(const char *name) {
    size_t n = strlen(name);
    return n > sizeof ENDING - 1 && strcmp(name + n - (sizeof ENDING - 1), ENDING) == 0;
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* One that fails does not stop the others. */
static void take_run(merger *m, const char *folder, const char *run, error *e) {
    error one = {0};
    m->counts->runs++;
    merge_run(m, folder, run, &one);
    error_join(e, &one);
}

static long take_journals(merger *m, const char *folder, error *e) {
    arena *a = arena_new();
    const names runs = journal_runs(a, folder);
    for (int i = 0; i < runs.n; i++) take_run(m, folder, runs.name[i], e);
    arena_free(a);
    return runs.n < 0 ? 0 : runs.n;
}

static void take_bench(merger *m, const char *folder, error *e) {
    error one = {0};
    store_bench_import(m->s, folder, &one);
    error_join(e, &one);
}

static void take_experiments(merger *m, const char *folder, error *e) {
    experiment_counts in = {0};
    error one = {0};
    store_experiments_take(m->s, folder, true, &in, &one);
    error_join(e, &one);
    m->counts->experiments.experiments += in.experiments;
    m->counts->experiments.cells += in.cells;
}

static status take_folder(merger *m, const char *path, error *e) {
    arena *a = arena_new();
    const char *inside = arena_printf(a, "%s/journal", path), *folder = path;
    error wrong = {0};
    long n = take_journals(m, path, &wrong);
    if (n == 0 && is_folder(inside)) n = take_journals(m, folder = inside, &wrong);
    if (n == 0 && !is_folder(arena_printf(a, "%s/experiments", folder)) &&
        access(arena_printf(a, "%s/" JOURNAL_BENCH "%s", folder, ENDING), F_OK) != 0)
        error_set(&wrong, STATUS_USAGE,
                  "%s holds no journals (*.jsonl); name a journal folder, a folder with one in it, "
                  "a journal or a database.",
                  path);
    else {
        take_bench(m, folder, &wrong);
        take_experiments(m, folder, &wrong);
    }
    arena_free(a);
    return error_join(e, &wrong);
}

static status take_file(merger *m, const char *path, error *e) {
    arena *a = arena_new();
    const char *folder = dirname(arena_text(a, path));
    char *run = arena_text(a, basename(arena_text(a, path)));
    run[strlen(run) - strlen(ENDING)] = '\0';
    if (!strcmp(run, JOURNAL_BENCH))
        take_bench(m, folder, e);
    else
        take_run(m, folder, run, e);
    arena_free(a);
    return e->code;
}

/* ---- databases -------------------------------------------------------------------------------*/

static status copy_file(const char *from, const char *to, error *e) {
    arena *a = arena_new();
    long n;
    const char *bytes = file_bytes(a, from, -1, &n, e);
    if (bytes) file_replace(to, bytes, n, e);
    arena_free(a);
    return e->code;
}

/* Left by a scheduler that was killed. Opening it where it lies would create the -shm file, without
 * which nobody can be writing it: bytes may be copied. */
static bool has_lone_log(arena *a, const char *db) {
    return access(arena_printf(a, "%s-wal", db), F_OK) == 0 &&
           access(arena_printf(a, "%s-shm", db), F_OK) != 0;
}

static status copy_database(const char *from, const char *to, error *e) {
    arena *a = arena_new();
    const bool lone = has_lone_log(a, from);
    if (lone && !copy_file(from, to, e))
        copy_file(arena_printf(a, "%s-wal", from), arena_printf(a, "%s-wal", to), e);
    arena_free(a);
    if (lone) return e->code;
    sql source = {.path = from}, copy = {.path = to};
    sqlite3_backup *backup = NULL;
    if (sqlite3_open_v2(from, &source.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_busy_timeout(source.db, 10000))
        sql_failed(&source, e);
    else if (sqlite3_open_v2(to, &copy.db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                             NULL) ||
             !(backup = sqlite3_backup_init(copy.db, "main", source.db, "main")))
        sql_failed(&copy, e);
    else {
        sqlite3_backup_step(backup, -1);
        if (sqlite3_backup_finish(backup)) sql_failed(&copy, e);
    }
    sql_close(&source);
    sql_close(&copy);
    return e->code;
}

/* Runs that were tried and have no journal in `beside` become journals in `folder`. */
static void take_rows(merger *m, store *other, const char *beside, const char *folder, error *e) {
    arena *a = arena_new();
    const char **run = NULL;
    int n = 0, cap = 0;
    error unread = {0};
    sqlite3_stmt *row =
        sql_bind(&other->q, &unread, "SELECT id FROM run WHERE attempts > 0 ORDER BY id", "");
    while (sql_row(&other->q, row, &unread)) {
        const char *id = sql_text(row, 0);
        if (access(arena_printf(a, "%s/%s%s", beside, id, ENDING), F_OK) == 0) continue;
        ARENA_GROW(a, run, n, cap);
        run[n++] = arena_text(a, id);
    }
    error_join(e, &unread);
    for (int i = 0; i < n; i++) {
        error one = {0};
        if (store_export_run(other, folder, run[i], &one)) {
            error_join(e, &one);
            continue;
        }
        m->counts->exported++;
        take_run(m, folder, run[i], e);
        unlink(arena_printf(a, "%s/%s%s", folder, run[i], ENDING));
    }
    arena_free(a);
}

static status take_database(merger *m, const char *path, error *e) {
    arena *a = arena_new();
    const char *beside = arena_printf(a, "%s/journal", dirname(arena_text(a, path)));
    const char *copy = arena_printf(a, "%s/other.db", m->scratch);
    const char *folder = arena_printf(a, "%s/journal", m->scratch);
    char why[256] = "";
    error wrong = {0};
    store *other = NULL;
    /* Damage is told by the copy. */
    if (!copy_database(path, copy, &wrong)) other = store_open_private(copy, path, why, &wrong);
    long n = take_journals(m, beside, &wrong);
    take_bench(m, beside, &wrong);
    if (other) {
        take_rows(m, other, beside, folder, &wrong);
        error unsaved = {0};
        store_experiments_save(other, folder, NULL, true, &unsaved);
        error_join(&wrong, &unsaved);
        take_experiments(m, folder, &wrong);
        store_bench_save(other, folder, &wrong);
        take_bench(m, folder, &wrong);
    } else if (!wrong.code && n) {
        fprintf(m->notes, "mixgrid: %s is damaged (%s): only the journals beside it are merged.\n",
                path, why);
        take_experiments(m, beside, &wrong);
    } else
        error_set(&wrong, STATUS_ENVIRONMENT,
                  "%s is damaged (%s) and has no journals beside it: nothing of it can be merged.",
                  path, why);
    store_close(other);
    unlink(copy);
    arena_free(a);
    return error_join(e, &wrong);
}

static bool is_database(const char *path) {
    static const char magic[] = "SQLite format 3";
    arena *a = arena_new();
    error unread = {0};
    long n;
    const char *head = file_bytes(a, path, sizeof magic, &n, &unread);
    bool fits = head && n == sizeof magic && memcmp(head, magic, sizeof magic) == 0;
    arena_free(a);
    return fits;
}

/* ---- any source ------------------------------------------------------------------------------*/

static bool same_file(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static status take_source(merger *m, const char *source, error *e) {
    if (access(source, F_OK) != 0)
        return error_set(e, STATUS_USAGE,
                         "%s cannot be merged: %s; name a database, a journal folder or a journal.",
                         source, strerror(errno));
    if (same_file(source, m->s->q.path) || same_file(source, m->journals))
        return error_set(e, STATUS_USAGE,
                         "%s is merged into and cannot be merged as well; `mixgrid rebuild` reads "
                         "its journals again.",
                         source);
    if (access(source, R_OK) != 0)
        return error_set(e, STATUS_ENVIRONMENT, "%s cannot be read: %s; look at its permissions.",
                         source, strerror(errno));
    if (is_folder(source)) return take_folder(m, source, e);
    if (has_ending(source)) return take_file(m, source, e);
    if (is_database(source)) return take_database(m, source, e);
    return error_set(e, STATUS_USAGE,
                     "%s is neither a database, nor a folder, nor a journal RUN.jsonl; name one of "
                     "these.",
                     source);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

status store_merge(store *s, const char *journal_folder, const char *source, bool prefer_theirs,
                   merge_counts *counts, FILE *notes, error *e) {
    arena *a = arena_new();
    merger m = {.s = s,
                .journals = journal_folder,
                .source = source,
                .scratch = arena_printf(a, "%s.merge-XXXXXX", s->q.path),
                .prefer_theirs = prefer_theirs,
                .claims = -1,
                .counts = counts,
                .notes = notes};
    if (!folder_create(journal_folder, e)) m.claims = claims_open(journal_folder, e);
    bool made = m.claims >= 0 && mkdtemp(m.scratch);
    if (m.claims >= 0 && !made)
        error_set(e, STATUS_ENVIRONMENT,
                  "no folder %s can be made: %s; look at the permissions and the free space of the "
                  "folder it shall lie in.",
                  m.scratch, strerror(errno));
    if (made) {
        take_source(&m, source, e);
        store_bench_save(s, journal_folder, e);
        error unsaved = {0};
        store_experiments_save(s, journal_folder, NULL, true, &unsaved);
        error_join(e, &unsaved);
        nftw(m.scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    claims_close(m.claims);
    arena_free(a);
    return e->code;
}
