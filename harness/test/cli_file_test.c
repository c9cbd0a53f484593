/* cli_file_test.c - command lines whose files are not what they are named for: databases, grids,
 * arrays, outputs. None of them is changed, and none ends by a signal. */
#include "cli_fixture.h"
#include "tasks/npy.h"

#include <sqlite3.h>

static folder shared; /* grid.yaml, done.db with its four runs, files of the wrong kind */

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
    folder_write(&shared, "list.yaml", "- experiment\n");
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

static void make_other_program(const char *path) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE mail (body)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Every command that takes --db, given what is no results database: refused, and left as it is. */
static void wrong_databases(void **state) {
    (void)state;
    static const char *const command[] = {
        "status",
        "report small",
        "query runs",
        "show a",
        "compare a b",
        "verify a",
        "collect {}/grid.yaml",
        "rebuild",
        "merge {}/done.db",
        "run {}/grid.yaml",
        "run {}/grid.yaml --dry-run",
        "submit {}/grid.yaml --slurm --dry-run",
        "bench --ms 1 --only V8192",
    };
    static const struct {
        const char *db, *sentence;
    } wrong[] = {
        {"{}/other.db", "other.db is an SQLite database of another program"},
        {"{}/notes.txt", "notes.txt is no SQLite database"},
        {"{}/folder", "folder is a folder; name a file in it with --db."},
        {"/dev/null", "/dev/null is no plain file; name another with --db."},
    };
    static const char notes[] = "not a database, and more than the sixteen bytes of its head\n";
    folder_write(&shared, "notes.txt", notes);
    make_other_program(folder_at(&shared, "other.db"));
    assert_int_equal(mkdir(folder_at(&shared, "folder"), 0777), 0);
    for (size_t i = 0; i < sizeof command / sizeof *command; i++)
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            const char *line = arena_printf(shared.arena, "%s --db %s", command[i], wrong[k].db);
            check_bad(&shared, &(bad){line, 3, {wrong[k].sentence, NULL}}, 1);
        }
    assert_string_equal(folder_read(&shared, "notes.txt"), notes);
    assert_int_equal(access(folder_at(&shared, "notes.txt.damaged-1"), F_OK), -1);
    assert_int_equal(rmdir(folder_at(&shared, "folder")), 0); /* nothing was put into it */
}

/* A file that something else has just created holds no results, and takes some. */
static void empty_databases(void **state) {
    (void)state;
    folder_write(&shared, "none.db", "");
    check_bad(&shared,
              &(bad){"status --db {}/none.db", 3, {"none.db is empty", "`mixgrid run FILE` does."}},
              1);
    static const char *const planned[] = {"run {}/grid.yaml --dry-run --db {}/none.db",
                                          "submit {}/grid.yaml --slurm --dry-run --db {}/none.db"};
    for (int i = 0; i < 2; i++) assert_int_equal(mixgrid(&shared, planned[i]).code, 0);
}

#define RUN "run {}/grid.yaml --db {}/new.db "

static void wrong_grids(void **state) {
    (void)state;
    static const bad cases[] = {
        {"run {}/none.yaml",
         2,
         {"none.yaml: error: cannot be opened: No such file", "; name a grid file, such as"}},
        {"run {}/gird.yaml", 2, {"cannot be opened: No such file", "; did you mean /"}},
        {"run {}/gird.yaml", 2, {"/grid.yaml?", NULL}},
        {"run {}/grid.yml", 2, {"/grid.yaml?", NULL}},
        {"run {}/grid", 2, {"/grid.yaml?", NULL}},
        {"run tinny", 2, {"did you mean experiments/tiny.yaml?", NULL}},
        {"run wikitext2-wrod.yaml", 2, {"did you mean experiments/lm/wikitext2-word.yaml?", NULL}},
        {"run {}/grid.yaml/x.yaml", 2, {"cannot be opened: Not a directory", "name a grid"}},
        {"run train.lr=1 {}/grid.yaml", 2, {"settings come behind the grid file", NULL}},
        {"run {}/list.yaml", 2, {"list.yaml:1:1: error: a grid file is a map", "experiment: NAME"}},
        {"submit {}/gird.yaml --slurm", 2, {"did you mean /", "/grid.yaml?"}},
        {"collect {}/gird.yaml --db {}/done.db", 2, {"did you mean /", "/grid.yaml?"}},
        {"run {}", 2, {"is a folder; name a file in it, such as /", "/broken.yaml"}},
        {"run {}/empty.yaml", 2, {"empty.yaml:1:1: error: the file is empty", NULL}},
        {"run {}/broken.yaml", 2, {"broken.yaml:2:6: error: not valid YAML", NULL}},
        {"run {}/tab.yaml", 2, {"tab.yaml:3:1: error:", "tab"}},
        {"run {}/bytes.yaml", 2, {"is not UTF-8", "save the file as UTF-8"}},
        {"run {}/done.db", 2, {"control character 0x00", "name a grid file, which is YAML"}},
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&shared, &cases[i], 1);
    /* every error of a file is shown */
    check_bad(&shared,
              &(bad){"run {}/two.yaml", 2, {"two.yaml:4:20: error:", "two.yaml:5:15: error:"}}, 2);
}

static void wrong_arrays_for_probe(void **state) {
    (void)state;
#define PROBE "probe --tokens {}/"
    static const bad cases[] = {
        {"probe", 2, {"mixgrid probe needs --tokens FILE.npy", "--help"}},
        {PROBE "absent.npy", 3, {"absent.npy: No such file", "name a .npy file that you can read"}},
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&shared, &cases[i], 1);
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

static void unwritable_standard_output_is_an_error(void **state) {
    (void)state;
    if (access("/dev/full", W_OK)) skip();
    static const char *const line[] = {"help",
                                       "help completion",
                                       "run --help",
                                       "doctor",
                                       "task show nar",
                                       "status --db {}/done.db",
                                       "status --json --db {}/done.db",
                                       "query runs --db {}/done.db",
                                       "report small --print main --db {}/done.db",
                                       "run {}/grid.yaml --dry-run --db {}/done.db"};
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        const outcome o = mixgrid_wait(&shared, mixgrid_start_into(&shared, line[i], "/dev/full"));
        if (o.code != 3 || !strstr(o.err, "could not be written") || lines_of(o.err) != 1)
            fail_msg("mixgrid %s: exit code %d\n%s", line[i], o.code, o.err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_databases),
        cmocka_unit_test(empty_databases),
        cmocka_unit_test(wrong_grids),
        cmocka_unit_test(wrong_arrays_for_probe),
        cmocka_unit_test(unwritable_standard_output_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_shared, remove_shared);
}
