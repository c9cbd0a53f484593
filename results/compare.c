/* compare.c - see compare.h.
 *
 * The second database is attached to the connection of the first as `b` (read-only as well), so
 * that each comparison is one query. Numbers are compared as stored, which is to the bit. Of the
 * surroundings, those of the last attempt that has any are compared. Does not align curves that
 * were logged at other steps: a point that only one has is a difference. */
#include "compare_own.h"
#include "jsontext.h"
#include "query.h"
#include "show.h"

#include <assert.h>

/* ---- queries: ?1 and ?2 are the runs; ?3: numbers as text with all their digits ---- */

#define DIGITS(value, flag)                                                                        \
    "CASE WHEN " value " IS NULL THEN " flag " WHEN ?3 THEN digits(" value ") ELSE " value " END"

/* The latest surroundings of a run in the database `schema`. */
#define SURROUNDINGS(schema, run)                                                                  \
    "(SELECT key, value FROM " schema ".environment AS v, json_each(v.json) WHERE v.sha256 = "     \
    "(SELECT environment FROM " schema ".attempt WHERE run = " run " AND environment IS NOT NULL " \
    "ORDER BY number DESC LIMIT 1))"
#define CODE_KEYS                                                                                  \
    "('version', 'commit', 'dirty', 'diff_sha256', 'binary_sha256', 'compiler', 'flags')"
/* The text of the diff and its size are compared by its hash. */
#define SURROUNDINGS_THAT(condition)                                                               \
    "WITH x AS MATERIALIZED " SURROUNDINGS("main", "?1") ", y AS MATERIALIZED " SURROUNDINGS(      \
        "b", "?2") " SELECT key, x.value AS a, y.value AS b "                                      \
                   "FROM (SELECT key FROM x UNION SELECT key FROM y) LEFT JOIN x USING (key) "     \
                   "LEFT JOIN y "                                                                  \
                   "USING (key) WHERE x.value IS NOT y.value AND key NOT IN ('diff', "             \
                   "'diff_bytes') AND key " condition " AND ?3 IS NOT NULL ORDER BY key"

/* Rows of `table` in one database that the other has not, in both directions. */
#define UNMATCHED(what, table, condition)                                                          \
    "SELECT " what " FROM main." table                                                             \
    " AS r WHERE run = ?1 AND NOT EXISTS (SELECT 1 FROM b." table                                  \
    " AS o WHERE o.run = ?2 AND " condition ") UNION SELECT " what " FROM b." table                \
    " AS r WHERE run = ?2 AND NOT EXISTS (SELECT 1 FROM main." table                               \
    " AS o WHERE o.run = ?1 AND " condition ")"
#define SAME_VALUE                                                                                 \
    "o.split = r.split AND o.slice = r.slice AND o.name = r.name AND o.value IS r.value AND "      \
    "o.flag IS r.flag"

static const struct section {
    const char *name, *title, *unit, *query;
} section[] = {
    {"config", "Configuration", "settings",
     "SELECT k.key, x.text AS a, y.text AS b FROM (SELECT key FROM main.run_param WHERE run = ?1 "
     "UNION SELECT key FROM b.run_param WHERE run = ?2) AS k "
     "LEFT JOIN main.run_param AS x ON x.run = ?1 AND x.key = k.key "
     "LEFT JOIN b.run_param AS y ON y.run = ?2 AND y.key = k.key "
     "WHERE x.text IS NOT y.text AND ?3 IS NOT NULL ORDER BY k.key"},
    {"code", "Code", "entries", SURROUNDINGS_THAT("IN " CODE_KEYS)},
    {"environment", "Environment", "entries", SURROUNDINGS_THAT("NOT IN " CODE_KEYS)},
    {"state", "State", "entries",
     "SELECT 'state' AS key, x.state AS a, y.state AS b FROM main.run AS x JOIN b.run AS y "
     "WHERE x.id = ?1 AND y.id = ?2 AND ?3 IS NOT NULL AND x.state <> y.state"},
    {"final", "Final values", "values",
     "SELECT split, slice, name, " DIGITS("x.value", "x.flag") " AS a, " DIGITS(
         "y.value", "y.flag") " AS b, x.value - y.value AS difference FROM "
                              "(" UNMATCHED("split, slice, name", "final",
                                            SAME_VALUE) ") "
                                                        "LEFT JOIN (SELECT * FROM "
                                                        "main.final WHERE run = "
                                                        "?1) AS x USING (split, "
                                                        "slice, name) "
                                                        "LEFT JOIN (SELECT * FROM "
                                                        "b.final WHERE run = ?2) "
                                                        "AS y USING (split, slice, "
                                                        "name) "
                                                        "ORDER BY split, slice, "
                                                        "name"},
    {"metrics", "Curves, at the first step that differs", "curves",
     "SELECT d.split, d.slice, d.name, d.step, " DIGITS("x.value", "x.flag") " AS a, " DIGITS(
         "y.value", "y.flag") " AS b FROM (SELECT split, slice, name, min(step) AS step FROM "
                              "(" UNMATCHED("split, slice, name, step", "metric",
                                            SAME_VALUE
                                            " AND o.step = r.step") ") GROUP BY split, slice, "
                                                                    "name) AS d "
                                                                    "LEFT JOIN main.metric AS x ON "
                                                                    "x.run = ?1 AND x.split = "
                                                                    "d.split AND x.slice = d.slice "
                                                                    "AND "
                                                                    "x.name = d.name AND x.step = "
                                                                    "d.step "
                                                                    "LEFT JOIN b.metric AS y ON "
                                                                    "y.run = ?2 AND y.split = "
                                                                    "d.split AND y.slice = d.slice "
                                                                    "AND "
                                                                    "y.name = d.name AND y.step = "
                                                                    "d.step ORDER BY d.split, "
                                                                    "d.slice, d.name"},
    {"hashes", "Hashes of all parameters, at the first step that differs", "steps",
     "SELECT d.step, x.hash AS a, y.hash AS b FROM (SELECT min(step) AS step FROM (" UNMATCHED(
         "step", "param_hash",
         "o.step = r.step AND o.hash = r.hash") ")) AS d "
                                                "LEFT JOIN main.param_hash AS x ON x.run = ?1 AND "
                                                "x.step = d.step "
                                                "LEFT JOIN b.param_hash AS y ON y.run = ?2 AND "
                                                "y.step = d.step "
                                                "WHERE d.step IS NOT NULL AND ?3 IS NOT NULL"},
};
/* From STATE on they are results. */
enum { CODE = 1, ENVIRONMENT, STATE, FINALS, CURVES, HASHES, N_SECTION };
static_assert(sizeof section / sizeof *section == N_SECTION, "one name per section");

static sqlite3_stmt *rows_of(comparison *c, int i, bool digits, error *e) {
    return sql_bind(&c->a->q, e, section[i].query, "tti", c->run_a, c->run_b, (long)digits);
}

static long count_rows(comparison *c, int i, error *e) {
    sqlite3_stmt *rows = rows_of(c, i, true, e);
    long n = 0;
    while (sql_row(&c->a->q, rows, e)) n++;
    return n;
}

/* ---- opening ---- */

/* SQL: digits(x), the shortest text that reads back as x. SQLite's own has 15 digits, or more that
 * depend on the machine. */
static void digits(sqlite3_context *context, int n, sqlite3_value **value) {
    (void)n;
    char text[32];
    number_shortest(text, sqlite3_value_double(value[0]));
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

comparison *compare_open(const char *db_a, const char *run_a, const char *db_b, const char *run_b,
                         error *e) {
    arena *a = arena_new();
    comparison *c = ARENA_NEW(a, comparison, 1);
    *c = (comparison){.arena = a, .db_a = arena_text(a, db_a), .db_b = arena_text(a, db_b)};
    store *b = store_open_readonly(db_b, e);
    if (b) run_find(c->run_b, b, run_b, e);
    store_close(b);
    if (!e->code) c->a = store_open_readonly(db_a, e);
    if (c->a && !run_find(c->run_a, c->a, run_a, e))
        sql_do(&c->a->q, e, "ATTACH ?1 AS b", "t", db_b);
    if (!e->code &&
        sqlite3_create_function(c->a->q.db, "digits", 1, SQLITE_UTF8, NULL, digits, NULL, NULL))
        sql_failed(&c->a->q, e);
    if (!e->code) return c;
    compare_close(c);
    return NULL;
}

void compare_close(comparison *c) {
    if (!c) return;
    store_close(c->a);
    arena_free(c->arena);
}

/* ---- answers ---- */

/* Final values, points and parameter hashes of the first run. */
static void count_results(comparison *c, long n[3], error *e) {
    n[0] =
        sql_long(&c->a->q, e, 0, "SELECT count(*) FROM main.final WHERE run = ?1", "t", c->run_a);
    n[1] =
        sql_long(&c->a->q, e, 0, "SELECT count(*) FROM main.metric WHERE run = ?1", "t", c->run_a);
    n[2] = sql_long(&c->a->q, e, 0, "SELECT count(*) FROM main.param_hash WHERE run = ?1", "t",
                    c->run_a);
}

status compare_results(bool *equal, comparison *c, error *e) {
    long n[3];
    *equal = true;
    for (int i = STATE; i < N_SECTION && *equal && !e->code; i++) *equal = count_rows(c, i, e) == 0;
    count_results(c, n, e);
    if (!e->code && *equal && n[0] + n[1] + n[2] == 0)
        error_set(e, STATUS_RUNS_FAILED,
                  "neither run has any result yet, so there is nothing to compare; `mixgrid run "
                  "FILE` trains them.");
    return e->code;
}

static void print_head(comparison *c, FILE *out, error *e) {
    const char *const db[] = {c->db_a, c->db_b};
    sqlite3_stmt *row = sql_bind(&c->a->q, e,
                                 "SELECT state, attempts FROM main.run WHERE id = ?1 UNION ALL "
                                 "SELECT state, attempts FROM b.run WHERE id = ?2",
                                 "tt", c->run_a, c->run_b);
    for (int i = 0; sql_row(&c->a->q, row, e); i++)
        fprintf(out, "%s  %s  %s, attempt %s, %s\n", i ? "b" : "a", i ? c->run_b : c->run_a,
                sql_text(row, 0), sql_text(row, 1), db[i]);
}

static void print_text(comparison *c, bool equal, FILE *out, error *e) {
    print_head(c, out, e);
    if (strcmp(c->run_a, c->run_b) == 0 && strcmp(c->db_a, c->db_b) == 0)
        fprintf(out, "Both are the same run of the same database.\n");
    for (int i = 0; i < N_SECTION && !e->code; i++) {
        long n = count_rows(c, i, e);
        if (i < STATE && n == 0) fprintf(out, "%s: no difference\n", section[i].title);
        if (n == 0) continue;
        fprintf(out, "\n%s: %ld %s differ\n", section[i].title, n, section[i].unit);
        query_print(&c->a->q, rows_of(c, i, true, e), QUERY_TABLE, out, e);
    }
    long n[3];
    count_results(c, n, e);
    if (equal)
        fprintf(out,
                "Results: equal to the bit: %ld final values, %ld points, %ld hashes of all "
                "parameters\n",
                n[0], n[1], n[2]);
    else
        fprintf(out, "\nResults: they differ\n");
}

static void print_json(comparison *c, bool equal, FILE *out, error *e) {
    jsontext t = {.arena = c->arena};
    jsontext_put(&t, "{\"a\":{\"db\":");
    jsontext_string(&t, c->db_a);
    jsontext_printf(&t, ",\"run\":\"%s\"},\"b\":{\"db\":", c->run_a);
    jsontext_string(&t, c->db_b);
    jsontext_printf(&t, ",\"run\":\"%s\"},\"equal\":%s", c->run_b, equal ? "true" : "false");
    fputs(t.data, out);
    for (int i = 0; i < N_SECTION && !e->code; i++) {
        fprintf(out, ",\"%s\":", section[i].name);
        query_print(&c->a->q, rows_of(c, i, false, e), QUERY_JSON, out, e);
    }
    fputs("}\n", out);
}

status compare_print(comparison *c, bool json, FILE *out, error *e) {
    bool equal;
    if (compare_results(&equal, c, e)) return e->code;
    if (json)
        print_json(c, equal, out, e);
    else
        print_text(c, equal, out, e);
    return e->code;
}

/* Keys of the rows of section i behind `text`. */
static const char *add_keys(comparison *c, int i, arena *a, const char *text, error *e) {
    sqlite3_stmt *rows = rows_of(c, i, true, e);
    while (sql_row(&c->a->q, rows, e))
        text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", sql_text(rows, 0));
    return text;
}

/* "train loss from step 5 (0.5 | 0.25)": the first row of a section of results, NULL without one.
 */
static const char *first_row(comparison *c, int i, arena *a, error *e) {
    sqlite3_stmt *row = rows_of(c, i, true, e);
    const char *text = NULL, *what = "hash of all parameters", *step = "";
    if (!sql_row(&c->a->q, row, e)) return NULL;
    if (i != HASHES)
        what = arena_printf(a, "%s %s%s%s", sql_text(row, 0), sql_text(row, 1),
                            *sql_text(row, 1) ? " " : "", sql_text(row, 2));
    int value = i == HASHES ? 1 : i == CURVES ? 4 : 3; /* column a; b is the next */
    if (i != FINALS) step = arena_printf(a, " from step %s", sql_text(row, value - 1));
    text = arena_printf(a, "%s%s (%s | %s)", what, step, sql_text(row, value),
                        sql_text(row, value + 1));
    sqlite3_reset(row);
    return text;
}

const char *compare_brief(comparison *c, arena *a, error *e) {
    static const int order[] = {CURVES, HASHES, FINALS};
    const char *result = NULL, *around = "";
    for (int i = 0; i < 3 && !result && !e->code; i++) result = first_row(c, order[i], a, e);
    for (int i = 0; i < STATE && !e->code; i++) around = add_keys(c, i, a, around, e);
    return arena_printf(a, "%s; %s", result ? result : "state",
                        *around ? around : "neither code nor environment differs");
}

status compare_surroundings(const char **code, const char **machine, comparison *c, arena *a,
                            error *e) {
    *code = add_keys(c, CODE, a, "", e);
    *machine = add_keys(c, ENVIRONMENT, a, "", e);
    return e->code;
}
