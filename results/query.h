/* query.h - one SELECT, or a named one, printed. Read-only whatever is asked. */
#pragma once
#include "jsontext.h"
#include "kernels/core/error.h"
#include "sql.h"

typedef enum query_format {
    QUERY_TABLE,    /* aligned columns; numbers to 7 digits, control characters as spaces */
    QUERY_CSV,      /* RFC 4180; NULL is empty, the empty string is "" */
    QUERY_JSON,     /* an array of objects; what is not finite is null */
    QUERY_MARKDOWN, /* a pipe table, as QUERY_TABLE */
    N_QUERY_FORMAT
} query_format;
extern const char *const query_format_name[N_QUERY_FORMAT]; /* "table", "csv", ... */

/* A query with a name. argument: what ?1 stands for, NULL where it takes none. */
typedef struct query_preset {
    const char *name, *argument, *help, *select;
} query_preset;
extern const query_preset query_preset_table[];
extern const int n_query_preset;
const query_preset *query_preset_find(const char *name); /* NULL: no such preset */

/* Runs `what`, SQL or the name of a preset (`argument` may be NULL), and prints all rows on `out`.
 * Anything but a single SELECT, WITH, VALUES, EXPLAIN or PRAGMA table_info is refused. */
status query_run(const char *db_path, const char *what, const char *argument, query_format format,
                 FILE *out, error *e);

/* Prints the rows of a statement that is bound and not yet stepped. */
status query_print(sql *s, sqlite3_stmt *statement, query_format format, FILE *out, error *e);
/* The row a statement stands on, from its column `first` on, as members of a JSON object. */
void query_put_members(jsontext *t, sqlite3_stmt *row, int first);
/* The whole row as one JSON object without a line break. */
void query_print_object(sqlite3_stmt *row, FILE *out);
