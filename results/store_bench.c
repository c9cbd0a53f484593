/* store_bench.c - rows of the table bench and their journal, bench.jsonl; see store.h.
 *
 * All databases beside one journal folder append to the same file, so what it holds is read each
 * time, into tables of this connection, and sets of rows are compared: a row that is on both sides,
 * equal in everything, is one row. Surroundings, some KB each, have a line of their own before the
 * first row that names them. Cost: one pass over a file of about 200 bytes a row. */
#include "journal_read.h"
#include "sha256.h"
#include "store_own.h"

#include <string.h>
#include <unistd.h>

#define COLUMNS "time_s, name, shape, backend, value, unit, environment"

/* ---- what the file holds ---- */

static const char empty_held[] =
    "CREATE TEMP TABLE IF NOT EXISTS held (time_s REAL, name TEXT, shape TEXT, backend TEXT, "
    "value REAL, unit TEXT, environment TEXT);"
    "CREATE TEMP TABLE IF NOT EXISTS held_environment (sha256 TEXT PRIMARY KEY, json TEXT);"
    "DELETE FROM temp.held; DELETE FROM temp.held_environment";

/* What is wrong with the line, NULL: nothing. */
static const char *hold_environment(store *s, json_t *line, const char *text, error *e) {
    const char *digest;
    json_t *environment;
    error refused = {0};
    if (json_unpack(line, "{s:s, s:o}", "sha256", &digest, "environment", &environment))
        return "a field is missing or of a wrong type";
    /* SQLite takes it out, which keeps numbers as they were written; it refuses some that are
     * nested deeply, and does not see keys that are written with escapes. */
    const long is_object =
        sql_long(&s->q, &refused, 0, "SELECT ifnull(json_type(?1, '$.environment') = 'object', 0)",
                 "t", text);
    if (!refused.code && !is_object) return "\"environment\" is no object to SQLite";
    if (refused.code && sqlite3_errcode(s->q.db) == SQLITE_ERROR) return "SQLite cannot read it";
    error_join(e, &refused);
    if (!e->code)
        sql_do(&s->q, e,
               "INSERT OR IGNORE INTO temp.held_environment SELECT ?1, ?2 -> '$.environment'", "tt",
               digest, text);
    return NULL;
}

static const char *hold_row(store *s, json_t *line, error *e) {
    double time_s, value;
    const char *name, *shape, *backend, *unit, *environment;
    if (json_unpack(line, "{s:F, s:s, s:s, s:s, s:F, s:s, s:s}", "time_s", &time_s, "name", &name,
                    "shape", &shape, "backend", &backend, "value", &value, "unit", &unit,
                    "environment", &environment))
        return "a field is missing or of a wrong type";
    sql_do(&s->q, e,
           "INSERT INTO temp.held SELECT ?1, ?2, ?3, ?4, ?5, ?6, sha256 "
           "FROM temp.held_environment WHERE sha256 = ?7",
           "dtttdtt", time_s, name, shape, backend, value, unit, environment);
    return !e->code && !sqlite3_changes(s->q.db) ? "no line before it has its environment" : NULL;
}

/* Lines before a wrong one are held; no file: nothing is. `bad`: a wrong line. */
static status hold(store *s, const char *journal_folder, error *bad, error *e) {
    journal_reader *r;
    const char *text;
    json_t *line;
    sql_script(&s->q, empty_held, e);
    if (e->code || journal_read_open(&r, journal_folder, JOURNAL_BENCH, bad) || !r) return e->code;
    while (!e->code && !bad->code && journal_read_line(r, &text, &line, bad)) {
        const char *type = json_string_value(json_object_get(line, "type"));
        const char *wrong = !type                          ? "it has no type"
                            : !strcmp(type, "bench")       ? hold_row(s, line, e)
                            : !strcmp(type, "environment") ? hold_environment(s, line, text, e)
                                                           : "lines of its type are unknown here";
        if (wrong) journal_refuse(bad, journal_read_path(r), journal_read_number(r), false, wrong);
    }
    journal_read_close(r);
    return e->code;
}

/* ---- both ways ---- */

status store_bench_import(store *s, const char *journal_folder, error *e) {
    error bad = {0}, failed = {0};
    sql_do(&s->q, &failed, "BEGIN IMMEDIATE", "");
    if (!failed.code && !hold(s, journal_folder, &bad, &failed))
        sql_do(&s->q, &failed,
               "INSERT OR IGNORE INTO environment SELECT sha256, json FROM temp.held_environment "
               "WHERE sha256 IN (SELECT environment FROM temp.held)",
               "");
    if (!failed.code)
        sql_do(&s->q, &failed,
               "INSERT INTO bench (" COLUMNS ") SELECT " COLUMNS " FROM temp.held "
               "EXCEPT SELECT " COLUMNS " FROM main.bench ORDER BY 1, 2, 3, 4",
               "");
    store_commit(s, &failed);
    error_join(e, &failed);
    return error_join(e, &bad);
}

/* The rows of the database that the file lacks. */
static void append_missing(store *s, journal *j, error *e) {
    char last[SHA256_HEX] = "";
    sqlite3_stmt *row = sql_bind(
        &s->q, e,
        "SELECT x.*, v.json, x.environment IN (SELECT sha256 FROM temp.held_environment) FROM "
        "(SELECT " COLUMNS " FROM main.bench EXCEPT SELECT " COLUMNS " FROM temp.held) AS x "
        "LEFT JOIN environment AS v ON v.sha256 = x.environment ORDER BY 1, 2, 3, 4",
        "");
    while (sql_row(&s->q, row, e)) {
        const char *environment = sql_text(row, 6);
        if (!sqlite3_column_int(row, 8) && strcmp(last, environment) != 0)
            journal_environment(j, environment, sql_text(row, 7));
        snprintf(last, sizeof last, "%s", environment);
        journal_bench(j, sqlite3_column_double(row, 0), sql_text(row, 1), sql_text(row, 2),
                      sql_text(row, 3), sqlite3_column_double(row, 4), sql_text(row, 5),
                      environment);
    }
}

status store_bench_save(store *s, const char *journal_folder, error *e) {
    error failed = {0}, unclosed = {0};
    journal *j = NULL;
    /* opened first: nobody appends between reading and writing */
    if (sql_long(&s->q, &failed, 0, "SELECT count(*) FROM main.bench", "") > 0)
        j = journal_open_shared(journal_folder, JOURNAL_BENCH, &failed);
    if (j && !hold(s, journal_folder, &failed, &failed) && !failed.code)
        append_missing(s, j, &failed);
    journal_close(j, &unclosed);
    error_join(&failed, &unclosed);
    return error_join(e, &failed);
}

status store_bench_add(store *s, const char *journal_folder, const store_bench *row, error *e) {
    char environment[SHA256_HEX];
    sha256_bytes(environment, row->environment_json, strlen(row->environment_json));
    sql_do(&s->q, e, "BEGIN IMMEDIATE", "");
    if (!e->code)
        sql_do(&s->q, e, "INSERT OR IGNORE INTO environment (sha256, json) VALUES (?1, ?2)", "tt",
               environment, row->environment_json);
    if (!e->code)
        sql_do(&s->q, e, "INSERT INTO bench (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
               "dtttdtt", row->time_s, row->name, row->shape, row->backend, row->value, row->unit,
               environment);
    if (!e->code) store_bench_save(s, journal_folder, e);
    return store_commit(s, e);
}
