/* sql.h - SQLite with one line per statement and one sentence per failure.
 *
 * A statement is prepared once and kept, found again by the address of its text: pass string
 * literals only. Values are bound by letters: t text (const char *, NULL is NULL), i integer
 * (long), d real (double; what is not finite is bound as NULL), x text, or NULL where it is "". */
#pragma once
#include "kernels/core/error.h"

#include <sqlite3.h>

enum { SQL_KEPT = 128 };

typedef struct sql {
    sqlite3 *db;
    const char *path; /* for messages */
    int n;
    struct sql_kept {
        const char *text;
        sqlite3_stmt *statement;
    } kept[SQL_KEPT];
} sql;

/* Where `e` holds an error already, none of these runs anything: SQLite may have taken the whole
 * transaction back by itself, and what came behind would be written alone. */
/* Binds and returns the statement, reset; NULL with an error. */
sqlite3_stmt *sql_bind(sql *s, error *e, const char *text, const char *types, ...);
/* Next row: true; false at the end or on an error. Resets the statement when it returns false. */
bool sql_row(sql *s, sqlite3_stmt *statement, error *e);
/* Binds and runs a statement that returns no rows. */
status sql_do(sql *s, error *e, const char *text, const char *types, ...);
/* Runs a script of statements that take no values. */
status sql_script(sql *s, const char *script, error *e);
/* The first column of the first row as an integer; `missing` without a row. */
long sql_long(sql *s, error *e, long missing, const char *text, const char *types, ...);
/* Turns the last failure of the connection into a sentence. */
status sql_failed(sql *s, error *e);
void sql_close(sql *s); /* finalizes everything and closes the connection */

/* Text of a column, "" for NULL; valid until the next step. */
const char *sql_text(sqlite3_stmt *statement, int column);
