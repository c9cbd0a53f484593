/* spec_fuzz.c - any text as what the database holds of a grid file (experiment.spec), reported.
 *
 * The experiment has finished, failed and diverged runs of two tasks, lengths, a searched axis and
 * axes that only some cells have; every table in every format, every figure and the page are made.
 * What cannot be reported is refused with a sentence. Pages and tables are UTF-8, every row of CSV
 * is as long as the first, no text becomes a tag of the page, and none leaves the quotes of a
 * gnuplot script. */
#include "kernels/test/fuzz.h"
#include "report/document.h"
#include "report/figure.h"
#include "report/tabulate.h"
#include "results/store.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>

static const char runs[] =
    "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;"
    "INSERT INTO experiment VALUES ('e', 'e.yaml', '{}');"
    "CREATE TEMP TABLE c (i, mixer, task, lr, length, width, seed, state);"
    "INSERT INTO c SELECT row_number() OVER () - 1, m.value, t.value, l.value, n.value,"
    " CASE m.value WHEN 'cat' THEN 2 + l.key END, s.value, 'done'"
    " FROM json_each('[\"cat\",\"g''l`a,\\\"<b>\"]') m, json_each('[\"nar\",\"mqar\"]') t,"
    " json_each('[0.1,0.03,1e-5]') l, json_each('[64,32]') n, json_each('[2,1]') s"
    " WHERE l.key = 0 OR (s.value = 1 AND t.value = 'nar' AND n.value = 64);"
    "UPDATE c SET state = 'failed' WHERE i % 11 = 3;"
    "UPDATE c SET state = 'diverged' WHERE i % 11 = 8;"
    "INSERT INTO run (id, config, task, mixer, seed, state, params, state_size, wall_s, attempts,"
    " message) SELECT 'r' || i, json_object('task.name', task, 'model.mixer', mixer, 'train.lr', "
    "lr,"
    " 'task.length', length, 'train.seed', seed, 'model.conv.width', width), task, mixer, seed,"
    " state, 1000 * length, length, 1.5, 1, iif(state = 'done', '', 'why <b>') FROM c;"
    "INSERT INTO cell SELECT 'e', i, 'r' || i, mixer || ' ' || lr, json_patch(json_object("
    " 'model.mixer', mixer, 'task.name', task, 'train.lr', lr, 'task.length', length,"
    " 'train.seed', seed), json_object('model.conv.width', width)), '{}' FROM c;"
    "INSERT INTO final SELECT 'r' || i, s.value, n.value, 'token_acc',"
    " (7 * i + 3 * s.key + n.key) % 101 / 100.0, NULL FROM c, json_each('[\"val\",\"test\"]') s,"
    " json_each('[\"\",\"length=32\",\"length=64\",\"length=128\",\"gap=1\",\"gap=2\"]') n"
    " WHERE state = 'done';"
    "INSERT INTO final SELECT 'r' || i, 'val', '', 'loss', 1.0 / (1 + i), NULL FROM c;"
    "INSERT INTO series SELECT i, 'r' || i, 'train', '', 'loss' FROM c WHERE state <> 'failed';"
    "INSERT INTO point SELECT number, 10 * k.value, 2.0 / (1 + k.value + number % 3), NULL"
    " FROM series, json_each('[0,1,2,3]') k WHERE number % 5 OR k.value < 2;"
    "INSERT INTO environment VALUES ('x', '{\"host\":\"one\",\"flags\":[1,null]}');"
    "INSERT INTO attempt (run, number, state, signal, log_tail, environment)"
    " SELECT 'r' || i, 1, state, iif(state = 'failed', 9, NULL), iif(state = 'failed', 'x', ''),"
    " 'x' FROM c";

static store *s;
static const char *folder;

static void begin(void) {
    char path[128];
    char *why = NULL;
    error e = {0};
    bool rebuild;
    unsetenv("PATH"); /* no gnuplot: scripts and data are written, and that is all */
    folder = fuzz_folder();
    snprintf(path, sizeof path, "%s/figures", folder);
    CHECK(!mkdir(path, 0777));
    snprintf(path, sizeof path, "%s/results.db", folder);
    s = store_open(path, &rebuild, &e);
    if (!s) BUG("%s", e.text);
    sqlite3_exec(store_handle(s), "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", NULL,
                 NULL, NULL);
    if (sqlite3_exec(store_handle(s), runs, NULL, NULL, &why)) BUG("%s", why);
}

static void set_spec(const char *json, size_t n) {
    static sqlite3_stmt *set;
    if (!set)
        CHECK(!sqlite3_prepare_v2(store_handle(s), "UPDATE experiment SET spec = ?1", -1, &set,
                                  NULL));
    sqlite3_bind_text(set, 1, json, (int)n, SQLITE_STATIC);
    CHECK(sqlite3_step(set) == SQLITE_DONE);
    sqlite3_reset(set);
}

static void check_utf8(const char *p) {
    json_t *string = json_string(p);
    if (!string) BUG("not UTF-8: %s", p);
    json_decref(string);
}

/* Fields of each record of CSV. */
static void check_csv(const char *p) {
    int first = 0, fields = 1;
    bool quoted = false;
    for (; *p; p++) {
        if (*p == '"') quoted = !quoted;
        if (quoted || (*p != ',' && *p != '\n')) continue;
        fields++;
        if (*p == ',') continue;
        if (!first) first = fields;
        CHECK(fields == first);
        fields = 1;
    }
    CHECK(!quoted && fields == 1);
}

/* A tag of the page is a word with a blank or > behind it, and but for the program's own script
 * nothing runs. */
static void check_html(const char *p) {
    const char *script = strstr(p, "<script>");
    check_utf8(p);
    for (const char *at = p; (at = strchr(at, '<')) && (!script || at <= script); at++) {
        const char *end = at + 1 + (at[1] == '/' || at[1] == '!');
        while (isalnum((unsigned char)*end)) end++;
        CHECK(isalnum((unsigned char)end[-1]) && (*end == ' ' || *end == '>'));
    }
    CHECK(script && !strstr(script + 1, "<script") && !strstr(p, "why <b>"));
}

/* Outside of single quotes a script has no text of others: nothing that runs a command. */
static void check_script(const char *p) {
    bool quoted = false;
    for (; *p; p++) {
        if (*p == '\'') quoted = !quoted;
        CHECK(!quoted || *p != '\n');
        if (!quoted) CHECK(*p != '`' && *p != '!' && strncmp(p, "system", 6));
    }
    CHECK(!quoted);
}

static void render(arena *a, const table *t) {
    static const table_format formats[] = {TABLE_TERMINAL, TABLE_LATEX, TABLE_CSV};
    for (int i = 0; t && i < 3; i++) { /* the others come with the page */
        text out = text_new(a);
        table_render(&out, t, formats[i], false);
        check_utf8(out.s);
        if (formats[i] == TABLE_CSV) check_csv(out.s);
    }
}

static void draw(arena *a, const figure_list *list) {
    for (int i = 0; i < list->n; i++) {
        error e = {0};
        long n;
        const char *figures = arena_printf(a, "%s/figures", folder);
        figure_write(a, list->figure[i], figures, FIGURE_SVG, &e); /* draws nothing, see PATH */
        const char *path = arena_printf(a, "%s/%s.gp", figures, list->figure[i]->id);
        const char *script = file_read(a, path, &n);
        CHECK(script && (long)strlen(script) == n);
        check_utf8(script);
        check_script(script);
        unlink(path);
        unlink(arena_printf(a, "%s/%s.dat", figures, list->figure[i]->id));
    }
}

static void report(arena *a, const choice *c, error *e) {
    table_list tables;
    figure_list figures;
    if (tabulate(&tables, a, c, e)) return;
    table *published = tabulate_published(a, c);
    for (int i = 0; i < tables.n; i++) render(a, tables.table[i]);
    render(a, published);
    render(a, tabulate_runs(a, c));
    render(a, tabulate_axes(a, c));
    if (draw_figures(&figures, a, c, store_handle(s), e)) return;
    draw(a, &figures);
    const document *d = document_compose(a, c, &tables, published, &figures, NULL);
    check_utf8(document_markdown(d));
    check_html(document_html(d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!s) begin();
    if (size > FUZZ_MAX_BYTES / 4) return 0;
    arena *a = arena_new();
    error e = {0};
    record r = {0};
    set_spec((const char *)data, size);
    if (!record_load(&r, a, store_handle(s), "e", &e)) report(a, choice_make(a, &r), &e);
    if (e.code) fuzz_check_error(&e);
    record_free(&r);
    arena_free(a);
    return 0;
}
