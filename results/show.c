/* show.c - see show.h. */
#include "show.h"

#include "query.h"
#include "store_own.h"

status run_find(char out[128], store *s, const char *prefix, error *e) {
    if (!*prefix)
        return error_set(e, STATUS_USAGE, "the run id is empty; `mixgrid query runs` lists them.");
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT id, count(*) OVER (), id = ?1 FROM run "
                                 "WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT 2",
                                 "t", prefix);
    if (!sql_row(&s->q, row, e))
        return error_set(e, STATUS_USAGE,
                         "%s holds no run whose id starts with `%s`; `mixgrid query runs` lists "
                         "them.",
                         s->q.path, prefix);
    snprintf(out, 128, "%s", sql_text(row, 0));
    long n = (long)sqlite3_column_int64(row, 1);
    bool exact = sqlite3_column_int64(row, 2) != 0; /* an id sorts before those it begins */
    if (n > 1 && !exact && sql_row(&s->q, row, e))
        error_set(e, STATUS_USAGE,
                  "%ld runs have an id that starts with `%s` (%s, %s%s); give more of it.", n,
                  prefix, out, sql_text(row, 0), n > 2 ? ", ..." : "");
    sqlite3_reset(row);
    return e->code;
}

static const struct {
    const char *name, *title, *query;
    enum { ROWS, SINGLE, TEXTS } kind; /* always one row; rows of a name and a text of many lines */
} section[] = {
    {"run", "Run",
     "SELECT run, task, mixer, seed, state, message, params, state_size, "
     "forward_flops_per_token, flops_per_token, mem_bytes, wall_s, attempts, experiments FROM "
     "v_runs WHERE run = ?1",
     SINGLE},
    {"config", "Configuration", "SELECT key, text AS value FROM run_param WHERE run = ?1", ROWS},
    {"attempts", "Attempts",
     "SELECT number, state, datetime(start_s, 'unixepoch') AS start_utc, CASE WHEN state <> "
     "'running' THEN datetime(start_s + wall_s, 'unixepoch') END AS end_utc, wall_s, resumed_from, "
     "step, exit_code, signal, message, substr(environment, 1, 12) AS environment FROM attempt "
     "WHERE run = ?1",
     ROWS},
    {"environments", "Environments",
     "SELECT substr(sha256, 1, 12) AS environment, key, value FROM environment AS v, "
     "json_each(v.json) "
     "WHERE sha256 IN (SELECT environment FROM attempt WHERE run = ?1) AND key <> 'diff' "
     "ORDER BY sha256, id",
     ROWS},
    {"diffs", "Changes to the commit that were compiled in",
     "SELECT 'environment ' || substr(sha256, 1, 12) AS environment, json ->> '$.diff' AS diff "
     "FROM environment WHERE sha256 IN (SELECT environment FROM attempt WHERE run = ?1) "
     "AND json ->> '$.diff' <> '' ORDER BY sha256",
     TEXTS},
    {"final", "Final values", "SELECT split, slice, name, value, flag FROM final WHERE run = ?1",
     ROWS},
    {"metrics", "Last point of each curve",
     "SELECT split, slice, name, max(step) AS step, value, flag FROM metric WHERE run = ?1 "
     "GROUP BY split, slice, name",
     ROWS},
    {"hashes", "Last hash of all parameters",
     "SELECT step, hash FROM param_hash WHERE run = ?1 ORDER BY step DESC LIMIT 1", ROWS},
    {"artifacts", "Artifacts", "SELECT kind, bytes, sha256, path FROM artifact WHERE run = ?1",
     ROWS},
    {"events", "Events",
     "SELECT datetime(time_s, 'unixepoch') AS time_utc, what, detail FROM event WHERE run = ?1 "
     "ORDER BY number",
     ROWS},
    {"logs", "End of the log of workers that died",
     "SELECT 'attempt ' || number AS attempt, log_tail FROM attempt "
     "WHERE run = ?1 AND log_tail <> ''",
     TEXTS},
};
enum { N_SECTION = sizeof section / sizeof *section };

static long count_rows(store *s, sqlite3_stmt *statement, error *e) {
    long n = 0;
    while (sql_row(&s->q, statement, e)) n++;
    return n;
}

/* Line breaks stay; other control characters would reach the terminal. */
static void put_visible(const char *text, FILE *out) {
    for (const char *c = text; *c; c++)
        fputc(((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f ? ' ' : *c, out);
    fputc('\n', out);
}

static void print_fields(sqlite3_stmt *row, FILE *out) {
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        if (!*sql_text(row, i)) continue;
        fprintf(out, "%-24s ", sqlite3_column_name(row, i));
        put_visible(sql_text(row, i), out);
    }
}

static void show_text(store *s, const char *run, FILE *out, error *e) {
    for (int i = 0; i < N_SECTION && !e->code; i++) {
        sqlite3_stmt *rows = sql_bind(&s->q, e, section[i].query, "t", run);
        if (!rows || count_rows(s, rows, e) == 0) continue;
        if (i > 0) fprintf(out, "\n%s\n", section[i].title);
        if (section[i].kind == SINGLE) {
            if (sql_row(&s->q, rows, e)) print_fields(rows, out);
        } else if (section[i].kind == TEXTS) {
            while (sql_row(&s->q, rows, e)) {
                fprintf(out, "%s\n", sql_text(rows, 0));
                put_visible(sql_text(rows, 1), out);
            }
        } else
            query_print(&s->q, rows, QUERY_TABLE, out, e);
        sqlite3_reset(rows);
    }
}

/* The configuration as it was hashed; the other sections as rows. */
static void show_json(store *s, const char *run, FILE *out, error *e) {
    for (int i = 0; i < N_SECTION && !e->code; i++) {
        bool is_config = strcmp(section[i].name, "config") == 0;
        sqlite3_stmt *rows = sql_bind(
            &s->q, e, is_config ? "SELECT config FROM run WHERE id = ?1" : section[i].query, "t",
            run);
        if (!rows) return;
        fprintf(out, "%s\"%s\":", i ? "," : "{", section[i].name);
        if (is_config)
            fputs(sql_row(&s->q, rows, e) ? sql_text(rows, 0) : "null", out);
        else if (section[i].kind != SINGLE)
            query_print(&s->q, rows, QUERY_JSON, out, e);
        else if (sql_row(&s->q, rows, e))
            query_print_object(rows, out);
        sqlite3_reset(rows);
    }
    fputs("}\n", out);
}

status run_show(store *s, const char *prefix, bool json, FILE *out, error *e) {
    char run[128];
    if (run_find(run, s, prefix, e) != STATUS_OK) return e->code;
    if (json)
        show_json(s, run, out, e);
    else
        show_text(s, run, out, e);
    return e->code;
}
