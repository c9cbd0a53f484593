/* store_rebuild.c - all tables made again from the journals; see store.h.
 *
 * Imports skip what they have read before, so they do not repair a row that changed on the disk.
 * Here a new database is filled beside the old one and copied over it by SQLite's backup, which is
 * one transaction. Cost: an import of everything, and the disk space of a second database. */
#include "experiment_file.h"
#include "store_own.h"

#include <unistd.h>

/* Runs that were tried and have no journal: theirs was removed, or never came along. */
static status write_missing(store *s, const char *journal_folder, long *n_written, error *e) {
    arena *a = arena_new();
    const char **run = NULL;
    int n = 0, cap = 0;
    sqlite3_stmt *row = sql_bind(&s->q, e, "SELECT id FROM run WHERE attempts > 0 ORDER BY id", "");
    while (sql_row(&s->q, row, e)) {
        const char *id = sql_text(row, 0);
        if (access(arena_printf(a, "%s/%s.jsonl", journal_folder, id), F_OK) == 0) continue;
        ARENA_GROW(a, run, n, cap);
        run[n++] = arena_text(a, id);
    }
    for (int i = 0; i < n && !e->code; i++)
        if (store_export_run(s, journal_folder, run[i], e) == STATUS_OK &&
            sql_do(&s->q, e, "DELETE FROM import WHERE run = ?1", "t", run[i]) == STATUS_OK)
            ++*n_written;
    arena_free(a);
    return e->code;
}

/* A journal only grows. One that gives less than was read of it before was cut off, and what it
 * lost is in the rows that would be replaced. */
static status refuse_cut_journals(store *s, store *fresh, const char *journal_folder, error *e) {
    sqlite3_stmt *row = sql_bind(&s->q, e, "SELECT run, offset FROM import ORDER BY run", "");
    while (sql_row(&s->q, row, e)) {
        const char *run = sql_text(row, 0);
        const long before = (long)sqlite3_column_int64(row, 1),
                   now = sql_long(&fresh->q, e, 0, "SELECT offset FROM import WHERE run = ?1", "t",
                                  run);
        if (!e->code && now < before)
            error_set(e, STATUS_ENVIRONMENT,
                      "the journal %s/%s.jsonl was cut off or damaged: %ld of %ld bytes that were "
                      "read before can be read now. Remove the file: `mixgrid rebuild` writes it "
                      "again from the rows in %s.",
                      journal_folder, run, now, before, s->q.path);
        if (e->code) break;
    }
    if (row) sqlite3_reset(row);
    return e->code;
}

/* Everything that `fresh` holds takes the place of what `s` holds. */
static status copy_over(store *s, store *fresh, error *e) {
    sqlite3_backup *copy = sqlite3_backup_init(s->q.db, "main", fresh->q.db, "main");
    if (!copy) return sql_failed(&s->q, e);
    sqlite3_backup_step(copy, -1);
    return sqlite3_backup_finish(copy) == SQLITE_OK ? STATUS_OK : sql_failed(&s->q, e);
}

static void remove_private(arena *a, const char *file) {
    unlink(file);
    unlink(arena_printf(a, "%s-journal", file));
}

status store_rebuild(store *s, const char *journal_folder, long *n_runs, long *n_written,
                     error *e) {
    arena *a = arena_new();
    const char *file = arena_printf(a, "%s.rebuild", s->q.path);
    char why[256];
    *n_runs = *n_written = 0;
    remove_private(a, file); /* of a rebuild that was killed */
    store *fresh = NULL;
    if (!write_missing(s, journal_folder, n_written, e) &&
        !store_experiments_save(s, journal_folder, NULL, false, e))
        fresh = store_open_private(file, s->q.path, why, e);
    error wrong = {0};
    if (fresh) store_bench_save(s, journal_folder, &wrong);
    if (fresh && (wrong.code || store_import_all(fresh, journal_folder, n_runs, &wrong))) {
        store_import_all(s, journal_folder, n_runs, e);
        error_join(e, &wrong);
    } else if (fresh && !refuse_cut_journals(s, fresh, journal_folder, e)) {
        copy_over(s, fresh, e);
    }
    store_close(fresh);
    remove_private(a, file);
    arena_free(a);
    return e->code;
}
