/* damage_test.c - a file of a sweep is damaged, and a person goes on as usual.
 *
 * For each kind of file: a bit flips, or the file ends there, at places spread over it; and once it
 * is emptied, filled with zeros, deleted. Then come the commands that a person gives next. Each
 * ends in time with a documented exit code; and either the results are those of an undisturbed
 * sweep, or a sentence names the file, and doing what it says brings them back. A value that
 * changed inside a page of the database goes unnoticed by `run`: there `rebuild --check` has to
 * name it.
 *
 * A run of the test tries SAMPLE places of each kind; MIXGRID_FAULT_STEP=N every N-th byte,
 * MIXGRID_FAULT_ONLY=TEXT the rows with that text. With MIXGRID_FAULT_TABLE=FILE a row of each kind
 * is appended to that file. */
#include "fault_fixture.h"
#include "results/whole_file.h"

#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SAMPLE = 1 };
#else
enum { SAMPLE = 2 };
#endif

#define GRID(task)                                                                                 \
    "experiment: damage\n"                                                                         \
    "defaults:\n"                                                                                  \
    "  task: " task "\n"                                                                           \
    "  model: {d_model: 8, mixer: cat}\n"                                                          \
    "  train: {steps: 60, batch: 2, log_every: 20, eval_every: 20, checkpoint_s: 1000}\n"          \
    "  eval: {examples: 4}\n"                                                                      \
    "seeds: 2\n"
static const char drawn_grid[] = GRID("{name: mqar, length: 8, vocab: 64, pairs: 2}");
static const char text_grid[] = GRID("{name: lm, corpus: damage.txt, tokens: word, length: 8}");

#define RUN_INTO(db)                                                                               \
    "run {}/grid.yaml --db {}/" db " --no-report --workers 1 --retry failed --max-attempts 1 "
#define RUN_AGAIN     RUN_INTO("results.db")
#define RUN_ELSEWHERE RUN_INTO("other.db")
#define REBUILD       "rebuild --db {}/results.db"
#define REBUILD_CHECK "rebuild --check --db {}/results.db"

/* ---- scenes: what there is before the damage -------------------------------------------------*/

/* Every scene and every trial is at the same path, as grids are known by theirs. */
static char root[64];
static folder work; /* ROOT/work; its arena is of one trial */

static void shell(const char *line) {
    if (system(line)) fail_msg("%s", line);
}

static void must_end(const char *command, int code) {
    const outcome o = mixgrid_end_in_time(&work, mixgrid_start(&work, command));
    if (o.code != code) fail_msg("%s: exit code %d: %s", command, o.code, o.err);
}

static void finish_drawn(void) {
    folder_write(&work, "grid.yaml", drawn_grid);
    must_end(RUN_AGAIN, STATUS_OK);
}

/* Its scheduler was killed before the write-ahead log was folded in. */
static void leave_log(void) {
    finish_drawn();
    unlink(folder_at(&work, "results.db"));
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        error e = {0};
        bool rebuild;
        store *s = store_open(folder_at(&work, "results.db"), &rebuild, &e);
        _exit(s ? (int)store_import_all(s, folder_at(&work, "journal"), NULL, &e) : 9);
    }
    assert_int_equal(mixgrid_wait(&work, pid).code, 0);
    must_end("status --db {}/results.db", STATUS_OK);
}

/* Power was lost in a transaction on a file system without a write-ahead log: pages are changed
 * already, and the rollback journal knows what they were. */
static void leave_rollback(void) {
    finish_drawn();
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        sqlite3 *db;
        sqlite3_open(folder_at(&work, "results.db"), &db);
        sqlite3_exec(db,
                     "PRAGMA journal_mode = DELETE; BEGIN; UPDATE point SET value = value + 1;"
                     "UPDATE final SET value = value + 1",
                     NULL, NULL, NULL);
        _exit(sqlite3_db_cacheflush(db));
    }
    assert_int_equal(mixgrid_wait(&work, pid).code, 0);
}

static long number_of(const char *pattern) {
    glob_t found = {0};
    const long n = glob(folder_at(&work, pattern), 0, NULL, &found) ? 0 : (long)found.gl_pathc;
    globfree(&found);
    return n;
}

/* Its first run has two checkpoints and has logged something. */
static bool is_under_way(void) {
    glob_t found = {0};
    bool logged = false;
    if (number_of("checkpoint/*.previous.safetensors") &&
        !glob(folder_at(&work, "journal/*.jsonl"), 0, NULL, &found)) {
        error e = {0};
        long n;
        const char *text = file_bytes(work.arena, found.gl_pathv[0], -1, &n, &e);
        logged = text && strstr(text, "\"type\":\"metric\"");
    }
    globfree(&found);
    return logged;
}

/* In the middle of its first run. */
static void halt(void) {
    outcome o = {0};
    for (int try = 0; try < 20 && o.code != STATUS_INTERRUPTED; try++) {
        shell(arena_printf(work.arena, "rm -rf %s/*", work.path));
        folder_write(&work, "grid.yaml", drawn_grid);
        const pid_t pid = mixgrid_start(&work, RUN_AGAIN "train.checkpoint_s=0");
        const struct timespec pause = {.tv_nsec = 1000000};
        for (int i = 0; i < 20000 && !is_under_way(); i++) nanosleep(&pause, NULL);
        kill(pid, SIGTERM);
        o = mixgrid_end_in_time(&work, pid);
    }
    assert_int_equal(o.code, STATUS_INTERRUPTED);
}

/* One of two runs on a text is done. */
static void read_text(void) {
    char text[1200];
    int n = 0;
    for (unsigned i = 0, seed = 7; n < (int)sizeof text - 8; i++, seed = seed * 1103515245 + 12345)
        n += snprintf(text + n, sizeof text - (size_t)n, "w%u%c", seed >> 16 & 31,
                      i % 9 == 8 ? '\n' : ' ');
    folder_write(&work, "damage.txt", text);
    folder_write(&work, "grid.yaml", text_grid);
    must_end(RUN_AGAIN "--only seed=0", STATUS_OK);
}

typedef enum scene { FINISHED, LOG_LEFT, ROLLBACK_LEFT, HALTED, TEXT, N_SCENE } scene;
static void (*const make[N_SCENE])(void) = {finish_drawn, leave_log, leave_rollback, halt,
                                            read_text};

/* Puts the scene into the work folder; the first time it is played. */
static void set_scene(scene s) {
    static bool is_made[N_SCENE];
    arena_free(work.arena);
    work.arena = arena_new();
    const char *kept = arena_printf(work.arena, "%s/%d", root, (int)s);
    shell(arena_printf(work.arena, "rm -rf %s && mkdir %s", work.path, work.path));
    if (is_made[s]) {
        shell(arena_printf(work.arena, "cp -a %s/. %s", kept, work.path));
    } else {
        make[s]();
        shell(arena_printf(work.arena, "cp -a %s %s", work.path, kept));
        is_made[s] = true;
    }
}

/* ---- damage ----------------------------------------------------------------------------------*/

typedef enum damage { FLIP, CUT, EMPTY, ZEROS, DELETED, N_DAMAGE } damage;
static const char *const damage_name[N_DAMAGE] = {"a bit flips", "it ends there", "emptied",
                                                  "zeros", "deleted"};

typedef struct kind {
    const char *name; /* in the table */
    scene scene;
    const char *pattern[2]; /* files that are damaged alike */
    const char *next[3];    /* what a person does next */
} kind;

static const kind kinds[] = {
    {"journal of a run", FINISHED, {"journal/*.jsonl"}, {RUN_AGAIN, REBUILD}},
    {"journal of an interrupted run", HALTED, {"journal/*.jsonl"}, {RUN_AGAIN, REBUILD}},
    {"file of an experiment", FINISHED, {"journal/experiments/*/*.jsonl"}, {RUN_AGAIN, REBUILD}},
    {"database", FINISHED, {"results.db"}, {RUN_AGAIN, REBUILD}},
    {"write-ahead log left behind", LOG_LEFT, {"results.db-wal"}, {RUN_AGAIN, REBUILD}},
    {"rollback journal left behind", ROLLBACK_LEFT, {"results.db-journal"}, {RUN_AGAIN, REBUILD}},
    {"lock file left behind", LOG_LEFT, {"results.db.lock"}, {RUN_AGAIN}},
    {"newest checkpoint", HALTED, {"checkpoint/*[0-9a-f].safetensors"}, {RUN_AGAIN}},
    {"checkpoint before it", HALTED, {"checkpoint/*.previous.safetensors"}, {RUN_AGAIN}},
    {"both checkpoints",
     HALTED,
     {"checkpoint/*[0-9a-f].safetensors", "checkpoint/*.previous.safetensors"},
     {RUN_AGAIN}},
    {"corpus, half of the runs done", TEXT, {"damage.txt"}, {RUN_AGAIN}},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const char *file_of(const char *pattern) {
    glob_t found = {0};
    if (glob(folder_at(&work, pattern), 0, NULL, &found)) fail_msg("no file %s", pattern);
    const char *path = arena_text(work.arena, found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static char *bytes_of(const char *path, long *n) {
    error e = {0};
    char *bytes = file_bytes(work.arena, path, -1, n, &e);
    if (!bytes) fail_msg("%s: %s", path, e.text);
    return bytes;
}

static void write_bytes(const char *path, const char *bytes, long n) {
    FILE *file = fopen(path, "wb");
    assert_true(file && fwrite(bytes, 1, (size_t)n, file) == (size_t)n && !fclose(file));
}

static void spoil(const char *path, damage how, long at) {
    long n;
    char *bytes = bytes_of(path, &n);
    if (at >= n) at = n - 1; /* of two files one may be shorter */
    if (how == FLIP) bytes[at] = (char)(bytes[at] ^ 1 << (at * 2654435761 >> 16) % 8);
    if (how == ZEROS) memset(bytes, 0, (size_t)n);
    if (how == DELETED)
        unlink(path);
    else
        write_bytes(path, bytes, how == CUT ? at : how == EMPTY ? 0 : n);
}

/* ---- what must hold --------------------------------------------------------------------------*/

/* Results, and the cells they belong to; "" where there are none to read. */
static const char *state_in(const char *db) {
    static const char cells[] =
        "SELECT count(*) || group_concat(line) FROM (SELECT experiment || position || run || label "
        "|| axes || variant || config AS line FROM cell JOIN run ON run.id = cell.run "
        "ORDER BY experiment, position)";
    error e = {0};
    const char *text = "";
    store *s = store_open_readonly(folder_at(&work, db), &e);
    sqlite3_stmt *row = NULL;
    if (s && !sqlite3_prepare_v2(store_handle(s), cells, -1, &row, NULL) &&
        sqlite3_step(row) == SQLITE_ROW && sqlite3_column_text(row, 0))
        text = arena_printf(work.arena, "%s %s", hash_in(&work, db),
                            (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    store_close(s);
    return text;
}

typedef struct tally {
    long same, named, noticed, lost; /* noticed: by `rebuild --check` alone */
} tally;

typedef struct trial {
    const kind *kind;
    const char *path[2]; /* of the files */
    const char *before[2];
    long bytes[2];
    const char *expected;
} trial;

/* NULL: the command left the results as they shall be; else what is wrong. */
static const char *give(outcome *o, const trial *t, const char *command, const char *db) {
    *o = mixgrid_end_in_time(&work, mixgrid_start(&work, command));
    if (o->signal)
        return arena_printf(work.arena, "%s: ended by signal %d: %s", command, o->signal, o->err);
    if (!is_documented_end(o) || (o->code && !*o->err))
        return arena_printf(work.arena, "%s: exit code %d: %s", command, o->code, o->err);
    if (o->code) return arena_printf(work.arena, "%s: refused: %s", command, o->err);
    if (strcmp(state_in(db), t->expected))
        return arena_printf(work.arena, "%s: other results: %s%s", command, o->out, o->err);
    return NULL;
}

static bool names_file(const outcome *o, const trial *t) {
    for (int i = 0; i < 2 && t->path[i]; i++)
        if (strstr(o->err, strrchr(t->path[i], '/') + 1)) return true;
    return false;
}

/* Does what the sentence says, then gives the same commands again. */
static const char *follow(const outcome *said, const trial *t) {
    outcome o;
    const bool remove = strstr(said->err, "r the file to train the run again") ||
                        strstr(said->err, "emove the file") || strstr(said->err, "move it away");
    const bool restore = t->kind->scene == TEXT; /* a file of the user's own, and named as such */
    if (!restore && strstr(said->err, "use another --db"))
        return give(&o, t, RUN_ELSEWHERE, "other.db");
    if (!remove && !restore) return arena_printf(work.arena, "no way out in: %s", said->err);
    for (int i = 0; i < 2 && t->path[i]; i++)
        if (remove)
            unlink(t->path[i]);
        else
            write_bytes(t->path[i], t->before[i], t->bytes[i]);
    const char *wrong = NULL;
    for (int i = 0; i < 3 && t->kind->next[i] && !wrong; i++)
        wrong = give(&o, t, t->kind->next[i], "results.db");
    return wrong ? arena_printf(work.arena, "%s\nafter: %s", wrong, said->err) : NULL;
}

/* A database that is wrong and says nothing: checking it against the journals must say so. */
static const char *notice(const trial *t, const char *wrong) {
    outcome o;
    give(&o, t, REBUILD_CHECK, "results.db");
    if (o.code != STATUS_RUNS_FAILED || !strstr(o.out, "mixgrid rebuild"))
        return arena_printf(work.arena, "%s\nand the check, with exit code %d: %s%s", wrong, o.code,
                            o.out, o.err);
    return give(&o, t, REBUILD, "results.db");
}

static const char *go_on(tally *sum, const trial *t) {
    outcome o;
    for (int i = 0; i < 3 && t->kind->next[i]; i++) {
        const char *wrong = give(&o, t, t->kind->next[i], "results.db");
        if (!wrong) continue;
        const char *after = o.code && names_file(&o, t) ? follow(&o, t)
                            : !o.code                   ? notice(t, wrong)
                                                        : wrong;
        if (after)
            sum->lost++;
        else if (o.code)
            sum->named++;
        else
            sum->noticed++;
        return after;
    }
    sum->same++;
    return NULL;
}

static void try_damage(tally *sum, const kind *k, damage how, long at, const char *expected) {
    set_scene(k->scene);
    trial t = {.kind = k, .expected = expected};
    for (int i = 0; i < 2 && k->pattern[i]; i++) t.path[i] = file_of(k->pattern[i]);
    for (int i = 0; i < 2 && t.path[i]; i++) {
        t.before[i] = bytes_of(t.path[i], &t.bytes[i]);
        spoil(t.path[i], how, at);
    }
    const char *wrong = go_on(sum, &t);
    if (wrong) print_error("%s: %s, byte %ld: %s\n", k->name, damage_name[how], at, wrong);
}

static void end_row(const char *name, const char *tried, const tally *sum, long *lost) {
    print_message("%s, %s: %ld as before, %ld named, %ld found by the check, %ld lost\n", name,
                  tried, sum->same, sum->named, sum->noticed, sum->lost);
    fault_row(name, tried, sum->same + sum->named + sum->noticed, sum->lost);
    *lost += sum->lost;
}

static void damaged_files_lose_no_result(void **state) {
    (void)state;
    long lost = 0;
    char *expected[N_SCENE] = {0};
    arena *a = arena_new();
    for (int i = 0; i < N_KINDS; i++) {
        const kind *k = &kinds[i];
        if (!expected[k->scene]) {
            set_scene(k->scene);
            must_end(RUN_AGAIN, STATUS_OK);
            expected[k->scene] = arena_text(a, state_in("results.db"));
            assert_true(strlen(expected[k->scene]) > 64 + 100);
        }
        set_scene(k->scene);
        long n;
        bytes_of(file_of(k->pattern[0]), &n);
        for (damage how = FLIP; how <= CUT; how++) {
            const char *name = arena_printf(a, "%s: %s", k->name, damage_name[how]);
            const long step = fault_step(n, SAMPLE);
            tally sum = {0};
            long tried = 0;
            for (long at = step / 2; at < n && !fault_is_left_out(name); at += step, tried++)
                try_damage(&sum, k, how, at, expected[k->scene]);
            if (tried) end_row(name, arena_printf(a, "%ld of %ld bytes", tried, n), &sum, &lost);
        }
        const char *name = arena_printf(a, "%s: emptied, zeros, deleted", k->name);
        tally sum = {0};
        for (damage how = EMPTY; how < N_DAMAGE && !fault_is_left_out(name); how++)
            try_damage(&sum, k, how, 0, expected[k->scene]);
        if (!fault_is_left_out(name)) end_row(name, "3 of 3", &sum, &lost);
    }
    /* all of the scenes on drawn data end in the same results */
    for (int i = 1; i < TEXT; i++)
        if (expected[i] && expected[FINISHED]) assert_string_equal(expected[i], expected[FINISHED]);
    arena_free(a);
    assert_int_equal(lost, 0);
}

static void flip_in_text(void) { spoil(folder_at(&work, "damage.txt"), FLIP, 100); }

/* What the program says, and that the text as it was brings the results. */
static void text_that_changes_is_named_whenever_it_does(void **state) {
    (void)state;
#define LONG_RUN RUN_AGAIN "train.steps=1500 train.log_every=500"
    set_scene(TEXT);
    must_end(LONG_RUN, STATUS_OK);
    const char *done = file_of("journal/*.jsonl"), *hash = hash_in(&work, "results.db");
    const char *run = arena_printf(work.arena, "%.12s", strrchr(done, '/') + 1);
    flip_in_text(); /* all is done: nothing to mix */
    must_end(LONG_RUN, STATUS_OK);
    outcome o = mixgrid(&work, arena_printf(work.arena, "verify %s --db {}/results.db", run));
    assert_int_equal(o.code, STATUS_ENVIRONMENT);
    assert_non_null(strstr(o.err, "the data of corpus=damage.txt tokens=word "));
    assert_non_null(strstr(o.err, " have changed since run "));
    char expected[65];
    snprintf(expected, sizeof expected, "%s", hash);
    /* while the first of two runs is trained */
    set_scene(TEXT);
    const pid_t pid = mixgrid_start(&work, LONG_RUN);
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 20000 && number_of("journal/*.jsonl") < 2; i++) nanosleep(&pause, NULL);
    flip_in_text();
    o = mixgrid_end_in_time(&work, pid);
    assert_int_equal(o.code, STATUS_RUNS_FAILED);
    assert_non_null(strstr(o.err, " have changed since this sweep began; restore the file"));
    flip_in_text();
    must_end(LONG_RUN, STATUS_OK);
    assert_string_equal(hash_in(&work, "results.db"), expected);
}

static int set_up(void **state) {
    (void)state;
    const folder f = folder_new();
    snprintf(root, sizeof root, "%s", f.path);
    arena_free(f.arena);
    work.arena = arena_new();
    snprintf(work.path, sizeof work.path, "%.50s/work", root);
    return setenv("MIXGRID_DATA", work.path, 1);
}

static int tear_down(void **state) {
    (void)state;
    arena_free(work.arena);
    folder f = {.arena = arena_new()};
    snprintf(f.path, sizeof f.path, "%s", root);
    folder_remove(&f);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_files_lose_no_result),
        cmocka_unit_test(text_that_changes_is_named_whenever_it_does)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
