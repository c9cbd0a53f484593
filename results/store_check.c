/* store_check.c - a database held to its journals; see store.h.
 *
 * The journals are imported into a temporary database, to which the given one is attached, and all
 * rows that come from journals are compared by SQLite. Which numbers rows have (series, events)
 * means nothing and is left out, as are the rows of `bench`, which databases of a folder share.
 * Cost: an import of everything, and two sorts of every table. */
#include "store_own.h"
#include "store_place.h"

#include <unistd.h>

enum { MOST_LINES = 20 };

/* From both sides: rows that the journals do not give, and rows that they give of our runs. */
#define DIFFERENCE(part, rows)                                                                     \
    {                                                                                              \
        "INSERT OR IGNORE INTO temp.wrong SELECT run, '" part                                      \
        "' FROM (SELECT " rows("given") " EXCEPT SELECT " rows("main") ")",                        \
            "INSERT OR IGNORE INTO temp.wrong SELECT run, '" part                                  \
            "' FROM (SELECT * FROM (SELECT " rows("main") ") WHERE run IN (SELECT id FROM "        \
                                                          "given.run) EXCEPT SELECT " rows(        \
                                                              "given") ")"                         \
    }
#define RUNS(db)                                                                                   \
    "id AS run, config, task, mixer, seed, state, params, state_size, forward_flops_per_token, "   \
    "flops_per_token, mem_bytes, wall_s, attempts, message FROM " db ".run"
#define SETTINGS(db) "run, key, number, text FROM " db ".run_param"
#define CURVES(db)   "run, split, slice, name, step, value, flag FROM " db ".metric"
#define FINALS(db)   "run, split, slice, name, value, flag FROM " db ".final"
#define HASHES(db)   "run, step, hash FROM " db ".param_hash"
#define ATTEMPTS(db)                                                                               \
    "run, number, state, start_s, wall_s, resumed_from, step, exit_code, signal, message, "        \
    "log_tail, environment, json FROM " db ".attempt LEFT JOIN " db                                \
    ".environment ON sha256 = environment"
#define EVENTS(db)    "run, time_s, what, detail FROM " db ".event WHERE run IS NOT NULL"
#define ARTIFACTS(db) "run, path, kind, bytes, sha256 FROM " db ".artifact"
#define CELLS(db)                                                                                  \
    "run, experiment, position, label, axes, variant, file, spec FROM " db ".cell JOIN " db        \
    ".experiment ON name = experiment WHERE name IN (SELECT name FROM main.experiment)"

static const char *const difference[][2] = {
    DIFFERENCE("configuration or state", RUNS),
    DIFFERENCE("settings", SETTINGS),
    DIFFERENCE("curves", CURVES),
    DIFFERENCE("final values", FINALS),
    DIFFERENCE("parameter hashes", HASHES),
    DIFFERENCE("attempts", ATTEMPTS),
    DIFFERENCE("events", EVENTS),
    DIFFERENCE("artifacts", ARTIFACTS),
    DIFFERENCE("cells", CELLS),
};

/* Lines of a check of SQLite's own, of pages and indexes, and of references. */
static status look_inside(store_check_result *out, store *s, FILE *file, error *e) {
    sqlite3_stmt *row = sql_bind(&s->q, e, "PRAGMA given.integrity_check(20)", "");
    while (sql_row(&s->q, row, e)) {
        if (!strcmp(sql_text(row, 0), "ok")) continue;
        out->pages++;
        fprintf(file, "%s\n", sql_text(row, 0));
    }
    row = sql_bind(&s->q, e, "PRAGMA given.foreign_key_check", "");
    while (sql_row(&s->q, row, e)) {
        if (out->pages++ < MOST_LINES)
            fprintf(file, "a row of %s belongs to no row of %s\n", sql_text(row, 0),
                    sql_text(row, 2));
    }
    return e->code;
}

/* Runs that were tried and have no journal cannot be held to one; rebuild writes theirs from their
 * rows. Neither can those that were not tried and are in no file of an experiment, nor cells of an
 * experiment without a file. */
static const char without_journal[] =
    "SELECT count(*) FROM given.run WHERE attempts > 0 AND id NOT IN (SELECT run FROM main.import)";
static const char forget_those[] =
    "DELETE FROM temp.wrong WHERE run NOT IN (SELECT run FROM main.import)"
    " AND (run NOT IN (SELECT id FROM main.run)"
    "      OR run IN (SELECT id FROM given.run WHERE attempts > 0))";

static status compare_rows(store_check_result *out, store *s, FILE *file, error *e) {
    sql_script(&s->q, "CREATE TEMP TABLE wrong (run TEXT, part TEXT, UNIQUE (run, part))", e);
    for (size_t i = 0; i < sizeof difference / sizeof *difference; i++)
        for (int side = 0; side < 2 && !e->code; side++) sql_do(&s->q, e, difference[i][side], "");
    out->runs = sql_long(&s->q, e, 0, "SELECT count(*) FROM given.run", "");
    out->unheld = sql_long(&s->q, e, 0, without_journal, "");
    if (!e->code) sql_do(&s->q, e, forget_those, "");
    sqlite3_stmt *row = sql_bind(
        &s->q, e, "SELECT run, group_concat(part, ', ') FROM temp.wrong GROUP BY run ORDER BY run",
        "");
    while (sql_row(&s->q, row, e)) {
        if (out->differ++ < MOST_LINES)
            fprintf(file, "run %.12s differs from its journal: %s\n", sql_text(row, 0),
                    sql_text(row, 1));
    }
    if (out->differ > MOST_LINES) fprintf(file, "and %ld more\n", out->differ - MOST_LINES);
    return e->code;
}

/* The file exists, is ours and of this version. */
static status refuse_unreadable(const char *path, error *e) {
    store *s = store_open_readonly(path, e);
    store_close(s);
    return e->code;
}

status store_check(store_check_result *out, const char *path, const char *journal_folder,
                   FILE *file, error *e) {
    char why[256];
    *out = (store_check_result){0};
    const int lock = place_lock(path, e); /* nobody writes meanwhile */
    store *s = NULL;
    if (lock >= 0 && !refuse_unreadable(path, e) && (s = store_open_private("", path, why, e)) &&
        !store_import_all(s, journal_folder, NULL, e) &&
        !sql_do(&s->q, e, "ATTACH ?1 AS given", "t", path) && !look_inside(out, s, file, e) &&
        !out->pages)
        compare_rows(out, s, file, e);
    store_close(s);
    place_unlock(lock, path);
    return e->code;
}
