/* store_stale.c - which results were made by other code, or of other data; see store.h. */
#include "store_own.h"

#include <string.h>

status store_stale(store_stale_runs *out, arena *a, store *s, const char *environment_json,
                   error *e) {
    *out = (store_stale_runs){0};
    int cap = 0, n = 0;
    sqlite3_stmt *row = sql_bind(
        &s->q, e,
        "SELECT r.id FROM run AS r "
        "JOIN attempt AS a ON a.run = r.id AND a.number = r.attempts "
        "JOIN environment AS v ON v.sha256 = a.environment "
        "WHERE r.state IN ('done', 'diverged', 'timeout') AND v.sha256 IN "
        " (SELECT sha256 FROM environment "
        "  WHERE json ->> 'binary_sha256' IS NOT ?1 ->> 'binary_sha256' AND NOT"
        "   (json ->> 'commit' IS ?1 ->> 'commit' AND NOT json ->> 'dirty' AND NOT ?1 ->> 'dirty'))"
        " ORDER BY r.id",
        "t", environment_json);
    while (sql_row(&s->q, row, e)) {
        ARENA_GROW(a, out->run_id, n, cap);
        out->run_id[n++] = arena_text(a, sql_text(row, 0));
    }
    out->n = n;
    return e->code;
}

bool store_is_stale(const store_stale_runs *stale, const char *run_id) {
    long low = 0, high = stale->n;
    while (low < high) {
        const long middle = low + (high - low) / 2;
        const int order = strcmp(stale->run_id[middle], run_id);
        if (!order) return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

status store_refuse_other_data(store *s, const char *data, error *e) {
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT run FROM event WHERE what = 'data' AND detail <> ?1 AND "
                                 "substr(detail, instr(detail, ' ')) = substr(?1, instr(?1, ' ')) "
                                 "ORDER BY run LIMIT 1",
                                 "t", data);
    if (!sql_row(&s->q, row, e)) return e->code;
    error_set(
        e, STATUS_ENVIRONMENT,
        "the data of %s have changed since run %.12s was trained on them, so new results would "
        "not compare with it; restore the file, or use a --db in another folder to train "
        "all runs on what it holds now.",
        strchr(data, ' ') + 1, sql_text(row, 0));
    sqlite3_reset(row);
    return e->code;
}

status store_tell_mixed_data(store *s, FILE *notes, error *e) {
    sqlite3_stmt *row =
        sql_bind(&s->q, e,
                 "SELECT substr(detail, instr(detail, ' ') + 1) AS settings, count(DISTINCT run), "
                 "count(DISTINCT detail) AS prints FROM event WHERE what = 'data' "
                 "GROUP BY settings HAVING prints > 1 ORDER BY settings",
                 "");
    while (sql_row(&s->q, row, e))
        fprintf(
            notes,
            "mixgrid: the %s runs on %s read %s different texts, so they do not compare; mixgrid "
            "query \"SELECT run, detail FROM event WHERE what = 'data'\" --db %s tells which.\n",
            sql_text(row, 1), sql_text(row, 0), sql_text(row, 2), s->q.path);
    return e->code;
}
