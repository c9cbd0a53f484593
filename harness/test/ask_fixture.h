/* ask_fixture.h - sweeps by the program: how they ended, what they said, what their database
 * results.db holds, which is the one the scheduler wrote and not one made from the journals. */
#pragma once
#include "train_fixture.h"

#include <time.h>

static inline void assert_ended(const outcome *o, int code) {
    if (o->code != code)
        fail_msg("exit code %d, signal %d, not %d:\n%s%s", o->code, o->signal, code, o->out,
                 o->err);
}

static inline void assert_says(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("nothing of \"%s\" in:\n%s", part, text);
}

static inline store *open_database(const folder *f) {
    error e = {0};
    store *s = store_open_readonly(folder_at(f, "results.db"), &e);
    if (!s) fail_msg("%s", e.text);
    return s;
}

static inline const char *database_hash(const folder *f) {
    error e = {0};
    char *text = arena_alloc(f->arena, 65);
    store *s = open_database(f);
    if (store_content_hash(s, text, &e)) fail_msg("%s", e.text);
    store_close(s);
    return text;
}

/* The number that SQL finds. */
static inline double ask_database(const folder *f, const char *sql) {
    store *s = open_database(f);
    const double found = ask_store(s, sql);
    store_close(s);
    return found;
}

/* The text in the first row that SQL finds; "" for NULL. */
static inline const char *ask_text(const folder *f, const char *sql) {
    store *s = open_database(f);
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_handle(s), sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(row, 0);
    text = arena_text(f->arena, text ? text : "");
    sqlite3_finalize(row);
    store_close(s);
    return text;
}

/* Changes rows behind the back of the program; the last statement changes at least one. */
static inline void change_database(const folder *f, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(folder_at(f, "results.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_true(sqlite3_changes(db) > 0);
    sqlite3_close(db);
}

static inline void wait_ms(long ms) {
    const struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}
