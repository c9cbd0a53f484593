/* summary.c - see summary.h. */
#include "summary.h"

#include "jsontext.h"
#include "store_own.h"

#include <math.h>
#include <string.h>

static status check_known(store *s, const char *experiment, error *e) {
    sqlite3_stmt *row = sql_bind(
        &s->q, e,
        "SELECT (SELECT count(*) FROM experiment WHERE name = ?1),"
        " (SELECT group_concat(name, ', ') FROM (SELECT name FROM experiment ORDER BY name))",
        "t", experiment);
    if (!sql_row(&s->q, row, e)) return e->code;
    if (sqlite3_column_int64(row, 0) == 0) {
        const char *names = sql_text(row, 1);
        error_set(e, STATUS_USAGE, "%s holds no experiment `%s`; it has %s.", s->q.path, experiment,
                  *names ? names : "none");
    }
    sqlite3_reset(row);
    return e->code;
}

status store_counts_get(store_counts *out, store *s, const char *experiment, error *e) {
    *out = (store_counts){0};
    if (check_known(s, experiment, e) != STATUS_OK) return e->code;
    for (int i = 0; i < N_RUN_STATE; i++) {
        out->state[i] = sql_long(&s->q, e, 0,
                                 "SELECT count(*) FROM cell JOIN run ON run.id = cell.run "
                                 "WHERE experiment = ?1 AND state = ?2",
                                 "tt", experiment, run_state_name[i]);
        out->cells += out->state[i];
    }
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT total(wall_s) FROM run "
                                 "WHERE id IN (SELECT run FROM cell WHERE experiment = ?1)",
                                 "t", experiment);
    if (!sql_row(&s->q, row, e)) return e->code;
    out->wall_s = sqlite3_column_double(row, 0);
    sqlite3_reset(row);
    return STATUS_OK;
}

/* ---- runs that are running -------------------------------------------------------------------*/

/* By way of the attempts, whose rows are small: no index tells the states of runs. */
#define ATTEMPTS "FROM attempt AS a CROSS JOIN run AS r ON r.id = a.run "
#define ARE_RUNNING                                                                                \
    "WHERE a.state = 'running' AND r.state = 'running'"                                            \
    " AND a.number = (SELECT max(number) FROM attempt WHERE run = r.id) "
#define LAST(name, column)                                                                         \
    "(SELECT " column " FROM series CROSS JOIN point ON series = series.number"                    \
    " WHERE run = r.id AND split = 'train' AND slice = '' AND name = '" name "'"                   \
    " ORDER BY step DESC LIMIT 1)"
#define LOSS      LAST("loss", "ifnull(value, flag)")
#define LOSS_TEXT LAST("loss", "ifnull(flag, printf('%.4f', value))")
#define ACC       LAST("token_acc", "ifnull(value, flag)")
#define ACC_TEXT  LAST("token_acc", "ifnull(flag, printf('%.3f', value))")
/* An attempt that has logged nothing stands where it went on from: at -1 if at the beginning. */
#define STEP "ifnull(" LAST("loss", "step") ", max(a.resumed_from, 0))"
/* Unknown where epochs decide: their number of steps depends on the data. */
#define STEPS                                                                                      \
    "(SELECT CAST(number AS INTEGER) FROM run_param WHERE run = r.id AND key = 'train.steps'"      \
    " AND NOT EXISTS (SELECT 1 FROM run_param"                                                     \
    "                 WHERE run = r.id AND key = 'train.epochs' AND number > 0))"

status summary_count_running(long *n, const summary *what, store *s, error *e) {
    *n = sql_long(&s->q, e, 0,
                  "SELECT count(*) " ATTEMPTS ARE_RUNNING
                  "AND EXISTS (SELECT 1 FROM cell WHERE cell.run = r.id"
                  " AND (?1 IS NULL OR experiment = ?1))",
                  "t", what->experiment);
    return e->code;
}

static status print_running(const summary *what, store *s, FILE *out, error *e) {
    enum { MOST = 10 };
    long n;
    if (summary_count_running(&n, what, s, e) || !n) return e->code;
    const bool gone = what->scheduler == SCHEDULER_GONE;
    sqlite3_stmt *rows =
        sql_bind(&s->q, e,
                 "SELECT substr(id, 1, 12) AS run, label,"
                 " step || ifnull('/' || steps, '') AS step, loss, acc, running_s "
                 "FROM (SELECT r.id, a.start_s, " STEP " AS step, " STEPS " AS steps,"
                 " " LOSS_TEXT " AS loss, " ACC_TEXT " AS acc,"
                 " CAST(max(round(?2 - a.start_s), 0) AS INTEGER) AS running_s,"
                 " (SELECT label FROM cell WHERE cell.run = r.id"
                 "  AND (?1 IS NULL OR experiment = ?1) ORDER BY experiment, position LIMIT 1)"
                 " AS label " ATTEMPTS ARE_RUNNING ") WHERE label IS NOT NULL "
                 "ORDER BY start_s, id LIMIT ?3",
                 "tdi", what->experiment, gone ? (double)NAN : what->now_s, (long)MOST);
    fputc('\n', out);
    if (!rows || query_print(&s->q, rows, QUERY_TABLE, out, e)) return e->code;
    if (n > MOST) fprintf(out, "and %ld more\n", n - MOST);
    if (gone)
        fputs("no scheduler is running: give the run command again, which goes on from the last "
              "checkpoints\n",
              out);
    return STATUS_OK;
}

/* ---- all of it -------------------------------------------------------------------------------*/

static sqlite3_stmt *experiments(const summary *what, store *s, error *e) {
    return sql_bind(&s->q, e,
                    "SELECT e.name AS experiment, count(c.run) AS cells,"
                    " count(*) FILTER (WHERE state = 'done') AS done,"
                    " count(*) FILTER (WHERE state = 'failed') AS failed,"
                    " count(*) FILTER (WHERE state = 'diverged') AS diverged,"
                    " count(*) FILTER (WHERE state = 'timeout') AS timeout,"
                    " count(*) FILTER (WHERE state = 'running') AS running,"
                    " count(*) FILTER (WHERE state = 'pending') AS pending,"
                    " count(*) FILTER (WHERE state = 'preempted') AS preempted,"
                    " count(*) FILTER (WHERE state = 'cancelled') AS cancelled,"
                    " total(wall_s) FILTER (WHERE NOT EXISTS" /* a run in two cells counts once */
                    "  (SELECT 1 FROM cell AS d WHERE d.run = c.run AND d.experiment = e.name"
                    "   AND d.position < c.position)) AS wall_s "
                    "FROM experiment AS e LEFT JOIN cell AS c ON c.experiment = e.name "
                    "LEFT JOIN run AS r ON r.id = c.run "
                    "WHERE ?1 IS NULL OR e.name = ?1 GROUP BY e.name ORDER BY e.name",
                    "t", what->experiment);
}

static status print_text(const summary *what, store *s, FILE *out, error *e) {
    sqlite3_stmt *rows = experiments(what, s, e);
    if (!rows || query_print(&s->q, rows, QUERY_TABLE, out, e)) return e->code;
    return print_running(what, s, out, e);
}

static status print_json(const summary *what, store *s, FILE *out, error *e) {
    static const char *const word[] = {"gone", "alive", NULL};
    arena *a = arena_new();
    jsontext t = {.arena = a};
    sqlite3_stmt *row = experiments(what, s, e);
    sqlite3_stmt *run =
        sql_bind(&s->q, e,
                 "SELECT c.experiment, r.id AS run, c.label, " STEP " AS step, " STEPS " AS steps,"
                 " " LOSS " AS loss, " ACC " AS token_acc, a.start_s " ATTEMPTS
                 "CROSS JOIN cell AS c ON c.run = r.id " ARE_RUNNING
                 "AND (?1 IS NULL OR c.experiment = ?1) ORDER BY c.experiment, c.position",
                 "t", what->experiment);
    bool more = sql_row(&s->q, run, e);
    jsontext_put(&t, "[");
    for (bool first = true; sql_row(&s->q, row, e); first = false) {
        jsontext_put(&t, first ? "\n{" : ",\n{");
        query_put_members(&t, row, 0);
        jsontext_key(&t, "scheduler");
        jsontext_string(&t, word[what->scheduler]);
        jsontext_key(&t, "runs");
        const char *open = "[{";
        for (; more && !strcmp(sql_text(run, 0), sql_text(row, 0)); more = sql_row(&s->q, run, e)) {
            jsontext_put(&t, open);
            query_put_members(&t, run, 1);
            jsontext_put(&t, "}");
            open = ",{";
        }
        jsontext_put(&t, *open == '[' ? "[]}" : "]}");
    }
    jsontext_put(&t, "\n]\n");
    if (!e->code) fputs(t.data, out);
    arena_free(a);
    return e->code;
}

/* In one transaction, as a scheduler may be writing between two statements. */
static status print_at_once(status (*print)(const summary *, store *, FILE *, error *),
                            const summary *what, store *s, FILE *out, error *e) {
    if (sql_do(&s->q, e, "BEGIN", "")) return e->code;
    if (!what->experiment || !check_known(s, what->experiment, e)) print(what, s, out, e);
    return store_commit(s, e);
}

status summary_print(const summary *what, store *s, FILE *out, error *e) {
    return print_at_once(print_text, what, s, out, e);
}

status summary_print_json(const summary *what, store *s, FILE *out, error *e) {
    return print_at_once(print_json, what, s, out, e);
}
