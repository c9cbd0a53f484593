/* summary.c - see summary.h. */
#include "summary.h"

#include "store_own.h"

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

status summary_print(store *s, const char *experiment, query_format format, FILE *out, error *e) {
    if (experiment && check_known(s, experiment, e) != STATUS_OK) return e->code;
    sqlite3_stmt *rows =
        sql_bind(&s->q, e,
                 "SELECT e.name AS experiment, count(c.run) AS cells,"
                 " count(*) FILTER (WHERE state = 'done') AS done,"
                 " count(*) FILTER (WHERE state = 'failed') AS failed,"
                 " count(*) FILTER (WHERE state = 'diverged') AS diverged,"
                 " count(*) FILTER (WHERE state = 'timeout') AS timeout,"
                 " count(*) FILTER (WHERE state = 'running') AS running,"
                 " count(*) FILTER (WHERE state = 'pending') AS pending,"
                 " count(*) FILTER (WHERE state = 'preempted') AS preempted,"
                 " count(*) FILTER (WHERE state = 'cancelled') AS cancelled,"
                 " (SELECT total(wall_s) FROM run WHERE id IN"
                 "  (SELECT run FROM cell WHERE experiment = e.name)) AS wall_s "
                 "FROM experiment AS e LEFT JOIN cell AS c ON c.experiment = e.name "
                 "LEFT JOIN run AS r ON r.id = c.run "
                 "WHERE ?1 IS NULL OR e.name = ?1 GROUP BY e.name ORDER BY e.name",
                 "t", experiment);
    return rows ? query_print(&s->q, rows, format, out, e) : e->code;
}
