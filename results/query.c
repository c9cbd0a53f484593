/* query.c - what may be asked, and the presets; see query.h. Printing is query_print.c. */
#include "query.h"

#include "kernels/core/arena.h"
#include "show.h"
#include "store_own.h"

#include <ctype.h>

const query_preset query_preset_table[] = {
    {"runs", NULL, "every run: where it stands, its size and its time",
     "SELECT substr(run, 1, 12) AS run, task, mixer, seed, state, step, params, wall_s, attempts, "
     "message FROM v_runs ORDER BY task, mixer, seed, run"},
    {"final", NULL, "every final value of every run",
     "SELECT substr(run, 1, 12) AS run, task, mixer, seed, split, slice, name, "
     "ifnull(value, flag) AS value "
     "FROM v_final ORDER BY task, mixer, seed, run, split, slice, name"},
    {"leaderboard", NULL, "test values averaged over seeds, best first within a name",
     "SELECT experiment, variant, slice, name, round(mean, 6) AS mean, round(min, 6) AS min, "
     "round(max, 6) AS max, n, runs, failed FROM v_by_seed WHERE split = 'test' "
     "ORDER BY experiment, name, slice, v_by_seed.mean * iif(name LIKE '%loss%' OR "
     "name LIKE '%perplexity%' OR name LIKE '%per_byte%', 1, -1), position"},
    {"failed", NULL, "runs that failed, diverged or timed out, and why",
     "SELECT substr(run, 1, 12) AS run, task, mixer, seed, state, step, exit_code, signal, "
     "attempts, message FROM v_runs WHERE state IN ('failed', 'diverged', 'timeout') "
     "ORDER BY task, mixer, seed, run"},
    {"seeds", NULL, "how many seeds of each variant are done",
     "SELECT experiment, variant, count(*) AS runs, sum(state = 'done') AS done, "
     "sum(state IN ('failed', 'diverged', 'timeout')) AS failed, "
     "sum(state NOT IN ('done', 'failed', 'diverged', 'timeout')) AS open, "
     "round(sum(wall_s), 1) AS wall_s FROM cell JOIN run ON run.id = cell.run "
     "GROUP BY experiment, variant ORDER BY experiment, min(position)"},
    {"metrics", "RUN", "the curves of one run, or without RUN the last point of every curve",
     "SELECT substr(run, 1, 12) AS run, split, slice, name, step, ifnull(value, flag) AS value "
     "FROM (SELECT run, split, slice, name, step, value, flag FROM series AS s CROSS JOIN point "
     "      ON series = s.number AND step = (SELECT max(step) FROM point WHERE series = s.number) "
     "      WHERE ?1 IS NULL UNION ALL "
     "      SELECT run, split, slice, name, step, value, flag FROM series AS s CROSS JOIN point "
     "      ON series = s.number WHERE run >= ?1 AND run < ?1 || 'z') ORDER BY run, split, slice, "
     "name, step"},
};
const int n_query_preset = (int)(sizeof query_preset_table / sizeof *query_preset_table);

const query_preset *query_preset_find(const char *name) {
    for (int i = 0; i < n_query_preset; i++)
        if (strcmp(query_preset_table[i].name, name) == 0) return &query_preset_table[i];
    return NULL;
}

/* ---- what may be asked -----------------------------------------------------------------------*/

/* SQLite asks this for every action of a statement while it prepares it. */
static int allow(void *user, int action, const char *first, const char *second, const char *schema,
                 const char *trigger) {
    (void)user, (void)schema, (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION: return strcmp(second, "load_extension") ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_PRAGMA:
        return strcmp(first, "table_info") && strcmp(first, "table_xinfo") &&
                       strcmp(first, "table_list")
                   ? SQLITE_DENY
                   : SQLITE_OK;
    /* How SQLite declares json_each() and its like to itself. A statement that does it for real is
     * refused as not read-only. */
    case SQLITE_CREATE_TABLE: return SQLITE_OK;
    case SQLITE_INSERT:
    case SQLITE_UPDATE: return strcmp(first, "sqlite_master") ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
    }
}

/* Only blanks, semicolons and comments? */
static bool is_blank(const char *text) {
    while (*text) {
        if (isspace((unsigned char)*text) || *text == ';')
            text++;
        else if (strncmp(text, "--", 2) == 0)
            text += strcspn(text, "\n");
        else if (strncmp(text, "/*", 2) == 0) {
            const char *end = strstr(text + 2, "*/");
            text = end ? end + 2 : text + strlen(text);
        } else
            return false;
    }
    return true;
}

static void not_a_query(const char *what, const char *why, error *e) {
    error_set(e, STATUS_USAGE,
              "`%s` was refused (%s): a query is one SELECT, WITH, VALUES, EXPLAIN or PRAGMA "
              "table_info(TABLE) and cannot change anything.",
              what, why);
}

static char *preset_names(arena *a) {
    char *names = arena_text(a, query_preset_table[0].name);
    for (int i = 1; i < n_query_preset; i++)
        names = arena_printf(a, "%s, %s", names, query_preset_table[i].name);
    return names;
}

/* "run, metric, ...": helps with a name that does not exist. */
static char *table_names(arena *a, sqlite3 *db) {
    char *names = arena_text(a, "");
    sqlite3_stmt *row = NULL;
    sqlite3_prepare_v2(db,
                       "SELECT group_concat(name, ', ') FROM (SELECT name FROM sqlite_master WHERE "
                       "type IN ('table', 'view') AND name NOT LIKE 'sqlite%' ORDER BY name)",
                       -1, &row, NULL);
    if (row && sqlite3_step(row) == SQLITE_ROW) names = arena_text(a, sql_text(row, 0));
    sqlite3_finalize(row);
    return names;
}

static status refused(sqlite3 *db, const char *what, error *e) {
    arena *a = arena_new();
    const char *why = arena_text(a, sqlite3_errmsg(db));
    if (sqlite3_errcode(db) == SQLITE_AUTH)
        not_a_query(what, why, e);
    else if (!strpbrk(what, " \t\n(;"))
        error_set(e, STATUS_USAGE, "there is no preset `%s`; there are %s, or give a SELECT.", what,
                  preset_names(a));
    else if (strstr(why, "no such table"))
        error_set(e, STATUS_USAGE, "%s; there are the tables and views %s.", why,
                  table_names(a, db));
    else if (strstr(why, "no such column"))
        error_set(e, STATUS_USAGE, "%s; `PRAGMA table_info(TABLE)` lists the columns of a table.",
                  why);
    else
        error_set(e, STATUS_USAGE, "SQLite could not read `%s`: %s.", what, why);
    arena_free(a);
    return e->code;
}

static sqlite3_stmt *prepare(sql *s, const char *what, const char *select, error *e) {
    sqlite3_stmt *statement = NULL;
    const char *rest = "";
    sqlite3_set_authorizer(s->db, allow, NULL);
    if (sqlite3_prepare_v2(s->db, select, -1, &statement, &rest))
        refused(s->db, what, e);
    else if (!statement)
        error_set(e, STATUS_USAGE, "the query is empty; give one SELECT or the name of a preset.");
    else if (!is_blank(rest))
        error_set(e, STATUS_USAGE, "there is more than one statement in `%s`; give one.", what);
    else if (!sqlite3_stmt_readonly(statement) || sqlite3_column_count(statement) == 0)
        not_a_query(what, "it returns no rows", e);
    return statement;
}

status query_run(const char *db_path, const char *what, const char *argument, query_format format,
                 FILE *out, error *e) {
    const query_preset *preset = query_preset_find(what);
    if (argument && !(preset && preset->argument))
        return error_set(e, STATUS_USAGE, "`%s` takes no argument, but was given `%s`.", what,
                         argument);
    store *s = store_open_readonly(db_path, e);
    if (!s) return e->code;
    char run[128];
    sqlite3_stmt *statement = NULL;
    if (!argument || !run_find(run, s, argument, e)) /* all that presets ask for is a run */
        statement = prepare(&s->q, what, preset ? preset->select : what, e);
    if (!e->code && argument) sqlite3_bind_text(statement, 1, run, -1, SQLITE_STATIC);
    if (!e->code) {
        error rows = {0};
        if (query_print(&s->q, statement, format, out, &rows)) {
            /* Found only while it ran: a number too large, JSON that is none, a hidden PRAGMA. */
            int code = sqlite3_errcode(s->q.db) & 0xff;
            bool asked = code == SQLITE_ERROR || code == SQLITE_AUTH;
            error_set(e, asked ? STATUS_USAGE : rows.code, "%s", rows.text);
        }
    }
    sqlite3_finalize(statement);
    store_close(s);
    return e->code;
}
