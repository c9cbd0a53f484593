/* journal_export.c - a run of a database written out as the journal it could have come from.
 *
 * Importing that journal gives the same rows again, to the bit. Which attempt wrote which point is
 * not in the tables, so all points stand behind the last attempt that started, where none of them
 * is void. Deterministic: the same rows give the same bytes. Cost: one pass over the run. */
#include "store_own.h"

#include <math.h>
#include <stdint.h>
#include <unistd.h>

typedef struct exporter {
    sql *q;
    const char *run, *config;
    journal *journal;
    error *e;
} exporter;

static double real_at(sqlite3_stmt *row, int column) {
    return sqlite3_column_type(row, column) == SQLITE_NULL ? (double)NAN
                                                           : sqlite3_column_double(row, column);
}

/* A value and its flag, in two columns. */
static double value_at(sqlite3_stmt *row, int column) {
    const char *flag = sql_text(row, column + 1);
    if (!*flag) return sqlite3_column_double(row, column);
    return strcmp(flag, "nan") == 0 ? (double)NAN
           : *flag == '-'           ? -(double)INFINITY
                                    : (double)INFINITY;
}

static void export_values(exporter *x) {
    sqlite3_stmt *row = sql_bind(x->q, x->e,
                                 "SELECT params, state_size, forward_flops_per_token, "
                                 "flops_per_token, mem_bytes FROM run WHERE id = ?1",
                                 "t", x->run);
    while (sql_row(x->q, row, x->e))
        if (sqlite3_column_type(row, 0) != SQLITE_NULL)
            journal_model(x->journal,
                          &(model_facts){(long)sqlite3_column_int64(row, 0), real_at(row, 1),
                                         real_at(row, 2), real_at(row, 3), real_at(row, 4)});
    row = sql_bind(x->q, x->e,
                   "SELECT split, slice, name, step, value, flag FROM metric WHERE run = ?1 "
                   "ORDER BY step, split, slice, name",
                   "t", x->run);
    while (sql_row(x->q, row, x->e))
        journal_metric(x->journal, sql_text(row, 0), sql_text(row, 1), sql_text(row, 2),
                       (long)sqlite3_column_int64(row, 3), value_at(row, 4));
    row = sql_bind(x->q, x->e, "SELECT step, hash FROM param_hash WHERE run = ?1 ORDER BY step",
                   "t", x->run);
    while (sql_row(x->q, row, x->e))
        journal_hash(x->journal, (long)sqlite3_column_int64(row, 0),
                     strtoull(sql_text(row, 1), NULL, 16));
    row = sql_bind(x->q, x->e,
                   "SELECT split, slice, name, value, flag FROM final WHERE run = ?1 "
                   "ORDER BY split, slice, name",
                   "t", x->run);
    while (sql_row(x->q, row, x->e))
        journal_final(x->journal, sql_text(row, 0), sql_text(row, 1), sql_text(row, 2),
                      value_at(row, 3));
}

static void export_side(exporter *x) {
    sqlite3_stmt *row = sql_bind(
        x->q, x->e, "SELECT time_s, what, detail FROM event WHERE run = ?1 ORDER BY number", "t",
        x->run);
    while (sql_row(x->q, row, x->e))
        journal_event_at(x->journal, sqlite3_column_double(row, 0), sql_text(row, 1),
                         sql_text(row, 2));
    row = sql_bind(x->q, x->e,
                   "SELECT path, kind, bytes, sha256 FROM artifact WHERE run = ?1 ORDER BY path",
                   "t", x->run);
    while (sql_row(x->q, row, x->e))
        journal_artifact(x->journal, sql_text(row, 0), sql_text(row, 1),
                         (long)sqlite3_column_int64(row, 2), sql_text(row, 3));
}

static run_state state_of(const char *name) {
    int state = 0;
    while (state < N_RUN_STATE - 1 && strcmp(run_state_name[state], name) != 0) state++;
    return (run_state)state;
}

static void export_attempts(exporter *x) {
    long last = sql_long(x->q, x->e, -1,
                         "SELECT max(number) FROM attempt WHERE run = ?1 AND start_s IS NOT NULL",
                         "t", x->run);
    sqlite3_stmt *row = sql_bind(
        x->q, x->e,
        "SELECT number, state, start_s, wall_s, resumed_from, step, exit_code, signal, message, "
        "log_tail, ifnull(json, '{}') FROM attempt LEFT JOIN environment ON sha256 = environment "
        "WHERE run = ?1 ORDER BY number",
        "t", x->run);
    while (sql_row(x->q, row, x->e)) {
        long number = (long)sqlite3_column_int64(row, 0);
        run_state state = state_of(sql_text(row, 1));
        if (sqlite3_column_type(row, 2) != SQLITE_NULL)
            journal_attempt(x->journal, x->run, x->config, sql_text(row, 10), number,
                            (long)sqlite3_column_int64(row, 4), sqlite3_column_double(row, 2));
        if (number == last) export_values(x);
        if (number == last) export_side(x);
        if (sqlite3_column_type(row, 5) != SQLITE_NULL)
            journal_end(x->journal, state, (long)sqlite3_column_int64(row, 5),
                        sqlite3_column_double(row, 3), sql_text(row, 8));
        if (sqlite3_column_type(row, 6) != SQLITE_NULL)
            journal_verdict(x->journal, x->run, x->config, number, state,
                            sqlite3_column_int(row, 6), sqlite3_column_int(row, 7),
                            sql_text(row, 8), sql_text(row, 9));
    }
}

status store_export_run(store *s, const char *journal_folder, const char *run_id, error *e) {
    arena *a = arena_new();
    /* Readers of the folder leave names alone that begin with a dot. */
    const char *hidden = arena_printf(a, ".%s", run_id);
    const char *from = arena_printf(a, "%s/%s.jsonl", journal_folder, hidden);
    const char *to = arena_printf(a, "%s/%s.jsonl", journal_folder, run_id);
    sqlite3_stmt *row =
        sql_bind(&s->q, e, "SELECT config FROM run WHERE id = ?1 AND attempts > 0", "t", run_id);
    if (sql_row(&s->q, row, e)) {
        exporter x = {.q = &s->q, .run = run_id, .config = arena_text(a, sql_text(row, 0)), .e = e};
        sqlite3_reset(row);
        unlink(from); /* of an export that was killed */
        x.journal = journal_open(journal_folder, hidden, e);
        if (x.journal) export_attempts(&x);
        journal_close(x.journal, e);
        if (!e->code && rename(from, to) != 0)
            error_set(e, STATUS_ENVIRONMENT, "%s cannot be renamed to %s.", from, to);
        if (e->code) unlink(from);
    }
    arena_free(a);
    return e->code;
}
