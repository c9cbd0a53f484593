/* experiment_fuzz.c - any bytes as the file of an experiment beside the journals.
 *
 * A file that is taken gives the experiment that it says, whose own file gives the same again, and
 * joining it brings nothing more; one that is refused is named, and leaves the database as it was.
 * A line that ends in the seal ???????? gets the right one first; every other seal stays, and is
 * mostly wrong.
 */
#include "kernels/test/fuzz.h"
#include "results/experiment_file.h"
#include "results/store_own.h"
#include "results/whole_file.h"
#include "store_fixture.h"

#include <jansson.h>
#include <sys/stat.h>

static store *s;
static char journals[96], folder[128];

static void begin(void) {
    char why[256];
    error e = {0};
    snprintf(journals, sizeof journals, "%s", fuzz_folder());
    snprintf(folder, sizeof folder, "%s/experiments", journals);
    CHECK(!mkdir(folder, 0777));
    snprintf(folder, sizeof folder, "%s/experiments/results.db", journals);
    CHECK(!mkdir(folder, 0777));
    s = store_open_private(":memory:", "results.db", why, &e);
    if (!s) BUG("%s%s", e.text, why);
}

static const char *input_path(arena *a) { return arena_printf(a, "%s/x.jsonl", folder); }

/* What was written, with its seals. */
static const char *write_input(arena *a, const uint8_t *data, size_t n) {
    char *text = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++) text[i] = (char)data[i];
    fixture_seal(text, (long)n);
    FILE *file = fopen(input_path(a), "wb");
    CHECK(file && fwrite(text, 1, n, file) == n && !fclose(file));
    return text;
}

/* Everything that experiments are, as one text. */
static const char *known(arena *a) {
    error e = {0};
    sqlite3_stmt *row = sql_bind(
        &s->q, &e,
        "SELECT json_array((SELECT json_group_array(json_array(name, file, spec)) FROM experiment),"
        "(SELECT json_group_array(json_array(experiment, position, run, label, axes, variant)) "
        "FROM cell), (SELECT json_group_array(json_array(id, config, task, mixer, seed)) FROM run),"
        "(SELECT json_group_array(json_array(run, key, number, text)) FROM run_param))",
        "");
    if (!sql_row(&s->q, row, &e)) BUG("%s", e.text);
    const char *text = arena_text(a, sql_text(row, 0));
    sqlite3_reset(row);
    return text;
}

/* Takes what is there; the text of what is known then. */
static const char *take(arena *a, bool join, experiment_counts *counts) {
    error e = {0};
    if (store_experiments_take(s, journals, join, counts, &e)) BUG("%s", e.text);
    return known(a);
}

/* Is column i the value of the key? An object is one to SQLite and to Jansson. */
static void check_column(sqlite3_stmt *row, int i, const json_t *line, const char *key) {
    const json_t *said = json_object_get(line, key);
    const char *known = sql_text(row, i);
    json_t *object = json_is_object(said) ? json_loads(known, 0, NULL) : NULL;
    if (object ? !json_equal(object, said) : strcmp(known, json_string_value(said)))
        BUG("%s: %s", key, known);
    json_decref(object);
}

/* The database against the lines of the input. */
static void check_said(const char *text, size_t n) {
    error e = {0};
    const char *end;
    for (long i = -1; (end = memchr(text, '\n', n)); i++) {
        json_t *line = json_loadb(text, (size_t)(end - text), 0, NULL);
        sqlite3_stmt *row =
            i < 0 ? sql_bind(&s->q, &e, "SELECT name, file, spec FROM experiment", "")
                  : sql_bind(&s->q, &e,
                             "SELECT c.run, label, axes, config FROM cell AS c JOIN run ON run.id "
                             "= c.run WHERE position = ?1",
                             "i", i);
        n -= (size_t)(end + 1 - text);
        text = end + 1;
        if (!line) break; /* torn, or it would have been refused */
        CHECK(sql_row(&s->q, row, &e));
        check_column(row, 0, line, i < 0 ? "name" : "run");
        check_column(row, 1, line, i < 0 ? "file" : "label");
        check_column(row, 2, line, i < 0 ? "spec" : "axes");
        if (!i) check_column(row, 3, line, "config"); /* a run has the first */
        sqlite3_reset(row);
        json_decref(line);
    }
}

static void check_taken(arena *a) {
    error e = {0};
    experiment_counts counts;
    const char *before = known(a);
    CHECK(!strcmp(take(a, true, &counts), before) && !counts.experiments && !counts.cells);
    sqlite3_stmt *row = sql_bind(&s->q, &e, "SELECT name FROM experiment", "");
    CHECK(sql_row(&s->q, row, &e));
    const char *name = file_name_safe(a, sql_text(row, 0));
    sqlite3_reset(row);
    CHECK(!unlink(input_path(a)));
    if (store_experiments_save(s, journals, NULL, true, &e)) BUG("%s", e.text);
    fixture_empty(store_handle(s));
    CHECK(!strcmp(take(a, false, &counts), before) && counts.experiments == 1);
    CHECK(!unlink(arena_printf(a, "%s/%s.jsonl", folder, name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!s) begin();
    if (size > FUZZ_MAX_BYTES) return 0;
    arena *a = arena_new();
    error e = {0};
    experiment_counts counts;
    const char *text = write_input(a, data, size);
    if (!store_experiments_take(s, journals, false, &counts, &e)) {
        check_said(text, size);
        check_taken(a);
        fixture_empty(store_handle(s));
    } else {
        fuzz_check_error(&e);
        if (!strstr(e.text, "/x.jsonl")) BUG("names no file: %s", e.text);
        CHECK(!strcmp(known(a), "[[],[],[],[]]"));
    }
    arena_free(a);
    return 0;
}
