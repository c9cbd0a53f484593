/* store.c - opening the database, experiments, and the scheduler's words; see store.h.
 * Journals come in through store_import.c. */
#include "store_own.h"

#include "clock.h"
#include "experiment_file.h"
#include "schema_sql.h"
#include "store_place.h"

#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 1835628647, SCHEMA_VERSION = 2, BUSY_MS = 10000, LOG_TAIL_BYTES = 4096 };

/* ---- opening ---------------------------------------------------------------------------------*/

static store *store_new(const char *path) {
    arena *a = arena_new();
    store *s = ARENA_NEW(a, store, 1);
    *s = (store){.arena = a, .q.path = arena_text(a, path), .lock = -1};
    return s;
}

static status connect(store *s, int flags, error *e) {
    if (sqlite3_open_v2(s->q.path, &s->q.db, flags, NULL)) return sql_failed(&s->q, e);
    sqlite3_extended_result_codes(s->q.db, 1);
    sqlite3_busy_timeout(s->q.db, BUSY_MS);
    return sql_script(&s->q, "PRAGMA foreign_keys = ON", e);
}

static long pragma_long(store *s, const char *pragma, error *e) {
    return sql_long(&s->q, e, 0, pragma, "");
}

/* Is this file ours, and of a version we know? Its version is 0 where it is an SQLite file without
 * anything in it. */
static status check_identity(store *s, long *schema_version, error *e) {
    long id = pragma_long(s, "PRAGMA application_id", e);
    long version = pragma_long(s, "PRAGMA user_version", e);
    long n_tables = sql_long(&s->q, e, 0, "SELECT count(*) FROM sqlite_master", "");
    if (e->code) return e->code;
    /* KiB at most, for pages that were read: with the default 2 MiB, checking and looking through
     * the runs of a large sweep reads the file six times */
    sql_script(&s->q, "PRAGMA cache_size = -262144", e);
    *schema_version = version;
    const bool is_new = id == 0 && version == 0 && n_tables == 0;
    if (!is_new && id != APPLICATION_ID)
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s is an SQLite database of another program and was left alone; use "
                         "another --db.",
                         s->q.path);
    if (version > SCHEMA_VERSION)
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s has schema version %ld, this mixgrid knows %d; update mixgrid or use "
                         "another --db.",
                         s->q.path, version, SCHEMA_VERSION);
    return STATUS_OK;
}

/* Fills `why` when the pages of the file contradict each other. */
static bool is_damaged(store *s, char why[256]) {
    error e = {0};
    bool damaged = false;
    long version;
    check_identity(s, &version, &e);
    int code = sqlite3_errcode(s->q.db) & 0xff;
    if (!e.code) {
        sqlite3_stmt *check = sql_bind(&s->q, &e, "PRAGMA quick_check(1)", "");
        if (sql_row(&s->q, check, &e) && strcmp(sql_text(check, 0), "ok") != 0) {
            damaged = true;
            snprintf(why, 256, "%s", sql_text(check, 0));
            for (char *c = why; *c; c++)
                if (*c == '\n') *c = ' ';
        }
        code = sqlite3_errcode(s->q.db) & 0xff;
        if (check) sqlite3_reset(check);
    }
    if (e.code && (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)) {
        damaged = true;
        snprintf(why, 256, "%s", sqlite3_errmsg(s->q.db));
    }
    return damaged;
}

/* WAL lets readers read while we write, but needs memory shared between all of them, which a
 * network file system does not give. */
static status set_journal_mode(store *s, error *e) {
    const char *remote = place_remote(s->q.path);
    if (!remote)
        return sql_script(&s->q, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL", e);
    static bool said;
    if (!said)
        fprintf(stderr,
                "mixgrid: %s lies on a network file system (%s): SQLite's write-ahead log is "
                "unsafe there and is not used; readers may wait while results are written.\n",
                s->q.path, remote);
    said = true;
    return sql_script(&s->q,
                      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE;"
                      "PRAGMA locking_mode = NORMAL; PRAGMA synchronous = FULL",
                      e);
}

static status create_schema(store *s, error *e) {
    sql_script(&s->q, "BEGIN IMMEDIATE", e);
    if (!e->code) sql_script(&s->q, schema_sql, e);
    return store_commit(s, e);
}

/* Version 2 tells the flops of forward apart, which were a third of all. */
static status upgrade_schema(store *s, error *e) {
    const char *view = strstr(schema_sql, "CREATE VIEW v_runs");
    CHECK(view);
    sql_script(&s->q,
               "BEGIN IMMEDIATE; DROP VIEW v_runs;"
               "ALTER TABLE run ADD COLUMN forward_flops_per_token REAL;"
               "UPDATE run SET forward_flops_per_token = flops_per_token / 3;"
               "PRAGMA user_version = 2",
               e);
    if (!e->code)
        sql_script(&s->q, arena_printf(s->arena, "%.*s", (int)strcspn(view, ";"), view), e);
    return store_commit(s, e);
}

static status open_checked(store *s, bool *needs_rebuild, error *e) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    char why[256];
    long version;
    if (connect(s, flags, e) != STATUS_OK) return e->code;
    if (is_damaged(s, why)) {
        sql_close(&s->q);
        if (place_move_aside(s->q.path, why, e) || connect(s, flags, e)) return e->code;
        *needs_rebuild = true;
    }
    if (check_identity(s, &version, e) || set_journal_mode(s, e)) return e->code;
    if (version == 0) return create_schema(s, e);
    return version < SCHEMA_VERSION ? upgrade_schema(s, e) : STATUS_OK;
}

store *store_open(const char *path, bool *needs_rebuild, error *e) {
    *needs_rebuild = false;
    store *s = store_new(path);
    s->lock = place_check(path, e) ? -1 : place_lock(path, e);
    if (s->lock >= 0 && open_checked(s, needs_rebuild, e) == STATUS_OK) return s;
    if (s->q.db) sql_close(&s->q);
    place_unlock(s->lock, path);
    arena_free(s->arena);
    return NULL;
}

store *store_open_private(const char *file, const char *known_as, char why[256], error *e) {
    long version = 0;
    store *s = store_new(file);
    why[0] = '\0';
    connect(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, e);
    bool damaged = !e->code && is_damaged(s, why);
    s->q.path = arena_text(s->arena, known_as);
    if (!damaged && !e->code && !check_identity(s, &version, e))
        sql_script(&s->q, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF", e);
    if (!damaged && !e->code && version == 0) create_schema(s, e);
    if (!damaged && !e->code && version && version < SCHEMA_VERSION) upgrade_schema(s, e);
    if (!damaged && !e->code) return s;
    store_close(s);
    return NULL;
}

store *store_open_readonly(const char *path, error *e) {
    store *s = store_new(path);
    long version = 0;
    if (access(path, F_OK) != 0)
        error_set(e, STATUS_ENVIRONMENT,
                  "there is no results database %s; `mixgrid run FILE` creates it, --db names "
                  "another.",
                  path);
    else if (!place_check(path, e) && !connect(s, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, e) &&
             !check_identity(s, &version, e)) {
        if (version == 0)
            error_set(e, STATUS_ENVIRONMENT,
                      "%s is empty: no run has been written yet; `mixgrid run FILE` does.", path);
        else if (version < SCHEMA_VERSION)
            error_set(e, STATUS_ENVIRONMENT,
                      "%s has schema version %ld of an older mixgrid; `mixgrid rebuild` brings it "
                      "to %d.",
                      path, version, SCHEMA_VERSION);
    }
    if (!e->code) return s;
    if (s->q.db) sql_close(&s->q);
    arena_free(s->arena);
    return NULL;
}

status store_open_if_any(store **out, const char *path, error *e) {
    struct stat info;
    *out = NULL;
    if (stat(path, &info) || (S_ISREG(info.st_mode) && !info.st_size)) return STATUS_OK;
    *out = store_open_readonly(path, e);
    return e->code;
}

status store_fold(store *s, error *e) {
    sqlite3_busy_timeout(s->q.db, 0);
    const int failed =
        sqlite3_exec(s->q.db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) & 0xff;
    if (!failed || failed == SQLITE_BUSY || failed == SQLITE_LOCKED) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "%s could not be closed in order: %s; nothing is lost, give the same command "
                     "again when the disk is well.",
                     s->q.path, sqlite3_errmsg(s->q.db));
}

void store_close(store *s) {
    if (!s) return;
    error ignored = {0};
    if (s->lock >= 0) store_fold(s, &ignored);
    sql_close(&s->q);
    place_unlock(s->lock, s->q.path);
    arena_free(s->arena);
}

sqlite3 *store_handle(store *s) { return s->q.db; }

void store_detach(store *s) {
    if (s->lock >= 0) close(s->lock);
    s->lock = -1;
}

status store_commit(store *s, error *e) {
    if (!e->code) sql_do(&s->q, e, "COMMIT", "");
    if (e->code && !sqlite3_get_autocommit(s->q.db))
        sqlite3_exec(s->q.db, "ROLLBACK", NULL, NULL, NULL);
    return e->code;
}

/* ---- configurations and experiments ----------------------------------------------------------*/

status store_config(store *s, const char *run_id, const char *config_json, error *e) {
    sql_do(&s->q, e, "INSERT OR IGNORE INTO run (id, config) VALUES (?1, json(?2))", "tt", run_id,
           config_json);
    if (e->code || sqlite3_changes(s->q.db) == 0) return e->code;
    /* -> keeps the digits of a number as they were written. */
    sql_do(&s->q, e,
           "INSERT INTO run_param (run, key, number, text) "
           "SELECT run.id, key, CASE WHEN type IN ('integer', 'real', 'true', 'false')"
           "                         THEN CAST(value AS REAL) END,"
           "       CASE type WHEN 'text' THEN value WHEN 'null' THEN NULL"
           "                 ELSE run.config -> fullkey END "
           "FROM run, json_each(run.config) WHERE run.id = ?1",
           "t", run_id);
    return sql_do(
        &s->q, e,
        "WITH p AS (SELECT key, text, number FROM run_param WHERE run = ?1) "
        "UPDATE run SET "
        "task = (SELECT text FROM p WHERE key IN ('task.name', 'task') ORDER BY key DESC LIMIT 1),"
        "mixer = (SELECT text FROM p WHERE key IN ('model.mixer', 'mixer') ORDER BY key DESC"
        "         LIMIT 1),"
        "seed = (SELECT CAST(text AS INTEGER) FROM p WHERE key IN ('train.seed', 'seed')"
        "        AND number IS NOT NULL ORDER BY key DESC LIMIT 1) "
        "WHERE id = ?1",
        "t", run_id);
}

/* Is this experiment in the database already, cell by cell? Their configurations follow from the
 * run ids. */
static bool is_known(store *s, const char *name, const char *file, const char *spec_json,
                     const store_cell *cells, int n, error *e) {
    if (!sql_long(&s->q, e, 0,
                  "SELECT count(*) FROM experiment WHERE name = ?1 AND file = ?2 AND "
                  "spec = json(?3)",
                  "ttt", name, file, spec_json) ||
        sql_long(&s->q, e, 0, "SELECT count(*) FROM cell WHERE experiment = ?1", "t", name) != n)
        return false;
    sqlite3_stmt *row = sql_bind(
        &s->q, e, "SELECT run, label, axes FROM cell WHERE experiment = ?1 ORDER BY position", "t",
        name);
    bool same = true;
    for (int i = 0; same && sql_row(&s->q, row, e); i++)
        same = !strcmp(sql_text(row, 0), cells[i].run_id) &&
               !strcmp(sql_text(row, 1), cells[i].label) &&
               !strcmp(sql_text(row, 2), cells[i].axes_json);
    if (row) sqlite3_reset(row);
    return same && !e->code;
}

status store_experiment(store *s, const char *name, const char *file, const char *spec_json,
                        const store_cell *cells, int n, const char *journal_folder, error *e) {
    const bool known = is_known(s, name, file, spec_json, cells, n, e);
    if (known && journal_folder) return store_experiments_save(s, journal_folder, name, true, e);
    if (known || e->code) return e->code;
    sql_do(&s->q, e, "BEGIN IMMEDIATE", "");
    if (!e->code)
        sql_do(&s->q, e,
               "INSERT INTO experiment (name, file, spec) VALUES (?1, ?2, json(?3)) "
               "ON CONFLICT (name) DO UPDATE SET file = excluded.file, spec = excluded.spec",
               "ttt", name, file, spec_json);
    if (!e->code) sql_do(&s->q, e, "DELETE FROM cell WHERE experiment = ?1", "t", name);
    for (int i = 0; i < n && !e->code; i++) {
        const store_cell *c = &cells[i];
        if (store_config(s, c->run_id, c->config_json, e) == STATUS_OK)
            sql_do(&s->q, e,
                   "INSERT INTO cell (experiment, position, run, label, axes, variant) "
                   "VALUES (?1, ?2, ?3, ?4, json(?5),"
                   " json_remove(?5, '$.seed', '$.\"train.seed\"'))",
                   "tittt", name, (long)i, c->run_id, c->label, c->axes_json);
    }
    /* Now: a file that is older than the database would be believed by a rebuild. */
    if (!e->code && journal_folder) store_experiments_save(s, journal_folder, name, true, e);
    return store_commit(s, e);
}

/* ---- the scheduler's words -------------------------------------------------------------------*/

status store_run_get(store *s, const char *run_id, store_run *out, error *e) {
    *out = (store_run){.state = RUN_PENDING};
    sqlite3_stmt *row = sql_bind(
        &s->q, e, "SELECT state, attempts, wall_s, message FROM run WHERE id = ?1", "t", run_id);
    if (!sql_row(&s->q, row, e)) return e->code;
    while (out->state < N_RUN_STATE - 1 &&
           strcmp(run_state_name[out->state], sql_text(row, 0)) != 0)
        out->state++;
    out->attempts = (long)sqlite3_column_int64(row, 1);
    out->wall_s = sqlite3_column_double(row, 2);
    snprintf(out->message, sizeof out->message, "%s", sql_text(row, 3));
    sqlite3_reset(row);
    return STATUS_OK;
}

status store_run_fail(store *s, const char *journal_folder, const char *run_id,
                      const char *config_json, run_state state, int exit_code, int signal_number,
                      const char *message, const char *log_tail, error *e) {
    if (store_import(s, journal_folder, run_id, e) != STATUS_OK) return e->code;
    long attempt = sql_long(&s->q, e, 1,
                            "SELECT number + (state <> 'running') FROM attempt WHERE run = ?1 "
                            "ORDER BY number DESC LIMIT 1",
                            "t", run_id);
    journal *j = e->code ? NULL : journal_open(journal_folder, run_id, e);
    if (!j) return e->code;
    size_t length = log_tail ? strlen(log_tail) : 0;
    const char *tail = length > LOG_TAIL_BYTES ? log_tail + length - LOG_TAIL_BYTES : log_tail;
    journal_verdict(j, run_id, config_json, attempt, state, exit_code, signal_number, message,
                    tail);
    if (journal_close(j, e) != STATUS_OK) return e->code;
    return store_import(s, journal_folder, run_id, e);
}
