/* cli_test.c - command lines, good and bad: the exit code, the sentence with its remedy, and that
 * nothing ends by a signal or with two sentences where one is meant. */
#include "folder_fixture.h"
#include "results/store.h"
#include "results/test/store_fixture.h"
#include "tasks/npy.h"

#include <setjmp.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8}\n"
                                "  train: {steps: 4, batch: 8}\n"
                                "  eval: {examples: 16}\n"
                                "grid:\n"
                                "  model.mixer: [attention, cat]\n"
                                "seeds: 2\n";

static folder shared; /* grid.yaml, done.db with its two runs, arrays for probe */

static void write_npy(const char *name, npy_type type, int dims, const long *dim,
                      const void *data) {
    npy x = {.type = type, .n_dims = dims, .data = (void *)data};
    for (int i = 0; i < dims; i++) x.dim[i] = dim[i];
    error e = {0};
    if (npy_write(folder_at(&shared, name), &x, &e)) BUG("%s", e.text);
}

static int make_shared(void **state) {
    (void)state;
    shared = folder_new();
    folder_write(&shared, "grid.yaml", grid_text);
    folder_write(&shared, "empty.yaml", "");
    folder_write(&shared, "broken.yaml", "experiment: a\n  bad: [\n");
    folder_write(&shared, "tab.yaml", "experiment: a\ngrid:\n\ttrain.lr: [1]\n");
    folder_write(&shared, "bytes.yaml", "experiment: \xff\xfe\n");
    folder_write(&shared, "no_cells.yaml",
                 "experiment: a\ndefaults: {task: {name: mqar, vocab: 128}}\n"
                 "grid: {train.lr: []}\n");
    folder_write(&shared, "typo.yaml",
                 "experiment: a\ndefaults:\n  task: {name: mqar, vocab: 128}\n"
                 "  model: {d_modle: 8}\n");
    folder_write(&shared, "twice.yaml",
                 "experiment: a\ndefaults:\n  task: {name: mqar, vocab: 128}\n"
                 "  train: {lr: 1, lr: 2}\n");
    folder_write(&shared, "type.yaml",
                 "experiment: a\ndefaults:\n  task: {name: mqar, vocab: 128}\n"
                 "  model: {d_model: wide}\n");
    folder_write(&shared, "two.yaml",
                 "experiment: a\ndefaults:\n  task: {name: mqar, vocab: 128}\n"
                 "  model: {d_model: wide}\n  train: {lr: high}\n");
    const int token[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, minus[2] = {1, -3},
              large[2] = {1, 2147483647};
    const float real[2] = {1, 2};
    write_npy("tokens.npy", NPY_INT32, 2, (long[]){2, 5}, token);
    write_npy("longer.npy", NPY_INT32, 1, (long[]){10}, token);
    write_npy("cube.npy", NPY_INT32, 3, (long[]){1, 2, 5}, token);
    write_npy("none.npy", NPY_INT32, 2, (long[]){0, 5}, token);
    write_npy("minus.npy", NPY_INT32, 1, (long[]){2}, minus);
    write_npy("large.npy", NPY_INT32, 1, (long[]){2}, large);
    write_npy("real.npy", NPY_FLOAT32, 1, (long[]){2}, real);
    const outcome run = mixgrid(&shared, "run {}/grid.yaml --db {}/done.db --no-report"),
                  weights = mixgrid(&shared, "probe --tokens {}/tokens.npy --save-weights "
                                             "{}/weights.st --set model.d_model=8");
    if (run.code || weights.code) print_error("%s%s", run.err, weights.err);
    return run.code || weights.code;
}

static int remove_shared(void **state) {
    (void)state;
    folder_remove(&shared);
    return 0;
}

typedef struct bad {
    const char *line;
    int code;
    const char *part[2]; /* of what is printed on stderr; the second is the remedy, or NULL */
} bad;

static int lines_of(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

/* One line, ended by a newline, without an escape sequence; nothing on stdout. */
static void check_bad(const bad *c, int lines) {
    const outcome o = mixgrid(&shared, c->line);
    if (o.signal) fail_msg("mixgrid %s: signal %d\n%s", c->line, o.signal, o.err);
    if (o.code != c->code)
        fail_msg("mixgrid %s: exit code %d, not %d\n%s", c->line, o.code, c->code, o.err);
    for (int i = 0; i < 2; i++)
        if (c->part[i] && !strstr(o.err, c->part[i]))
            fail_msg("mixgrid %s: nothing of \"%s\" in:\n%s", c->line, c->part[i], o.err);
    const size_t n = strlen(o.err);
    if (lines_of(o.err) != lines || !n || o.err[n - 1] != '\n' || strchr(o.err, '\033'))
        fail_msg("mixgrid %s: not %d lines:\n%s", c->line, lines, o.err);
    if (*o.out) fail_msg("mixgrid %s: prints\n%s", c->line, o.out);
}

#define RUN  "run {}/grid.yaml --db {}/new.db "
#define DONE "--db {}/done.db "

static void wrong_command_lines(void **state) {
    (void)state;
    static const bad cases[] = {
        {"frobnicate", 2, {"there is no command frobnicate", "see mixgrid help."}},
        {"rnu", 2, {"did you mean run", NULL}},
        {"-x", 2, {"there is no command -x", "see mixgrid help."}},
        {"run", 2, {"mixgrid run needs a grid file", NULL}},
        {RUN "--wrokers 3", 2, {"did you mean --workers", "see mixgrid run --help."}},
        {RUN "-x", 2, {"mixgrid run has no option -x", NULL}},
        {RUN "--workers", 2, {"--workers needs a value: N.", NULL}},
        {RUN "--workers 0", 2, {"--workers takes a whole number from 1, not 0.", NULL}},
        {RUN "--workers=x", 2, {"--workers takes a whole number from 1, not x.", NULL}},
        {RUN "--workers 99999999999999999999", 2, {"takes a whole number", NULL}},
        {RUN "--dry-run=yes", 2, {"--dry-run takes no value.", NULL}},
        {RUN "--db=", 2, {"--db is empty; it takes FILE.", NULL}},
        {RUN "--retry all", 2, {"--retry takes the word failed, not all.", NULL}},
        {RUN "--only nothing", 2, {"--only nothing fits no cell", "mixer=attention seed=0"}},
        {RUN "--device gpu", 2, {"no device is called gpu", "use auto, cuda"}},
        {RUN "extra", 2, {"a setting is written key=value", NULL}},
        {RUN "=3", 2, {"the key is missing", NULL}},
        {"report", 2, {"needs an experiment or its grid file", "mixgrid status lists"}},
        {"report none " DONE, 2, {"there is no experiment 'none'", "did you mean: small?"}},
        {"report small --print main --format html " DONE, 2, {"--format is terminal", NULL}},
        {"report small --db {}/none.db", 3, {"there is no results database", "mixgrid run FILE"}},
        {"status --db {}/none.db", 3, {"there is no results database", "mixgrid run FILE"}},
        {"status a b " DONE, 2, {"does not know what to do with b", "--help"}},
        {"status none " DONE, 2, {"holds no experiment `none`; it has small.", NULL}},
        {"show 12 --db {}/none.db", 3, {"there is no results database", "mixgrid run FILE"}},
        {"show " DONE, 2, {"needs one run id", NULL}},
        {"show zzz " DONE, 2, {"holds no run whose id starts with `zzz`", "mixgrid query runs"}},
        {"show % " DONE, 2, {"holds no run whose id starts with `%`", NULL}},
        {"merge --db {}/new.db", 2, {"needs a database, a journal folder or a journal", NULL}},
        {"merge {}/none.db --db {}/done.db", 2, {"none.db cannot be merged: No such file", "name"}},
        {"merge {} --prefer mine --db {}/done.db", 2, {"--prefer takes ours or theirs", NULL}},
        {"merge {}/done.db --db {}/grid.yaml",
         3,
         {"is no SQLite database and is left alone", NULL}},
        {"compare a " DONE, 2, {"needs two runs", "DATABASE:ID"}},
        {"compare zz yy " DONE,
         2,
         {"holds no run whose id starts with `yy`", "mixgrid query runs"}},
        {"compare {}/none.db:a b " DONE, 2, {"holds no run whose id starts with `b`", NULL}},
        {"query " DONE, 2, {"needs SQL, or --preset NAME.", NULL}},
        {"query 'select 1' --db {}/none.db", 3, {"there is no results database", NULL}},
        {"query 'selekt 1' " DONE, 2, {"near \"selekt\": syntax error", NULL}},
        {"query 'select x from run' " DONE, 2, {"no such column: x", NULL}},
        {"query 'delete from run' " DONE, 2, {"was refused", "cannot change anything"}},
        {"query 'drop table run' " DONE, 2, {"was refused", NULL}},
        {"query 'pragma user_version = 9' " DONE, 2, {"was refused", NULL}},
        {"query 'select 1; delete from run' " DONE, 2, {"more than one statement", NULL}},
        {"query --preset none " DONE, 2, {"there is no preset none", "query --list"}},
        {"query runs --format xml " DONE, 2, {"--format is table, csv, json or markdown", NULL}},
        {"rebuild --db {}/no/where.db", 3, {"there is no folder", "create it or use another --db"}},
        {"help nothing", 2, {"there is no help on nothing; topics:", NULL}},
        {"help mixers model.d_model=wide", 2, {"model.d_model must be an integer", NULL}},
        {"help mixers model.ffn=moe model.top_k=9",
         2,
         {"model.top_k: 9 is more than model.experts: 8", NULL}},
        {"help mixers --format xml", 2, {"--format is table, md or csv, not xml", NULL}},
        {"help mixers --tiem 4", 2, {"did you mean --time", NULL}},
        {"help mixer absent", 2, {"there is no mixer or ffn absent", "mixgrid help mixers"}},
        {"help task none", 2, {"none", "mixgrid help tasks"}},
        {"bench --mixers --lengths 64,x", 2, {"--lengths takes whole numbers", "such as 64,128"}},
        {"bench --mixers --lengths 64,64", 2, {"--lengths must ascend: 64 comes after 64", NULL}},
        {"bench --convs --format xml", 2, {"--format is table, md or csv, not xml", NULL}},
        {"bench --d-model 8", 2, {"--format go with --mixers or --convs", NULL}},
        {"bench --mixers --device gpu", 2, {"no device is called gpu", NULL}},
        {"task", 2, {"say mixgrid task show NAME", NULL}},
        {"task show", 2, {"say mixgrid task show NAME", NULL}},
        {"task show none", 2, {"unknown task none; known:", NULL}},
        {"task show mqar length=15", 2, {"mqar needs an even length", NULL}},
        {"task show nar --split dev", 2, {"--split is train, val or test, not dev.", NULL}},
        {"task show nar --split val --index 1000", 2, {"has 1000 examples", "eval.examples"}},
        {"task show nar --index 9223372036854775807", 2, {"that can be shown", NULL}},
        {"task export nar --count 1001 --split test", 2, {"has 1000 examples", "eval.examples"}},
        {"task export nar --out /proc/none/x", 3, {"could not create the folder", NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&cases[i], 1);
    assert_int_equal(access(folder_at(&shared, "new.db"), F_OK), -1); /* nothing was begun */
    const outcome o = mixgrid(&shared, "query 'select count(*) from run' --format csv " DONE);
    assert_non_null(strstr(o.out, "\n4"));
}

static void wrong_grids(void **state) {
    (void)state;
    static const bad cases[] = {
        {"run {}/none.yaml", 2, {"none.yaml: error: cannot be opened: No such file", NULL}},
        {"run {}", 2, {"is a folder", "name a file in it"}},
        {"run {}/empty.yaml", 2, {"empty.yaml:1:1: error: the file is empty", NULL}},
        {"run {}/broken.yaml", 2, {"broken.yaml:2:6: error: not valid YAML", NULL}},
        {"run {}/tab.yaml", 2, {"tab.yaml:3:1: error:", "tab"}},
        {"run {}/bytes.yaml", 2, {"is not UTF-8", "save the file as UTF-8"}},
        {"run {}/done.db", 2, {"done.db:", "error:"}},
        {"run {}/no_cells.yaml",
         2,
         {"no_cells.yaml:3:18: error: train.lr has an empty list", NULL}},
        {"run {}/typo.yaml", 2, {"typo.yaml:4:11: error:", "did you mean model.d_model?"}},
        {"run {}/twice.yaml", 2, {"twice.yaml:4:18: error: duplicate key", "line 4"}},
        {"run {}/type.yaml", 2, {"type.yaml:4:20: error:", "an integer from 1 to 65536, not wide"}},
        {RUN "train.lr=", 2, {"train.lr has no value; write null", NULL}},
        {RUN "train.lr=nan", 2, {"must be a number from 0 to 1000, not nan", NULL}},
        {RUN "train.lr=-1", 2, {"must be a number from 0 to 1000, not -1", NULL}},
        {RUN "train.batch=0", 2, {"must be an integer from 1 to 1048576, not 0", NULL}},
        {RUN "train.schedule=wavy", 2, {"one of constant, cosine, linear", "not wavy"}},
        {RUN "model.mixer=atention", 2, {"unknown mixer atention; did you mean attention?", NULL}},
        {RUN "task.name=mqra", 2, {"unknown task mqra; did you mean mqar?", NULL}},
        {RUN "model.mixer=attention model.d_model=10 model.heads=4",
         2,
         {"model.heads: 4 does not divide model.d_model: 10", NULL}},
        {RUN "task.length=15", 2, {"task.length is 15; mqar needs an even length", NULL}},
        {RUN "task.pairs=5", 2, {"task.pairs is 5; at task.length = 16 at most 4 pairs", NULL}},
        {RUN "task.vocab=16", 2, {"task.vocab is 16; it must exceed task.length = 16", NULL}},
        {RUN "eval.lengths=[17]", 2, {"eval.lengths: at 17: ", "needs an even length"}},
        {RUN "eval.lengths=[16,128]", 2, {"eval.lengths: at 128: task.vocab is 64", NULL}},
        {RUN "train.epochs=2", 2, {"train.epochs: needs a finite training set", "train.examples"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&cases[i], 1);
    /* every error of a file is shown */
    check_bad(&(bad){"run {}/two.yaml", 2, {"two.yaml:4:20: error:", "two.yaml:5:15: error:"}}, 2);
}

static void wrong_arrays_for_probe(void **state) {
    (void)state;
#define PROBE "probe --tokens {}/"
    static const bad cases[] = {
        {"probe", 2, {"mixgrid probe needs --tokens FILE.npy", "--help"}},
        {PROBE "absent.npy", 3, {"absent.npy: No such file", NULL}},
        {PROBE "grid.yaml", 3, {"does not start like a .npy file", NULL}},
        {"probe --tokens {}", 3, {"it is not a plain file", NULL}},
        {PROBE "real.npy", 2, {"real.npy must hold int32 of shape [T] or [B,T].", NULL}},
        {PROBE "cube.npy", 2, {"cube.npy must hold int32 of shape [T] or [B,T].", NULL}},
        {PROBE "none.npy", 2, {"none.npy holds no tokens.", NULL}},
        {PROBE "minus.npy", 2, {"minus.npy holds -3 at position 1; the least is 0.", NULL}},
        {PROBE "large.npy", 2, {"a vocabulary of 2147483648 is too large; at most", NULL}},
        {PROBE "tokens.npy --labels {}/longer.npy", 2, {"longer.npy is [1,10]", "are [2,5]"}},
        {PROBE "tokens.npy --vocab 9", 2, {"token 9 does not fit", "give a larger --vocab"}},
        {PROBE "tokens.npy --set d_model", 2, {"a setting is written key=value", NULL}},
        {PROBE "tokens.npy --set model.d_modle=8", 2, {"did you mean model.d_model?", NULL}},
        {PROBE "tokens.npy --weights {}/absent", 3, {"absent: No such file", NULL}},
        {PROBE "tokens.npy --weights {}/grid.yaml", 3, {"is not a usable safetensors file", NULL}},
        {PROBE "tokens.npy --weights {}/weights.st --set model.d_model=16",
         2,
         {"weights.st: ", "the model needs ["}},
        {PROBE "tokens.npy --weights {}/weights.st --set model.d_model=8 --set model.layers=2",
         2,
         {"weights.st has no tensor ", NULL}},
        {PROBE "tokens.npy --device gpu", 2, {"no device is called gpu", NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&cases[i], 1);
    static const char *const unwritable[] = {"--logits", "--grads", "--save-weights"};
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        const outcome o = mixgrid(
            &shared, arena_printf(shared.arena, PROBE "tokens.npy %s /proc/none/x", unwritable[i]));
        assert_int_equal(o.code, 3);
        assert_non_null(strstr(o.err, "/proc/none/x"));
    }
    const outcome good = mixgrid(&shared, PROBE "tokens.npy --weights {}/weights.st --set "
                                                "model.d_model=8 --logits {}/logits.npy");
    assert_int_equal(good.code, 0);
    assert_non_null(strstr(good.out, "scored positions 8, loss 2.3")); /* log 10 */
}

static void good_commands_end_well_and_print_to_stdout(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "help",
        "--help",
        "-h",
        "--version",
        "doctor",
        "help config",
        "help mixers",
        "help mixers model.d_model=32 model.heads=4 --time 64 --vocab 9 --format md",
        "help mixers model.linear=bit158 model.ffn=moe --format csv",
        "help mixer cat",
        "help tasks",
        "help task mqar",
        "help recipes",
        "run --help",
        "task show nar",
        "status " DONE,
        "status small --json " DONE,
        "query runs " DONE,
        "query --list",
        "query 'select 1' --format json " DONE,
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const outcome o = mixgrid(&shared, lines[i]);
        if (o.code || o.signal || !*o.out || *o.err)
            fail_msg("mixgrid %s: %d, signal %d\n%s%s", lines[i], o.code, o.signal, o.out, o.err);
    }
    /* each command has its own help */
    static const char *const names[] = {"run",  "status", "report",  "query", "show",
                                        "task", "probe",  "rebuild", "merge", "compare"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const outcome o = mixgrid(&shared, arena_printf(shared.arena, "%s --help", names[i]));
        assert_int_equal(o.code, 0);
        assert_non_null(strstr(o.out, arena_printf(shared.arena, "mixgrid %s", names[i])));
    }
}

static void unwritable_standard_output_is_an_error(void **state) {
    (void)state;
    if (access("/dev/full", W_OK)) skip();
    const pid_t pid = fork();
    if (!pid) {
        dup2(open("/dev/full", O_WRONLY), 1);
        dup2(open("/dev/null", O_WRONLY), 2);
        execl(mixgrid_path(), "mixgrid", "help", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(mixgrid_wait(&shared, pid).code, 3);
}

static void plain_progress_when_there_is_no_terminal(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --no-report");
    assert_int_equal(o.code, 0);
    assert_int_equal(lines_of(o.err), 4); /* one for each run */
    assert_null(strchr(o.err, '\033'));
    assert_null(strchr(o.err, '\r'));
    assert_non_null(strstr(o.err, "done mixer=cat seed=1  "));
    assert_int_equal(lines_of(o.out), 1);
    folder_remove(&f);
}

/* ---- several machines ----------------------------------------------------------------------*/

static const char *content_of(const folder *f, const char *db) {
    error e = {0};
    char *text = arena_alloc(f->arena, 65);
    store *s = store_open_readonly(folder_at(f, db), &e);
    if (!s || store_content_hash(s, text, &e)) fail_msg("%s", e.text);
    store_close(s);
    return text;
}

static void says(const outcome *o, int code, const char *text, const char *part) {
    if (o->code != code || !strstr(text, part))
        fail_msg("exit code %d, no \"%s\" in:\n%s%s", o->code, part, o->out, o->err);
}

/* Half of a grid here, half there, and back together: as if one machine had run it all. */
static void machines_are_joined(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/a/results.db --no-report train.seed=0");
    assert_int_equal(o.code, 0);
    o = mixgrid(&f, "run {}/grid.yaml --db {}/b/results.db --no-report train.seed=1");
    assert_int_equal(o.code, 0);
    o = mixgrid(&f, "merge {}/b/results.db --db {}/a/results.db");
    says(&o, 0, o.out,
         "of 2 runs 2 added, 0 replaced by a better one, 0 equal; 0 experiments and "
         "2 cells added\n");
    assert_string_equal(content_of(&f, "a/results.db"), content_of(&shared, "done.db"));
    o = mixgrid(&f, "merge {}/b --db {}/a/results.db --json");
    says(&o, 0, o.out, "{\"runs\":2,\"added\":0,\"replaced\":0,\"equal\":2,");
    o = mixgrid(&f, "status --db {}/a/results.db --json");
    says(&o, 0, o.out, "\"cells\":4,\"done\":4");
    /* the same grid again: nothing is left to do */
    o = mixgrid(&f, "run {}/grid.yaml --db {}/a/results.db --no-report");
    says(&o, 0, o.out, "4 done (4 before)");
    assert_int_equal(unlink(folder_at(&f, "a/results.db")), 0);
    o = mixgrid(&f, "rebuild --db {}/a/results.db");
    says(&o, 0, o.out, "4 runs imported");
    o = mixgrid(&f, "status --db {}/a/results.db --json");
    says(&o, 0, o.out, "\"cells\":4,\"done\":4");
    folder_remove(&f);
}

static void conflicts_are_told_and_compared(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
#define ONE "--no-report --only 'mixer=cat seed=0'"
    outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/a/results.db " ONE);
    assert_int_equal(o.code, 0);
    error e = {0};
    store *s = store_open_readonly(folder_at(&f, "a/results.db"), &e);
    sqlite3_stmt *row = NULL;
    sqlite3_prepare_v2(store_handle(s), "SELECT id FROM run WHERE state = 'done'", -1, &row, NULL);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    const char *run = arena_text(f.arena, (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    store_close(s);
    /* as another machine would have it, but for one digit of one value */
    const char *name = arena_printf(f.arena, "a/journal/%s.jsonl", run);
    char *text = arena_text(f.arena, folder_read(&f, name));
    char *loss = strstr(text, "\"name\":\"loss\",\"step\":4,\"value\":");
    assert_non_null(loss);
    char *digit = strchr(strstr(loss, "value"), '.') + 3;
    *digit = *digit == '7' ? '3' : '7';
    fixture_reseal(text, (long)strlen(text));
    assert_int_equal(mkdir(folder_at(&f, "b"), 0777), 0);
    folder_write(&f, arena_printf(f.arena, "b/%s.jsonl", run), text);
    o = mixgrid(&f, "merge {}/b --db {}/c/results.db");
    assert_int_equal(o.code, 0);
    o = mixgrid(&f, arena_printf(f.arena,
                                 "compare %.10s {}/a/results.db:%.10s --db "
                                 "{}/a/results.db",
                                 run, run));
    says(&o, 0, o.out, "Results: equal to the bit: ");
    o = mixgrid(&f, arena_printf(f.arena,
                                 "compare %.10s {}/c/results.db:%.10s --db "
                                 "{}/a/results.db",
                                 run, run));
    says(&o, 1, o.out, "Curves, at the first step that differs: 1 curves differ");
    o = mixgrid(&f, "merge {}/c/results.db --db {}/a/results.db");
    says(&o, 1, o.err, "mixgrid: conflict: run ");
    says(&o, 1, o.err, "1 runs have other results elsewhere and ours were kept");
    says(&o, 1, o.out, "0 equal, 1 in conflict;");
    o = mixgrid(&f, "merge {}/c/results.db --db {}/a/results.db --prefer theirs");
    says(&o, 0, o.out, "1 replaced");
    assert_string_equal(content_of(&f, "a/results.db"), content_of(&f, "c/results.db"));
    folder_remove(&f);
}

/* ---- planning --------------------------------------------------------------------------------*/

static void dry_run_shows_cells_and_leaves_no_trace(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/sub/results.db --dry-run");
    assert_int_equal(o.code, 0);
    assert_string_equal(o.err, "");
    assert_non_null(strstr(o.out, "experiment small: 4 cells (0 merged, 0 excluded), 0 already "
                                  "done, 0 failed before, 4 packs to run on "));
    assert_non_null(strstr(o.out, "  mixer=attention seed=0\n"));
    assert_int_equal(access(folder_at(&f, "sub"), F_OK), -1);
    o = mixgrid(&shared, "run {}/grid.yaml " DONE "--dry-run train.seed=0,1,2");
    assert_non_null(strstr(o.out, "6 cells (0 merged, 0 excluded), 4 already done"));
    o = mixgrid(&shared, "run {}/grid.yaml " DONE "--dry-run --pack 8 train.seed=3,4,5");
    assert_non_null(strstr(o.out, "6 cells (0 merged, 0 excluded), 0 already done, 0 failed "
                                  "before, 2 packs"));
    o = mixgrid(&f, "run {}/grid.yaml --dry-run model.mixer=cat model.d_model=65536 "
                    "model.layers=256");
    assert_int_equal(o.code, 0);
    assert_non_null(strstr(o.out, "that this machine has free: they will fail"));
    folder_remove(&f);
}

static void large_grids_are_planned_quickly(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    const outcome o = mixgrid(&f, "run {}/grid.yaml --dry-run 'train.lr=logspace(1e-4,1e-2,2500)'");
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(o.code, 0);
    assert_non_null(strstr(o.out, "experiment small: 10000 cells"));
    /* 0.8 s in a release build on an idle machine; sanitizers take ten times as long */
    assert_true(to.tv_sec - from.tv_sec < 60);
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_command_lines),
        cmocka_unit_test(wrong_grids),
        cmocka_unit_test(wrong_arrays_for_probe),
        cmocka_unit_test(good_commands_end_well_and_print_to_stdout),
        cmocka_unit_test(unwritable_standard_output_is_an_error),
        cmocka_unit_test(plain_progress_when_there_is_no_terminal),
        cmocka_unit_test(machines_are_joined),
        cmocka_unit_test(conflicts_are_told_and_compared),
        cmocka_unit_test(dry_run_shows_cells_and_leaves_no_trace),
        cmocka_unit_test(large_grids_are_planned_quickly),
    };
    return cmocka_run_group_tests(tests, make_shared, remove_shared);
}
