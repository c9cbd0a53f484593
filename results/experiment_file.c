/* experiment_file.c - experiments and their cells beside the journals, so that these hold
 * everything a database does; see experiment_file.h.
 *
 * One JSON line for the experiment, one for each cell, which brings its configuration along: a cell
 * that has not been run has no journal to bring it. About 2 KB a cell. */
#include "experiment_file.h"

#include "journal_read.h"
#include "jsontext.h"
#include "line_seal.h"
#include "sha256.h"
#include "store_own.h"
#include "whole_file.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char ENDING[] = ".jsonl";

/* ---- where ---- */

static const char *experiments_of(arena *a, const char *journal_folder) {
    return arena_printf(a, "%s/experiments", journal_folder);
}

/* One folder for each database, as two of them may share the journals and hold different grids of
 * the same name. */
static const char *folder_for(arena *a, const char *journal_folder, const char *db) {
    const char *base = file_name_safe(a, basename(arena_text(a, db)));
    return arena_printf(a, "%s/%s", experiments_of(a, journal_folder), base);
}

/* ---- writing ---- */

static void put_field(jsontext *t, const char *key, const char *json) {
    jsontext_key(t, key);
    jsontext_put(t, json);
}

/* The lines of the cells, as the database has them. */
static status put_cells(jsontext *t, store *s, const char *name, error *e) {
    sqlite3_stmt *row =
        sql_bind(&s->q, e,
                 "SELECT run, label, axes, config FROM cell JOIN run ON run.id = cell.run "
                 "WHERE experiment = ?1 ORDER BY position",
                 "t", name);
    while (sql_row(&s->q, row, e)) {
        const long start = t->n;
        jsontext_printf(t, "{\"v\":%d,\"type\":\"cell\"", JOURNAL_VERSION);
        jsontext_key(t, "run");
        jsontext_string(t, sql_text(row, 0));
        jsontext_key(t, "label");
        jsontext_string(t, sql_text(row, 1));
        put_field(t, "axes", sql_text(row, 2));
        put_field(t, "config", sql_text(row, 3));
        seal_put(t, start);
    }
    return e->code;
}

/* A hash of what those lines say; a configuration follows from its run id and is not read. */
static status hash_cells(char out[SHA256_HEX], store *s, const char *name, error *e) {
    sha256 *h = sha256_new();
    sqlite3_stmt *row = sql_bind(
        &s->q, e, "SELECT run, label, axes FROM cell WHERE experiment = ?1 ORDER BY position", "t",
        name);
    while (sql_row(&s->q, row, e))
        for (int i = 0; i < 3; i++) {
            const char *text = sql_text(row, i);
            sha256_add(h, text, strlen(text) + 1);
        }
    sha256_end(h, out);
    return e->code;
}

/* The first line: the experiment, and what tells whether the lines behind it, which take this many
 * bytes, are its cells. */
static status put_head(jsontext *t, store *s, const char *name, long bytes, error *e) {
    char hash[SHA256_HEX];
    if (hash_cells(hash, s, name, e)) return e->code;
    sqlite3_stmt *row = sql_bind(&s->q, e,
                                 "SELECT file, spec, (SELECT count(*) FROM cell WHERE experiment = "
                                 "name) FROM experiment WHERE name = ?1",
                                 "t", name);
    while (sql_row(&s->q, row, e)) {
        const long start = t->n;
        jsontext_printf(t, "{\"v\":%d,\"type\":\"experiment\"", JOURNAL_VERSION);
        jsontext_key(t, "name");
        jsontext_string(t, name);
        jsontext_key(t, "file");
        jsontext_string(t, sql_text(row, 0));
        put_field(t, "cells", sql_text(row, 2));
        jsontext_printf(t, ",\"bytes\":%ld,\"sha256\":\"%s\"", bytes, hash);
        put_field(t, "spec", sql_text(row, 1));
        seal_put(t, start);
    }
    return e->code;
}

/* Does the file say what the database does? Its first line is read and its length, so that 10,000
 * cells cost a query and not 20 MB of text. */
static bool is_current(store *s, const char *path, const char *name, error *e) {
    arena *a = arena_new();
    jsontext head = {.arena = a};
    char *line = NULL;
    size_t cap = 0;
    FILE *f = fopen(path, "re");
    const long n = f ? getline(&line, &cap, f) : -1,
               end = n > 0 && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    const bool current = end >= n && n > 0 && !put_head(&head, s, name, end - n, e) &&
                         head.n == n && memcmp(head.data, line, (size_t)n) == 0;
    if (f) fclose(f);
    free(line);
    arena_free(a);
    return current;
}

static status save_one(store *s, const char *folder, const char *name, bool replace, error *e) {
    arena *a = arena_new();
    const char *path = arena_printf(a, "%s/%s%s", folder, file_name_safe(a, name), ENDING);
    jsontext cells = {.arena = a}, t = {.arena = a};
    const bool stays = replace ? is_current(s, path, name, e) : access(path, F_OK) == 0;
    if (!stays && !e->code && !put_cells(&cells, s, name, e) &&
        !put_head(&t, s, name, cells.n, e)) {
        if (cells.n) jsontext_put(&t, cells.data);
        file_replace(path, t.data, t.n, e);
    }
    arena_free(a);
    return e->code;
}

/* The names first: a statement that is read cannot be used again inside. */
static names experiments_in(arena *a, store *s, const char *only, error *e) {
    names out = {0};
    int cap = 0;
    sqlite3_stmt *row = sql_bind(
        &s->q, e, "SELECT name FROM experiment WHERE ?1 IS NULL OR name = ?1 ORDER BY name", "t",
        only);
    while (sql_row(&s->q, row, e)) {
        ARENA_GROW(a, out.name, out.n, cap);
        out.name[out.n++] = arena_text(a, sql_text(row, 0));
    }
    return out;
}

status store_experiments_save(store *s, const char *journal_folder, const char *only, bool replace,
                              error *e) {
    arena *a = arena_new();
    const char *folder = folder_for(a, journal_folder, s->q.path);
    names all = experiments_in(a, s, only, e);
    if (all.n && !e->code && !folder_create(journal_folder, e) &&
        !folder_create(experiments_of(a, journal_folder), e))
        folder_create(folder, e);
    for (int i = 0; i < all.n && !e->code; i++) save_one(s, folder, all.name[i], replace, e);
    arena_free(a);
    return e->code;
}

/* ---- reading ---- */

typedef struct experiment {
    const char *name, *file, *spec;
    store_cell *cell; /* [n] */
    int n, cap;
} experiment;

/* Are all columns of the row there? Fills `e` where the database fails, and only then. */
static bool is_found(store *s, sqlite3_stmt *row, error *e) {
    error why = {0};
    bool found = sql_row(&s->q, row, &why);
    for (int i = 0; found && i < sqlite3_column_count(row); i++)
        found = sqlite3_column_type(row, i) == SQLITE_TEXT;
    if (why.code && sqlite3_errcode(s->q.db) != SQLITE_ERROR) error_join(e, &why);
    return found;
}

/* Texts are taken out by SQLite, which keeps numbers as they were written. False where it does not
 * find what Jansson found: it refuses some deep nesting, and does not see keys that are written
 * with escapes. */
static bool read_line(experiment *x, arena *a, store *s, const char *text, const char *type,
                      error *e) {
    const bool is_cell = strcmp(type, "experiment") != 0;
    sqlite3_stmt *row =
        is_cell ? sql_bind(&s->q, e,
                           "SELECT ?1 ->> '$.run', ?1 -> '$.config', ?1 ->> '$.label', "
                           "?1 -> '$.axes'",
                           "t", text)
                : sql_bind(&s->q, e, "SELECT ?1 ->> '$.name', ?1 ->> '$.file', ?1 -> '$.spec'", "t",
                           text);
    const bool found = row && is_found(s, row, e);
    if (found && is_cell) {
        ARENA_GROW(a, x->cell, x->n, x->cap);
        x->cell[x->n++] =
            (store_cell){arena_text(a, sql_text(row, 0)), arena_text(a, sql_text(row, 1)),
                         arena_text(a, sql_text(row, 2)), arena_text(a, sql_text(row, 3))};
    } else if (found) {
        x->name = arena_text(a, sql_text(row, 0));
        x->file = arena_text(a, sql_text(row, 1));
        x->spec = arena_text(a, sql_text(row, 2));
    }
    if (row) sqlite3_reset(row);
    return found;
}

static bool is_word(const json_t *text) { return json_string_length(text) > 0; }

static bool fits(const json_t *line, const char *type, bool is_first) {
    if (is_first)
        return !strcmp(type, "experiment") && is_word(json_object_get(line, "name")) &&
               json_is_string(json_object_get(line, "file")) &&
               json_is_object(json_object_get(line, "spec")) &&
               json_is_integer(json_object_get(line, "cells"));
    return !strcmp(type, "cell") && is_word(json_object_get(line, "run")) &&
           json_is_string(json_object_get(line, "label")) &&
           json_is_object(json_object_get(line, "axes")) &&
           json_is_object(json_object_get(line, "config"));
}

static status read_experiment(experiment *x, arena *a, store *s, const char *folder,
                              const char *stem, error *e) {
    journal_reader *r;
    const char *text;
    json_t *line;
    json_int_t promised = -1;
    if (journal_read_open(&r, folder, stem, e) || !r) return e->code;
    while (!e->code && journal_read_line(r, &text, &line, e)) {
        const char *type = json_string_value(json_object_get(line, "type"));
        const bool fit = type && fits(line, type, promised < 0);
        if (fit && promised < 0) promised = json_integer_value(json_object_get(line, "cells"));
        if (!fit || (!read_line(x, a, s, text, type, e) && !e->code))
            error_set(e, STATUS_ENVIRONMENT,
                      "%s, line %ld is no line of an experiment; remove the file, `mixgrid run "
                      "FILE` writes it again.",
                      journal_read_path(r), journal_read_number(r));
    }
    if (!e->code && !x->name)
        error_set(e, STATUS_ENVIRONMENT,
                  "%s is empty; remove the file, `mixgrid run FILE` writes it again.",
                  journal_read_path(r));
    if (!e->code && x->n != promised)
        error_set(e, STATUS_ENVIRONMENT,
                  "%s holds %d of its %lld cells; remove the file, `mixgrid run FILE` writes it "
                  "again.",
                  journal_read_path(r), x->n, (long long)promised);
    journal_read_close(r);
    return e->code;
}

/* Cells the experiment has, in their order, then those of x it lacks, in theirs. */
static status join_cells(store *s, const experiment *x, long *added, error *e) {
    sql_do(&s->q, e, "BEGIN IMMEDIATE", "");
    for (int i = 0; i < x->n && !e->code; i++) {
        const store_cell *c = &x->cell[i];
        if (store_config(s, c->run_id, c->config_json, e)) break;
        sql_do(&s->q, e,
               "INSERT INTO cell (experiment, position, run, label, axes, variant) "
               "SELECT ?1, (SELECT ifnull(max(position) + 1, 0) FROM cell WHERE experiment = ?1),"
               " ?2, ?3, json(?4), json_remove(?4, '$.seed', '$.\"train.seed\"') "
               "WHERE NOT EXISTS (SELECT 1 FROM cell WHERE experiment = ?1 AND run = ?2)",
               "tttt", x->name, c->run_id, c->label, c->axes_json);
        if (!e->code) *added += sqlite3_changes(s->q.db);
    }
    return store_commit(s, e);
}

static status take_one(store *s, const char *folder, const char *stem, bool join,
                       experiment_counts *counts, error *e) {
    arena *a = arena_new();
    experiment x = {0};
    error bad = {0};
    if (read_experiment(&x, a, s, folder, stem, &bad) == STATUS_OK && x.name) {
        long known = sql_long(&s->q, &bad, 0, "SELECT count(*) FROM experiment WHERE name = ?1",
                              "t", x.name);
        if (!bad.code && !known) {
            store_experiment(s, x.name, x.file, x.spec, x.cell, x.n, NULL, &bad);
            counts->experiments++;
            counts->cells += x.n;
        } else if (!bad.code && join)
            join_cells(s, &x, &counts->cells, &bad);
    }
    error_join(e, &bad);
    arena_free(a);
    return e->code;
}

static status take_folder(store *s, const char *folder, bool join, experiment_counts *counts,
                          error *e) {
    arena *a = arena_new();
    const names file = folder_names(a, folder, ENDING);
    for (int i = 0; i < file.n; i++) take_one(s, folder, file.name[i], join, counts, e);
    arena_free(a);
    return e->code;
}

status store_experiments_take(store *s, const char *journal_folder, bool join,
                              experiment_counts *counts, error *e) {
    arena *a = arena_new();
    const char *own = folder_for(a, journal_folder, s->q.path);
    *counts = (experiment_counts){0};
    bool is_empty = sql_long(&s->q, e, 0, "SELECT count(*) FROM experiment", "") == 0;
    bool has_own = access(own, F_OK) == 0;
    if (has_own && !join) take_folder(s, own, false, counts, e);
    names folder = {0};
    if (join || (is_empty && !has_own))
        folder = folder_names(a, experiments_of(a, journal_folder), "");
    for (int i = 0; i < folder.n; i++)
        take_folder(s, arena_printf(a, "%s/%s", experiments_of(a, journal_folder), folder.name[i]),
                    true, counts, e);
    arena_free(a);
    return e->code;
}
