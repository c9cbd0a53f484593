/* trail.c - see trail.h.
 *
 * A training loss is a mean over the steps since the last logged one: a run that was resumed with
 * another train.log_every has some over steps that no repetition logs, and these are left out. */
#include "trail.h"

#include "compare_own.h"
#include "show.h"

#include <string.h>

static run_state state_named(const char *name) {
    int i = 0;
    while (i + 1 < N_RUN_STATE && strcmp(name, run_state_name[i])) i++;
    return (run_state)i;
}

static long common_divisor(long a, long b) {
    while (b) {
        const long rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

status trail_find(recorded_run *out, arena *a, store *s, const char *run, error *e) {
    *out = (recorded_run){0};
    if (run_find(out->id, s, run, e)) return e->code;
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT run.state, config, json ->> 'backend', json ->> 'commit' "
                                 "FROM run LEFT JOIN attempt ON attempt.run = id "
                                 "LEFT JOIN environment ON sha256 = environment "
                                 "WHERE id = ?1 ORDER BY json ->> 'backend' IS NULL, number DESC",
                                 "t", out->id);
    if (sql_row(&s->q, row, e)) {
        out->state = state_named(sql_text(row, 0));
        out->config_json = arena_text(a, sql_text(row, 1));
        if (*sql_text(row, 2)) out->backend = arena_text(a, sql_text(row, 2));
        out->commit = arena_text(a, *sql_text(row, 3) ? sql_text(row, 3) : "unknown");
        sqlite3_reset(row);
    }
    sqlite3_stmt *steps = sql_bind(
        &s->q, e, "SELECT step FROM param_hash WHERE run = ?1 ORDER BY step", "t", out->id);
    while (sql_row(&s->q, steps, e)) {
        out->log_every = common_divisor(out->log_every, out->last_step);
        out->last_step = (long)sqlite3_column_int64(steps, 0);
    }
    /* the end of the training is logged in any case */
    if (!out->log_every || out->state == RUN_TIMEOUT)
        out->log_every = common_divisor(out->log_every, out->last_step);
    return e->code;
}

/* ---- comparing: rows of step, name, equal, recorded, now, how far apart, left out ---- */

#define DIGITS(row) "coalesce(printf('%!.17g', " row ".value), " row ".flag, 'missing')"
/* printf of NULL is 0 */
#define SHOWN(row) "iif(" row ".value IS NULL, coalesce(" row ".flag, 'nothing'), " DIGITS(row) ")"
#define VALUES                                                                                     \
    "x.value IS y.value AND x.flag IS y.flag, " SHOWN("x") ", " SHOWN(                             \
        "y") ", "                                                                                  \
             "abs(x.value - y.value), "
#define NAME "trim(split || ' ' || slice) || ' ' || name"

static const char hashes[] =
    "SELECT k.step, 'hash of all parameters', x.hash IS y.hash, coalesce(x.hash, 'nothing'), "
    "coalesce(y.hash, 'nothing'), NULL, 0 FROM (SELECT step FROM main.param_hash WHERE run = ?1 "
    "UNION SELECT step FROM b.param_hash WHERE run = ?2 AND ?3 AND step > "
    "(SELECT ifnull(max(step), -1) FROM main.param_hash WHERE run = ?1)) AS k "
    "LEFT JOIN main.param_hash AS x ON x.run = ?1 AND x.step = k.step "
    "LEFT JOIN b.param_hash AS y ON y.run = ?2 AND y.step = k.step ORDER BY k.step";
#define SERIES(schema, run)                                                                        \
    "(SELECT split, slice, name, step, value, flag, lag(step, 1, 0) OVER (PARTITION BY split, "    \
    "slice, name ORDER BY step) AS since FROM " schema ".metric WHERE run = " run ")"
static const char points[] =
    "WITH x AS MATERIALIZED " SERIES("main", "?1") ", y AS MATERIALIZED " SERIES(
        "b", "?2") " SELECT step, " NAME ", " VALUES "split = 'train' AND x.since <> y.since "
                   "FROM x LEFT JOIN y USING (split, slice, name, step) WHERE ?3 IS NOT NULL "
                   "ORDER BY step, split, slice, name";
static const char finals[] =
    "SELECT NULL, 'final ' || " NAME ", " VALUES "0 FROM (SELECT split, slice, name FROM "
    "main.final WHERE run = ?1 UNION SELECT split, slice, name FROM b.final WHERE run = ?2) "
    "LEFT JOIN (SELECT * FROM main.final WHERE run = ?1) AS x USING (split, slice, name) "
    "LEFT JOIN (SELECT * FROM b.final WHERE run = ?2) AS y USING (split, slice, name) "
    "WHERE ?3 ORDER BY split, slice, name";

/* Counts the rows; the first difference takes the place of `*first` when it is at an earlier step.
 */
static void count(trail *t, long *n, long *bad, long *first_step, arena *a, comparison *c,
                  const char *query, bool whole, error *e) {
    sqlite3_stmt *row = sql_bind(&c->a->q, e, query, "tti", c->run_a, c->run_b, (long)whole);
    while (sql_row(&c->a->q, row, e)) {
        if (sqlite3_column_int(row, 6)) {
            t->left_out++;
            continue;
        }
        ++*n;
        if (sqlite3_column_int(row, 2)) continue;
        ++*bad;
        const bool has_step = sqlite3_column_type(row, 0) != SQLITE_NULL,
                   has_distance = sqlite3_column_type(row, 5) != SQLITE_NULL;
        const long step = has_step ? (long)sqlite3_column_int64(row, 0) : *first_step;
        if (t->first && step >= *first_step) continue;
        *first_step = step;
        t->first = arena_printf(
            a, "%s%s: recorded %s, now %s%s", sql_text(row, 1),
            has_step ? arena_printf(a, " at step %ld", step) : "", sql_text(row, 3),
            sql_text(row, 4),
            has_distance ? arena_printf(a, " (%.3g apart)", sqlite3_column_double(row, 5)) : "");
    }
}

status trail_compare(trail *out, arena *a, comparison *c, bool whole, error *e) {
    long step = 0;
    *out = (trail){.same_state = true, .now_state = ""};
    count(out, &out->points, &out->bad_points, &step, a, c, points, whole, e);
    count(out, &out->hashes, &out->bad_hashes, &step, a, c, hashes, whole, e);
    count(out, &out->finals, &out->bad_finals, &step, a, c, finals, whole, e);
    sqlite3_stmt *row = sql_bind(&c->a->q, e,
                                 "SELECT y.state, y.state = x.state FROM main.run AS x "
                                 "JOIN b.run AS y WHERE x.id = ?1 AND y.id = ?2",
                                 "tt", c->run_a, c->run_b);
    if (sql_row(&c->a->q, row, e)) {
        out->now_state = arena_text(a, sql_text(row, 0));
        out->same_state = !whole || sqlite3_column_int(row, 1);
        sqlite3_reset(row);
    }
    return e->code;
}
