/* sql.c - see sql.h. */
#include "sql.h"

#include <math.h>

status sql_failed(sql *s, error *e) {
    const char *why = sqlite3_errmsg(s->db);
    int system_error = sqlite3_system_errno(s->db);
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_FULL:
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be written: the disk is full; make room, nothing is lost: the "
                         "journals are read again.",
                         s->path);
    case SQLITE_IOERR:
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be read or written (%s%s%s): look at the disk's free space, "
                         "quota and health.",
                         s->path, why, system_error ? ", " : "",
                         system_error ? strerror(system_error) : "");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s stayed locked by another program for 10 seconds; close it, or use "
                         "another --db.",
                         s->path);
    case SQLITE_READONLY:
        if (sqlite3_extended_errcode(s->db) == SQLITE_READONLY_ROLLBACK)
            return error_set(e, STATUS_ENVIRONMENT,
                             "%s was not closed in order; `mixgrid rebuild --db %s` brings it in "
                             "order, nothing is lost.",
                             s->path, s->path);
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be written: the file or its folder is read-only; use --db with "
                         "a place you may write to.",
                         s->path);
    case SQLITE_CANTOPEN:
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s cannot be opened (%s): look at the permissions of the file and of its "
                         "folder.",
                         s->path, why);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(e, STATUS_ENVIRONMENT,
                         "%s is damaged (%s); `mixgrid rebuild` makes it again from the journals.",
                         s->path, why);
    case SQLITE_NOMEM:
        return error_set(e, STATUS_ENVIRONMENT, "out of memory while working on %s.", s->path);
    default: return error_set(e, STATUS_ENVIRONMENT, "%s refused a statement: %s.", s->path, why);
    }
}

static sqlite3_stmt *find_or_prepare(sql *s, const char *text, error *e) {
    for (int i = 0; i < s->n; i++)
        if (s->kept[i].text == text) return s->kept[i].statement;
    CHECK(s->n < SQL_KEPT);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL)) {
        sql_failed(s, e);
        return NULL;
    }
    s->kept[s->n++] = (struct sql_kept){text, statement};
    return statement;
}

/* Values live until the statement has run: no copies. */
static sqlite3_stmt *bind_list(sql *s, error *e, const char *text, const char *types,
                               va_list args) {
    if (e->code) return NULL;
    sqlite3_stmt *statement = find_or_prepare(s, text, e);
    if (!statement) return NULL;
    sqlite3_reset(statement);
    int failed = 0;
    for (int i = 0; types[i]; i++) {
        if (types[i] == 'i') {
            failed |= sqlite3_bind_int64(statement, i + 1, va_arg(args, long));
        } else if (types[i] == 'd') {
            double value = va_arg(args, double);
            failed |= isfinite(value) ? sqlite3_bind_double(statement, i + 1, value)
                                      : sqlite3_bind_null(statement, i + 1);
        } else {
            const char *value = va_arg(args, const char *);
            if (types[i] == 'x' && value && !*value) value = NULL;
            failed |= sqlite3_bind_text(statement, i + 1, value, -1, SQLITE_STATIC);
        }
    }
    if (!failed) return statement;
    sql_failed(s, e);
    return NULL;
}

sqlite3_stmt *sql_bind(sql *s, error *e, const char *text, const char *types, ...) {
    va_list args;
    va_start(args, types);
    sqlite3_stmt *statement = bind_list(s, e, text, types, args);
    va_end(args);
    return statement;
}

bool sql_row(sql *s, sqlite3_stmt *statement, error *e) {
    if (!statement) return false;
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW) return true;
    if (result != SQLITE_DONE) sql_failed(s, e);
    sqlite3_reset(statement);
    return false;
}

status sql_do(sql *s, error *e, const char *text, const char *types, ...) {
    va_list args;
    va_start(args, types);
    sqlite3_stmt *statement = bind_list(s, e, text, types, args);
    va_end(args);
    while (sql_row(s, statement, e)) continue;
    return e->code;
}

status sql_script(sql *s, const char *script, error *e) {
    if (!e->code && sqlite3_exec(s->db, script, NULL, NULL, NULL)) sql_failed(s, e);
    return e->code;
}

long sql_long(sql *s, error *e, long missing, const char *text, const char *types, ...) {
    va_list args;
    va_start(args, types);
    sqlite3_stmt *statement = bind_list(s, e, text, types, args);
    va_end(args);
    long value = missing;
    if (sql_row(s, statement, e)) value = (long)sqlite3_column_int64(statement, 0);
    if (statement) sqlite3_reset(statement);
    return value;
}

void sql_close(sql *s) {
    for (int i = 0; i < s->n; i++) sqlite3_finalize(s->kept[i].statement);
    s->n = 0;
    sqlite3_close(s->db);
    s->db = NULL;
}

const char *sql_text(sqlite3_stmt *statement, int column) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}
