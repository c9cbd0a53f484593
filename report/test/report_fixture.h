/* report_fixture.h - small databases for the tests of this room, written with plain SQL over
 * results/schema.sql, in a temporary folder. */
#pragma once
#include "report/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    arena *arena;
    sqlite3 *db;
    const char *folder, *path;
    int position;
} fixture;

static inline void run_sql(fixture *f, const char *sql) {
    char *why = NULL;
    if (sqlite3_exec(f->db, sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s: %s", why, sql);
}

/* s as an SQL literal. */
static inline const char *quoted(fixture *f, const char *s) {
    char *q = sqlite3_mprintf("%Q", s);
    const char *copy = arena_text(f->arena, q);
    sqlite3_free(q);
    return copy;
}

static inline fixture fixture_open(void) {
    fixture f = {.arena = arena_new()};
    char folder[] = "/tmp/report_test_XXXXXX";
    assert_non_null(mkdtemp(folder));
    f.folder = arena_text(f.arena, folder);
    f.path = arena_printf(f.arena, "%s/results.db", folder);
    long n;
    const char *schema = file_read(f.arena, "results/schema.sql", &n);
    if (!schema) fail_msg("results/schema.sql is missing: run from the repository root");
    assert_int_equal(sqlite3_open(f.path, &f.db), SQLITE_OK);
    run_sql(&f, schema);
    run_sql(&f, "PRAGMA synchronous = OFF");
    return f;
}

static inline void fixture_close(fixture *f) {
    if (f->db) sqlite3_close(f->db);
    char command[300];
    snprintf(command, sizeof command, "/bin/rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
    arena_free(f->arena);
}

/* Writing is over: a reader must find a closed database. */
static inline void fixture_ready(fixture *f) {
    sqlite3_close(f->db);
    f->db = NULL;
}

static inline void add_experiment(fixture *f, const char *name, const char *spec) {
    run_sql(f,
            arena_printf(f->arena, "INSERT INTO experiment VALUES (%s, 'experiments/x.yaml', %s)",
                         quoted(f, name), quoted(f, spec)));
    f->position = 0;
}

/* One cell with val and test token accuracy; returns the run id. lr <= 0: no such axis. */
static inline const char *add_run(fixture *f, const char *experiment, const char *mixer, double lr,
                                  long seed, const char *state, double val, double test) {
    json_t *axes = json_pack("{s:s, s:I}", "model.mixer", mixer, "train.seed", (json_int_t)seed);
    if (lr > 0) json_object_set_new(axes, "train.lr", json_real(lr));
    char *dump = json_dumps(axes, JSON_COMPACT);
    const char *json = quoted(f, dump),
               *id = arena_printf(f->arena, "%s-%04d", experiment, f->position);
    const char *run = quoted(f, id);
    run_sql(f,
            arena_printf(f->arena,
                         "INSERT INTO run (id, config, task, mixer, seed, state, params, wall_s, "
                         "attempts, message) VALUES (%s, %s, 'nar', %s, %ld, '%s', 1000, 2.5, 1, "
                         "'%s')",
                         run, json, quoted(f, mixer), seed, state,
                         strcmp(state, "done") ? "it <went> wrong & 50% lost" : ""));
    run_sql(f, arena_printf(f->arena, "INSERT INTO cell VALUES (%s, %d, %s, %s, %s, '{}')",
                            quoted(f, experiment), f->position, run, quoted(f, mixer), json));
    f->position++;
    if (!isnan(val))
        run_sql(f,
                arena_printf(f->arena,
                             "INSERT INTO final VALUES (%s, 'val', '', 'token_acc', %.17g, NULL),"
                             "(%s, 'test', '', 'token_acc', %.17g, NULL)",
                             run, val, run, test));
    json_decref(axes);
    free(dump);
    return id;
}

static inline const char *read_out(fixture *f, const char *name) {
    long n;
    const char *s = file_read(f->arena, arena_printf(f->arena, "%s/%s", f->folder, name), &n);
    if (!s) fail_msg("%s was not written", name);
    return s;
}

/* A table of an experiment as text. */
static inline const char *printed(fixture *f, const char *experiment, const char *which,
                                  table_format format) {
    char *s = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&s, &n);
    error e = {0};
    table_print(out, f->path, experiment, which, format, false, &e);
    fclose(out);
    if (e.code) fail_msg("%s", e.text);
    const char *copy = arena_text(f->arena, s);
    free(s);
    return copy;
}

static inline void has(const char *all, const char *part) {
    if (!strstr(all, part)) fail_msg("'%s' is not in:\n%s", part, all);
}

static inline void has_not(const char *all, const char *part) {
    if (strstr(all, part)) fail_msg("'%s' is in:\n%s", part, all);
}
