/* record.c - see record.h.
 *
 * Every query has an ORDER BY that ends in a unique key, so that the order of rows, and with it the
 * bytes of a report, do not depend on how SQLite plans. Values that are NULL or flagged as not
 * finite become NAN or infinite here and are treated as missing everywhere else. */
#include "record.h"

#include "text.h"

#include <math.h>

/* SQLite failed: `what` was being read. Returns the code of the error it sets. */
static status database_error(error *e, sqlite3 *db, const char *what) {
    return error_set(
        e, STATUS_ENVIRONMENT,
        "cannot read %s from the results database: %s; `mixgrid rebuild` makes it anew "
        "from the journals.",
        what, sqlite3_errmsg(db));
}

/* Column i as a copy in the arena; NULL becomes "". */
static const char *column_text(arena *a, sqlite3_stmt *q, int i) {
    const char *s = (const char *)sqlite3_column_text(q, i);
    return arena_text(a, s ? s : "");
}

/* Column i; NULL, which stands for a value that is not known or not finite, becomes NAN. */
static double column_real(sqlite3_stmt *q, int i) {
    return sqlite3_column_type(q, i) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, i);
}

const char *json_plain(arena *a, const json_t *value) {
    if (json_is_string(value)) return arena_text(a, json_string_value(value));
    if (json_is_real(value)) return text_real(a, json_real_value(value));
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    char *copy = arena_text(a, dump ? dump : "");
    free(dump);
    return copy;
}

/* ---- finding the experiment ------------------------------------------------------------------ */

/* Levenshtein distance, to sort suggestions. */
static int edit_distance(arena *a, const char *s, const char *t) {
    int n = (int)strlen(t), *row = ARENA_NEW(a, int, n + 1);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; s[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int swap = diagonal + (s[i - 1] != t[j - 1]);
            diagonal = row[j];
            int gap = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = swap < gap ? swap : gap;
        }
    }
    return row[n];
}

/* The sentence for an experiment that is not there: up to five names, nearest first. */
static status unknown_experiment(arena *a, sqlite3 *db, const char *name, error *e) {
    struct near {
        const char *name;
        int distance;
    } *list = NULL;
    int n = 0, cap = 0;
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, "SELECT name FROM experiment ORDER BY name", -1, &q, NULL) !=
        SQLITE_OK)
        return database_error(e, db, "the experiments");
    while (sqlite3_step(q) == SQLITE_ROW) {
        ARENA_GROW(a, list, n, cap);
        const char *found = column_text(a, q, 0);
        list[n++] = (struct near){found, edit_distance(a, name, found)};
    }
    sqlite3_finalize(q);
    const char *file = sqlite3_db_filename(db, "main"); /* "" in memory */
    if (!file || !*file) file = NULL;
    if (n == 0)
        return error_set(e, STATUS_USAGE,
                         "there is no experiment in %s yet; `mixgrid run FILE` with the same --db "
                         "fills it.",
                         file ? file : "this database");
    text names = text_new(a);
    for (int k = 0; k < n && k < 5; k++) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (list[i].distance >= 0 && (best < 0 || list[i].distance < list[best].distance))
                best = i;
        text_add(&names, "%s%s", k ? ", " : "", list[best].name);
        list[best].distance = -1;
    }
    if (n > 5) text_add(&names, " and %d more", n - 5);
    return error_set(e, STATUS_USAGE, "there is no experiment `%s` in %s; did you mean: %s?", name,
                     file ? file : "this database", names.s);
}

/* Fills name and spec. The name of an experiment goes before the path of a grid file, so that one
 * experiment called like the file of another is still found. */
static status load_spec(record *r, sqlite3 *db, const char *name, error *e) {
    sqlite3_stmt *q = NULL;
    const char *sql = "SELECT name, spec FROM experiment WHERE name = ?1 OR file = ?1 "
                      "ORDER BY name <> ?1 LIMIT 1";
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the experiment");
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) {
        json_error_t why;
        r->name = column_text(r->arena, q, 0);
        r->spec = json_loads((const char *)sqlite3_column_text(q, 1), 0, &why);
        if (!json_is_object(r->spec))
            error_set(e, STATUS_ENVIRONMENT,
                      "the description of experiment '%s' in the database is not a JSON object; "
                      "`mixgrid run` with the grid file writes it again.",
                      name);
    } else if (rc == SQLITE_DONE) {
        unknown_experiment(r->arena, db, name, e);
    } else {
        database_error(e, db, "the experiment");
    }
    sqlite3_finalize(q);
    return e->code;
}

/* ---- runs and cells -------------------------------------------------------------------------- */

/* The state called so. An unknown one, of a newer program, is taken as not over yet. */
static run_state state_of(const char *name) {
    for (int s = 0; s < N_RUN_STATE; s++)
        if (strcmp(run_state_name[s], name) == 0) return (run_state)s;
    return RUN_PENDING;
}

/* Fills run[] by id, with the exit of the last attempt, and counts the states. A run that stands in
 * several cells appears once. */
static status load_runs(record *r, sqlite3 *db, error *e) {
    const char *sql =
        "SELECT r.id, r.mixer, r.task, r.message, r.state, r.seed, r.params, r.state_size, "
        "r.flops_per_token, r.mem_bytes, r.wall_s, r.attempts, r.config, a.exit_code, a.signal, "
        "a.log_tail FROM run AS r LEFT JOIN attempt AS a ON a.run = r.id AND a.number = (SELECT "
        "max(number) FROM attempt WHERE run = r.id) WHERE r.id IN (SELECT run FROM cell WHERE "
        "experiment = ?1) ORDER BY r.id";
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the runs");
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    int cap = 0, rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        ARENA_GROW(r->arena, r->run, r->n_run, cap);
        record_run *run = &r->run[r->n_run++];
        *run = (record_run){
            .id = column_text(r->arena, q, 0),
            .mixer = column_text(r->arena, q, 1),
            .task = column_text(r->arena, q, 2),
            .message = column_text(r->arena, q, 3),
            .state = state_of(column_text(r->arena, q, 4)),
            .seed = (long)sqlite3_column_int64(q, 5),
            .params = sqlite3_column_type(q, 6) == SQLITE_NULL ? -1 : sqlite3_column_int64(q, 6),
            .state_size = column_real(q, 7),
            .flops_per_token = column_real(q, 8),
            .mem_bytes = column_real(q, 9),
            .wall_s = column_real(q, 10),
            .attempts = (long)sqlite3_column_int64(q, 11),
            .config = json_loads(column_text(r->arena, q, 12), 0, NULL),
            .exit_code = sqlite3_column_int(q, 13),
            .signal_number = sqlite3_column_int(q, 14),
            .log_tail = column_text(r->arena, q, 15),
        };
        r->n_by_state[run->state]++;
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? STATUS_OK : database_error(e, db, "the runs");
}

static int compare_run_id(const void *key, const void *run) {
    return strcmp(key, ((const record_run *)run)->id);
}

/* The run with this id, or NULL. O(log n_run). */
static record_run *run_of(const record *r, const char *id) {
    if (r->n_run == 0) return NULL;
    return bsearch(id, r->run, (size_t)r->n_run, sizeof *r->run, compare_run_id);
}

/* Fills final[] of every run, in the order that run_final searches by. */
static status load_finals(record *r, sqlite3 *db, error *e) {
    const char *sql = "SELECT run, split, slice, name, value, flag FROM final WHERE run IN (SELECT "
                      "run FROM cell WHERE experiment = ?1) ORDER BY run, split, slice, name";
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the final values");
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        record_run *run = run_of(r, (const char *)sqlite3_column_text(q, 0));
        const char *flag = (const char *)sqlite3_column_text(q, 5);
        double value = column_real(q, 4);
        if (flag && strstr(flag, "inf")) value = (double)(flag[0] == '-' ? -INFINITY : INFINITY);
        ARENA_GROW(r->arena, run->final, run->n_final, run->cap_final);
        run->final[run->n_final++] =
            (record_final){column_text(r->arena, q, 1), column_text(r->arena, q, 2),
                           column_text(r->arena, q, 3), value};
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? STATUS_OK : database_error(e, db, "the final values");
}

/* ---- axes ------------------------------------------------------------------------------------ */

static bool starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The axis of a key, made where it is new. The pointer is good until the next call. */
static axis *axis_get(record *r, const char *key) {
    for (int i = 0; i < r->n_axis; i++)
        if (strcmp(r->axis[i].key, key) == 0) return &r->axis[i];
    ARENA_GROW(r->arena, r->axis, r->n_axis, r->cap_axis);
    axis *x = &r->axis[r->n_axis++];
    *x = (axis){
        .key = arena_text(r->arena, key),
        .numeric = true,
        .seed = strcmp(key, "train.seed") == 0 || strcmp(key, "seed") == 0,
        .task_side =
            starts_with(key, "task.") || starts_with(key, "data.") || starts_with(key, "eval."),
    };
    return x;
}

/* Index of a value on its axis, added where it is new. One value that is no number makes the whole
 * axis one of text. */
static int axis_value(record *r, axis *x, const json_t *json) {
    const char *s = json_plain(r->arena, json);
    for (int i = 0; i < x->n; i++)
        if (strcmp(x->value[i], s) == 0) return i;
    int cap = x->cap;
    ARENA_GROW(r->arena, x->value, x->n, cap);
    ARENA_GROW(r->arena, x->number, x->n, x->cap);
    x->numeric &= json_is_number(json) != 0;
    x->value[x->n] = s;
    x->number[x->n] = json_number_value(json);
    return x->n++;
}

/* Numbers ascend, whatever the order of the grid: a table and a line plot need it. */
static void axis_sort(record *r, int which) {
    axis *x = &r->axis[which];
    int *place = ARENA_NEW(r->arena, int, x->n), *from = ARENA_NEW(r->arena, int, x->n);
    for (int i = 0; i < x->n; i++) {
        int j = i;
        for (; j > 0 && x->number[from[j - 1]] > x->number[i]; j--) from[j] = from[j - 1];
        from[j] = i;
    }
    const char **value = ARENA_NEW(r->arena, const char *, x->n);
    double *number = ARENA_NEW(r->arena, double, x->n);
    for (int i = 0; i < x->n; i++) {
        value[i] = x->value[from[i]];
        number[i] = x->number[from[i]];
        place[from[i]] = i;
    }
    x->value = value;
    x->number = number;
    for (int c = 0; c < r->n_cell; c++)
        if (r->cell[c].value[which] >= 0) r->cell[c].value[which] = place[r->cell[c].value[which]];
}

/* Short names, but whole keys for axes whose short names are the same. */
static void axis_names(record *r) {
    for (int i = 0; i < r->n_axis; i++) {
        bool shared = false;
        for (int j = 0; j < r->n_axis; j++)
            shared |= j != i && strcmp(text_key(r->arena, r->axis[i].key),
                                       text_key(r->arena, r->axis[j].key)) == 0;
        r->axis[i].name = shared ? r->axis[i].key : text_key(r->arena, r->axis[i].key);
    }
}

/* Fills cell[] and axis[]; afterwards every cell knows its place on every axis. */
static status load_cells(record *r, sqlite3 *db, error *e) {
    const char *sql = "SELECT run, label, axes FROM cell WHERE experiment = ?1 ORDER BY position";
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the cells");
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    const char *key;
    json_t *json;
    /* The grid's own order of keys first, then keys that only some cells have. */
    json_object_foreach(json_object_get(r->spec, "axes"), key, json) axis_get(r, key);
    json_t **axes = NULL;
    int n_axes = 0, cap_axes = 0, rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        ARENA_GROW(r->arena, r->cell, r->n_cell, r->cap_cell);
        ARENA_GROW(r->arena, axes, n_axes, cap_axes);
        r->cell[r->n_cell++] =
            (record_cell){.run = run_of(r, (const char *)sqlite3_column_text(q, 0)),
                          .label = column_text(r->arena, q, 1)};
        axes[n_axes++] = json_loads(column_text(r->arena, q, 2), 0, NULL);
        json_object_foreach(axes[n_axes - 1], key, json) axis_get(r, key);
    }
    sqlite3_finalize(q);
    if (r->n_axis > MAX_AXES)
        error_set(e, STATUS_USAGE,
                  "experiment '%s' varies %d keys and a report shows at most %d; split the grid.",
                  r->name, r->n_axis, MAX_AXES);
    for (int c = 0; c < r->n_cell; c++) {
        r->cell[c].value = ARENA_NEW(r->arena, int, r->n_axis);
        for (int i = 0; i < r->n_axis; i++) {
            const json_t *found = json_object_get(axes[c], r->axis[i].key);
            r->cell[c].value[i] = found ? axis_value(r, &r->axis[i], found) : -1;
            r->axis[i].partial |= !found;
        }
        json_decref(axes[c]);
    }
    for (int i = 0; i < r->n_axis; i++) {
        r->axis[i].numeric &= r->axis[i].n > 0;
        if (r->axis[i].numeric) axis_sort(r, i);
    }
    axis_names(r);
    return rc == SQLITE_DONE ? e->code : database_error(e, db, "the cells");
}

/* ---- selection and surroundings -------------------------------------------------------------- */

/* Reads `select:`. by is SPLIT/NAME or SPLIT/SLICE/NAME; without a mode, accuracies are maximised
 * and everything else minimised. */
static status load_select(record *r, error *e) {
    const json_t *select = json_object_get(r->spec, "select");
    if (!json_is_object(select)) return STATUS_OK;
    size_t i;
    json_t *key;
    json_array_foreach(json_object_get(select, "over"), i, key) {
        for (int x = 0; x < r->n_axis; x++)
            if (json_is_string(key) && strcmp(r->axis[x].key, json_string_value(key)) == 0)
                r->axis[x].over = true;
    }
    const char *by = json_string_value(json_object_get(select, "by"));
    const char *mode = json_string_value(json_object_get(select, "mode"));
    if (!by) by = "val/token_acc.";
    const char *first = strchr(by, '/'), *last = strrchr(by, '/');
    if (!first || !last[1] || first == by)
        return error_set(e, STATUS_USAGE,
                         "select.by of experiment '%s' is '%s', but must be SPLIT/NAME such as "
                         "val/token_acc.",
                         r->name, by);
    r->by_split = arena_printf(r->arena, "%.*s", (int)(first - by), by);
    r->by_slice =
        first == last ? "" : arena_printf(r->arena, "%.*s", (int)(last - first - 1), first + 1);
    r->by_name = arena_text(r->arena, last + 1);
    r->by_max = mode ? strcmp(mode, "min") != 0 : strstr(r->by_name, "acc") != NULL;
    return STATUS_OK;
}

/* Fills determined[]. Databases of an earlier grid have none. */
static void load_determined(record *r) {
    const json_t *list = json_object_get(r->spec, "determined"), *key;
    r->determined = ARENA_NEW(r->arena, const char *, json_array_size(list));
    size_t i;
    json_array_foreach(list, i, key) {
        if (json_is_string(key))
            r->determined[r->n_determined++] = arena_text(r->arena, json_string_value(key));
    }
}

/* Fills environment[], those with most runs first. */
static status load_environments(record *r, sqlite3 *db, error *e) {
    const char *sql =
        "SELECT e.json, count(DISTINCT a.run) FROM attempt AS a JOIN environment AS e "
        "ON e.sha256 = a.environment WHERE a.run IN (SELECT run FROM cell WHERE "
        "experiment = ?1) GROUP BY e.sha256 ORDER BY 2 DESC, e.sha256";
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the environments");
    sqlite3_bind_text(q, 1, r->name, -1, SQLITE_STATIC);
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        ARENA_GROW(r->arena, r->environment, r->n_environment, r->cap_environment);
        r->environment[r->n_environment++] =
            (record_environment){json_loads((const char *)sqlite3_column_text(q, 0), 0, NULL),
                                 (long)sqlite3_column_int64(q, 1)};
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? STATUS_OK : database_error(e, db, "the environments");
}

status record_load(record *out, arena *a, sqlite3 *db, const char *name, error *e) {
    *out = (record){.arena = a};
    if (load_spec(out, db, name, e) || load_runs(out, db, e) || load_finals(out, db, e) ||
        load_cells(out, db, e) || load_select(out, e) || load_environments(out, db, e))
        return e->code;
    load_determined(out);
    const char *grid = json_string_value(json_object_get(out->spec, "text"));
    const char *description = json_string_value(json_object_get(out->spec, "description"));
    out->grid = arena_text(a, grid ? grid : "");
    out->description = arena_text(a, description ? description : "");
    return STATUS_OK;
}

void record_free(record *r) {
    for (int i = 0; i < r->n_run; i++) json_decref(r->run[i].config);
    for (int i = 0; i < r->n_environment; i++) json_decref(r->environment[i].json);
    json_decref(r->spec);
}

/* ---- questions ------------------------------------------------------------------------------- */

static int compare_final(const void *a, const void *b) {
    const record_final *x = a, *y = b;
    int c = strcmp(x->split, y->split);
    if (c == 0) c = strcmp(x->slice, y->slice);
    return c ? c : strcmp(x->name, y->name);
}

static const record_final *find_final(const record_run *run, const char *split, const char *slice,
                                      const char *name) {
    if (run->n_final == 0) return NULL;
    record_final key = {split, slice, name, 0};
    return bsearch(&key, run->final, (size_t)run->n_final, sizeof key, compare_final);
}

double run_final(const record_run *run, const char *split, const char *slice, const char *name) {
    const record_final *f = find_final(run, split, slice, name);
    return f ? f->value : (double)NAN;
}

bool run_has_final(const record_run *run, const char *split, const char *slice, const char *name) {
    return find_final(run, split, slice, name) != NULL;
}

bool run_failed(const record_run *run) {
    return run->state == RUN_FAILED || run->state == RUN_DIVERGED || run->state == RUN_TIMEOUT;
}

const char *run_setting(const record *r, const record_run *run, const char *key) {
    const json_t *value = json_object_get(run->config, key);
    return value ? json_plain(r->arena, value) : NULL;
}

double run_number(const record_run *run, const char *key) {
    const json_t *value = json_object_get(run->config, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

json_t *record_report(const record *r, const char *key) {
    return json_object_get(json_object_get(r->spec, "report"), key);
}

double record_chance(const record *r, const char *task) {
    const json_t *chance = record_report(r, "chance");
    if (json_is_object(chance)) chance = json_object_get(chance, task);
    return json_is_number(chance) ? json_number_value(chance) : (double)NAN;
}

const axis *record_axis(const record *r, const char *key) {
    for (int i = 0; i < r->n_axis; i++)
        if (strcmp(r->axis[i].key, key) == 0 || strcmp(r->axis[i].name, key) == 0)
            return &r->axis[i];
    return NULL;
}

status record_curve(curve *out, arena *a, sqlite3 *db, const record_run *run, const char *split,
                    const char *name, error *e) {
    *out = (curve){0};
    const char *sql = "SELECT step, value FROM metric WHERE run = ?1 AND split = ?2 AND slice = '' "
                      "AND name = ?3 AND value IS NOT NULL ORDER BY step";
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return database_error(e, db, "the curves");
    sqlite3_bind_text(q, 1, run->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, split, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, name, -1, SQLITE_STATIC);
    int rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        int cap = out->cap;
        ARENA_GROW(a, out->step, out->n, cap);
        ARENA_GROW(a, out->value, out->n, out->cap);
        out->step[out->n] = (long)sqlite3_column_int64(q, 0);
        out->value[out->n++] = sqlite3_column_double(q, 1);
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE ? STATUS_OK : database_error(e, db, "the curves");
}
