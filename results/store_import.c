/* store_import.c - journals into tables; see store.h and the journal format in results/README.md.
 *
 * One transaction per call. How far a journal has been read is kept with a fingerprint of what was
 * read, in the same transaction, so that a line is imported exactly once whatever is killed when.
 * Two kinds of failure: a line that is wrong ends the import behind the line before it; a database
 * that fails takes the whole transaction back. */
#include "store_own.h"

#include "experiment_file.h"
#include "journal_read.h"

#include <errno.h>
#include <math.h>

typedef struct importer {
    store *s;
    sql *q;
    const char *run;
    const char *text; /* the line */
    json_t *line;
    error *bad;    /* a wrong line */
    error *failed; /* the database */
    arena *arena;
    struct recent { /* series this import has met */
        const char *split, *slice, *name;
        long number;
    } * recent;
    int n_recent, cap, last;
} importer;

/* ---- fields ----------------------------------------------------------------------------------*/

/* Fills variables from the line: pairs of a key and a pointer, one letter each in `types`: t text,
 * i integer (long), d real (double), o object, v anything (json_t *). False when one is missing or
 * of another type. */
static bool fields(importer *m, const char *types, ...) {
    va_list args;
    va_start(args, types);
    bool fits = true;
    for (; *types && fits; types++) {
        const char *key = va_arg(args, const char *);
        void *out = va_arg(args, void *);
        json_t *item = json_object_get(m->line, key);
        if (*types == 't')
            fits = (*(const char **)out = json_string_value(item)) != NULL;
        else if (*types == 'i') {
            fits = json_is_integer(item);
            *(long *)out = (long)json_integer_value(item);
        } else if (*types == 'd') {
            fits = json_is_number(item);
            *(double *)out = json_number_value(item);
        } else {
            fits = *types == 'o' ? json_is_object(item) : item != NULL;
            *(json_t **)out = item;
        }
        if (!fits)
            error_set(m->bad, STATUS_ENVIRONMENT, "\"%s\" is missing or of a wrong type", key);
    }
    va_end(args);
    return fits;
}

/* A number, or "nan", "inf", "-inf"; *flag is NULL for a finite one. */
static bool value_of(importer *m, json_t *item, double *value, const char **flag) {
    const char *word = json_string_value(item);
    *flag = NULL;
    if (json_is_number(item))
        *value = json_number_value(item);
    else if (word && (!strcmp(word, "nan") || !strcmp(word, "inf") || !strcmp(word, "-inf"))) {
        *value = (double)NAN;
        *flag = word;
    } else
        error_set(m->bad, STATUS_ENVIRONMENT, "\"value\" is no number, nan, inf or -inf");
    return !m->bad->code;
}

static bool is_state(importer *m, const char *name) {
    for (int i = 0; i < N_RUN_STATE; i++)
        if (strcmp(run_state_name[i], name) == 0) return true;
    error_set(m->bad, STATUS_ENVIRONMENT, "\"state\" is \"%s\", which is none", name);
    return false;
}

static bool is_own_run(importer *m, const char *run) {
    if (strcmp(run, m->run) == 0) return true;
    error_set(m->bad, STATUS_ENVIRONMENT, "it is about run %s: the file was renamed", run);
    return false;
}

/* ---- lines -----------------------------------------------------------------------------------*/

/* Whether SQLite reads the line's objects as Jansson does: it refuses some that are nested deeply,
 * and does not see keys that are written with escapes. */
static bool is_taken_apart(importer *m) {
    error refused = {0};
    const long objects = sql_long(
        m->q, &refused, 0,
        "SELECT ifnull(json_type(?1, '$.config') = 'object', 0) * "
        "ifnull(json_type(?1, '$.environment') = 'object', json_type(?1, '$.environment') IS NULL)",
        "t", m->text);
    if (!refused.code && !objects)
        error_set(m->bad, STATUS_ENVIRONMENT,
                  "\"config\" or \"environment\" is no object to SQLite");
    else if (refused.code && sqlite3_errcode(m->q->db) == SQLITE_ERROR)
        error_set(m->bad, STATUS_ENVIRONMENT, "SQLite cannot read it (%s)",
                  sqlite3_errmsg(m->q->db));
    else
        error_join(m->failed, &refused);
    return !m->bad->code && !m->failed->code;
}

/* The config of this line becomes the run; its environment, if any, is stored once. The texts are
 * taken out by SQLite, which keeps numbers as they were written. */
static void import_config(importer *m, char environment_sha256[SHA256_HEX]) {
    environment_sha256[0] = '\0';
    if (!is_taken_apart(m)) return;
    sqlite3_stmt *row = sql_bind(
        m->q, m->failed, "SELECT json_extract(?1, '$.config'), json_extract(?1, '$.environment')",
        "t", m->text);
    if (!sql_row(m->q, row, m->failed)) return;
    const char *environment = sql_text(row, 1);
    store_config(m->s, m->run, sql_text(row, 0), m->failed);
    if (*environment && !m->failed->code) {
        sha256_bytes(environment_sha256, environment, strlen(environment));
        sql_do(m->q, m->failed, "INSERT OR IGNORE INTO environment (sha256, json) VALUES (?1, ?2)",
               "tt", environment_sha256, environment);
    }
    sqlite3_reset(row);
}

static void refresh_run(importer *m, const char *state, const char *message) {
    sql_do(m->q, m->failed,
           "UPDATE run SET state = ?2, message = ?3,"
           " attempts = (SELECT count(*) FROM attempt WHERE run = ?1),"
           " wall_s = (SELECT total(wall_s) FROM attempt WHERE run = ?1) WHERE id = ?1",
           "ttt", m->run, state, message);
}

static void import_attempt(importer *m) {
    const char *run;
    long number, resumed_from;
    double start_s;
    json_t *config, *environment;
    if (!fields(m, "tiidoo", "run", &run, "attempt", &number, "resumed_from", &resumed_from,
                "start_s", &start_s, "config", &config, "environment", &environment) ||
        !is_own_run(m, run))
        return;
    char environment_sha256[SHA256_HEX];
    import_config(m, environment_sha256);
    if (m->failed->code || m->bad->code) return;
    sql_do(m->q, m->failed,
           "INSERT OR REPLACE INTO attempt (run, number, start_s, resumed_from, environment) "
           "VALUES (?1, ?2, ?3, ?4, ?5)",
           "tidix", m->run, number, start_s, resumed_from, environment_sha256);
    sql_do(m->q, m->failed,
           "DELETE FROM point WHERE series IN (SELECT number FROM series WHERE run = ?1) "
           "AND step > ?2",
           "ti", m->run, resumed_from);
    sql_do(m->q, m->failed, "DELETE FROM param_hash WHERE run = ?1 AND step > ?2", "ti", m->run,
           resumed_from);
    sql_do(m->q, m->failed, "DELETE FROM final WHERE run = ?1", "t", m->run);
    refresh_run(m, run_state_name[RUN_RUNNING], "");
}

static double real_of(const json_t *item) {
    return json_is_number(item) ? json_number_value(item) : (double)NAN;
}

/* Journals of schema version 1 lack the flops of forward, which are a third. */
static void import_model(importer *m) {
    long params;
    json_t *state_size, *flops, *mem;
    if (!fields(m, "ivvv", "params", &params, "state_size", &state_size, "flops_per_token", &flops,
                "mem_bytes", &mem))
        return;
    const json_t *forward = json_object_get(m->line, "forward_flops_per_token");
    sql_do(m->q, m->failed,
           "UPDATE run SET params = ?2, state_size = ?3, forward_flops_per_token = ?4, "
           "flops_per_token = ?5, mem_bytes = ?6 WHERE id = ?1",
           "tidddd", m->run, params, real_of(state_size),
           forward ? real_of(forward) : real_of(flops) / 3, real_of(flops), real_of(mem));
}

/* Metrics of a step come in the same order again and again: the one after the last is tried
 * first, and a miss costs one look into the database. */
static long series_number(importer *m, const char *split, const char *slice, const char *name) {
    for (int i = 1; i <= m->n_recent; i++) {
        struct recent *r = &m->recent[(m->last + i) % m->n_recent];
        if (strcmp(r->name, name) || strcmp(r->slice, slice) || strcmp(r->split, split)) continue;
        m->last = (int)(r - m->recent);
        return r->number;
    }
    long number = sql_long(
        m->q, m->failed, 0,
        "SELECT number FROM series WHERE run = ?1 AND split = ?2 AND slice = ?3 AND name = ?4",
        "tttt", m->run, split, slice, name);
    if (m->failed->code) return 0;
    if (!number) {
        sql_do(m->q, m->failed,
               "INSERT INTO series (run, split, slice, name) VALUES (?1, ?2, ?3, ?4)", "tttt",
               m->run, split, slice, name);
        number = (long)sqlite3_last_insert_rowid(m->q->db);
    }
    ARENA_GROW(m->arena, m->recent, m->n_recent, m->cap);
    m->last = m->n_recent++;
    m->recent[m->last] = (struct recent){arena_text(m->arena, split), arena_text(m->arena, slice),
                                         arena_text(m->arena, name), number};
    return number;
}

static void import_metric(importer *m) {
    const char *split, *slice, *name, *flag;
    long step;
    json_t *item;
    double value;
    if (!fields(m, "tttiv", "split", &split, "slice", &slice, "name", &name, "step", &step, "value",
                &item) ||
        !value_of(m, item, &value, &flag))
        return;
    long series = series_number(m, split, slice, name);
    if (m->failed->code) return;
    sql_do(m->q, m->failed,
           "INSERT OR REPLACE INTO point (series, step, value, flag) VALUES (?1, ?2, ?3, ?4)",
           "iidt", series, step, value, flag);
}

static void import_final(importer *m) {
    const char *split, *slice, *name, *flag;
    json_t *item;
    double value;
    if (!fields(m, "tttv", "split", &split, "slice", &slice, "name", &name, "value", &item) ||
        !value_of(m, item, &value, &flag))
        return;
    sql_do(m->q, m->failed,
           "INSERT OR REPLACE INTO final (run, split, slice, name, value, flag) "
           "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
           "ttttdt", m->run, split, slice, name, value, flag);
}

static void import_hash(importer *m) {
    long step;
    const char *hash;
    if (!fields(m, "it", "step", &step, "hash", &hash)) return;
    sql_do(m->q, m->failed,
           "INSERT OR REPLACE INTO param_hash (run, step, hash) VALUES (?1, ?2, ?3)", "tit", m->run,
           step, hash);
}

static void import_event(importer *m) {
    double time_s;
    const char *what, *detail;
    if (!fields(m, "dtt", "time_s", &time_s, "what", &what, "detail", &detail)) return;
    sql_do(m->q, m->failed, "INSERT INTO event (run, time_s, what, detail) VALUES (?1, ?2, ?3, ?4)",
           "tdtt", m->run, time_s, what, detail);
}

static void import_artifact(importer *m) {
    const char *path, *kind, *digest;
    long bytes;
    if (!fields(m, "ttit", "path", &path, "kind", &kind, "bytes", &bytes, "sha256", &digest))
        return;
    sql_do(m->q, m->failed,
           "INSERT OR REPLACE INTO artifact (run, path, kind, bytes, sha256) "
           "VALUES (?1, ?2, ?3, ?4, ?5)",
           "tttit", m->run, path, kind, bytes, digest);
}

static void import_end(importer *m) {
    long number, step;
    const char *state, *message;
    double wall_s;
    if (!fields(m, "itidt", "attempt", &number, "state", &state, "step", &step, "wall_s", &wall_s,
                "message", &message) ||
        !is_state(m, state))
        return;
    sql_do(m->q, m->failed,
           "UPDATE attempt SET state = ?3, step = ?4, wall_s = ?5, message = ?6 "
           "WHERE run = ?1 AND number = ?2",
           "titidt", m->run, number, state, step, wall_s, message);
    if (!m->failed->code && sqlite3_changes(m->q->db) == 0)
        error_set(m->bad, STATUS_ENVIRONMENT, "it ends attempt %ld, which never started", number);
    else
        refresh_run(m, state, message);
}

static void import_verdict(importer *m) {
    long number, exit_code, signal_number;
    const char *run, *state, *message, *log_tail;
    json_t *config;
    if (!fields(m, "titiitto", "run", &run, "attempt", &number, "state", &state, "exit_code",
                &exit_code, "signal", &signal_number, "message", &message, "log_tail", &log_tail,
                "config", &config) ||
        !is_own_run(m, run) || !is_state(m, state))
        return;
    char no_environment[SHA256_HEX];
    import_config(m, no_environment);
    if (m->failed->code || m->bad->code) return;
    sql_do(m->q, m->failed,
           "INSERT INTO attempt (run, number, state, exit_code, signal, message, log_tail) "
           "VALUES (?1, ?2, ?3, ?4, nullif(?5, 0), ?6, ?7) "
           "ON CONFLICT (run, number) DO UPDATE SET state = excluded.state,"
           " exit_code = excluded.exit_code, signal = excluded.signal,"
           " message = excluded.message, log_tail = excluded.log_tail",
           "titiitt", m->run, number, state, exit_code, signal_number, message, log_tail);
    refresh_run(m, state, message);
}

static void import_line(importer *m, bool first) {
    static const struct {
        const char *type;
        void (*take)(importer *m);
    } table[] = {
        {"metric", import_metric}, {"hash", import_hash},       {"final", import_final},
        {"model", import_model},   {"event", import_event},     {"attempt", import_attempt},
        {"end", import_end},       {"verdict", import_verdict}, {"artifact", import_artifact}};
    const char *type;
    if (!fields(m, "t", "type", &type)) return;
    if (first && strcmp(type, "attempt") != 0 && strcmp(type, "verdict") != 0) {
        error_set(m->bad, STATUS_ENVIRONMENT, "a journal starts with an attempt, not \"%s\"", type);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].type, type) == 0) {
            table[i].take(m);
            return;
        }
    error_set(m->bad, STATUS_ENVIRONMENT, "lines of type \"%s\" are unknown", type);
}

/* ---- journals --------------------------------------------------------------------------------*/

/* Deletes what earlier imports brought; the run stays, its cells need it. */
static void forget_run(importer *m) {
    static const char *const statement[] = {
        "DELETE FROM point WHERE series IN (SELECT number FROM series WHERE run = ?1)",
        "DELETE FROM series WHERE run = ?1",
        "DELETE FROM param_hash WHERE run = ?1",
        "DELETE FROM final WHERE run = ?1",
        "DELETE FROM event WHERE run = ?1",
        "DELETE FROM artifact WHERE run = ?1",
        "DELETE FROM attempt WHERE run = ?1",
        "DELETE FROM import WHERE run = ?1",
        "UPDATE run SET params = NULL, state_size = NULL, forward_flops_per_token = NULL, "
        "flops_per_token = NULL, mem_bytes = NULL WHERE id = ?1",
    };
    for (size_t i = 0; i < sizeof statement / sizeof *statement && !m->failed->code; i++)
        sql_do(m->q, m->failed, statement[i], "t", m->run);
    refresh_run(m, run_state_name[RUN_PENDING], "");
}

status store_forget(store *s, const char *run_id, error *e) {
    error unused = {0};
    importer m = {.s = s, .q = &s->q, .run = run_id, .bad = &unused, .failed = e};
    sql_do(&s->q, e, "BEGIN IMMEDIATE", "");
    if (!e->code) forget_run(&m);
    return store_commit(s, e);
}

/* Sets the reader behind what is imported already. True: that came from another journal and was
 * deleted. */
static bool seek_new(importer *m, journal_reader *r) {
    char was[SHA256_HEX] = "", is[SHA256_HEX];
    sqlite3_stmt *row = sql_bind(
        m->q, m->failed, "SELECT offset, fingerprint FROM import WHERE run = ?1", "t", m->run);
    if (!sql_row(m->q, row, m->failed)) return false;
    long offset = (long)sqlite3_column_int64(row, 0);
    snprintf(was, sizeof was, "%s", sql_text(row, 1));
    sqlite3_reset(row);
    journal_read_fingerprint(r, offset, is);
    if (strcmp(was, is) != 0) {
        forget_run(m);
        return true;
    }
    journal_read_seek(r, offset);
    return false;
}

/* `bad`: a line that ended the import early. A journal that took the place of another does not
 * count then: it may be the same one, damaged, and rows of a whole journal are worth more. */
static status import_journal(importer *m, journal_reader *r) {
    sql_do(m->q, m->failed, "BEGIN", "");
    const bool replaces = !m->failed->code && seek_new(m, r);
    long start = journal_read_offset(r), end = start;
    while (!m->failed->code && journal_read_line(r, &m->text, &m->line, m->bad)) {
        error why = {0}, *bad = m->bad;
        m->bad = &why;
        import_line(m, end == 0);
        m->bad = bad;
        if (why.code) {
            journal_refuse(bad, journal_read_path(r), journal_read_number(r), false, why.text);
            break;
        }
        end = journal_read_offset(r);
    }
    if (end > start && !m->failed->code) {
        char fingerprint[SHA256_HEX];
        journal_read_fingerprint(r, end, fingerprint);
        sql_do(m->q, m->failed,
               "INSERT OR REPLACE INTO import (run, offset, fingerprint) VALUES (?1, ?2, ?3)",
               "tit", m->run, end, fingerprint);
    }
    return store_commit(m->s, replaces && m->bad->code ? m->bad : m->failed);
}

status store_import(store *s, const char *journal_folder, const char *run_id, error *e) {
    journal_reader *r;
    error bad = {0}, failed = {0};
    if (journal_read_open(&r, journal_folder, run_id, e) != STATUS_OK || !r) return e->code;
    arena *a = arena_new();
    importer m = {.s = s, .q = &s->q, .run = run_id, .bad = &bad, .failed = &failed, .arena = a};
    import_journal(&m, r);
    arena_free(a);
    journal_read_close(r);
    error_join(e, &failed);
    return error_join(e, &bad);
}

status store_import_all(store *s, const char *journal_folder, long *n_runs, error *e) {
    arena *a = arena_new();
    const names runs = journal_runs(a, journal_folder);
    if (n_runs) *n_runs = 0;
    if (runs.n < 0)
        error_set(e, STATUS_ENVIRONMENT, "the journal folder %s cannot be read: %s.",
                  journal_folder, strerror(errno));
    for (int i = 0; i < runs.n; i++) {
        error one = {0};
        if (store_import(s, journal_folder, runs.name[i], &one) == STATUS_OK) {
            if (n_runs) ++*n_runs;
        } else
            error_join(e, &one);
    }
    arena_free(a);
    if (runs.n < 0) return e->code;
    store_bench_import(s, journal_folder, e);
    error beside = {0};
    experiment_counts counts;
    store_experiments_take(s, journal_folder, false, &counts, &beside);
    return error_join(e, &beside);
}
