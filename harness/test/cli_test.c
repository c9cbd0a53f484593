/* cli_test.c - command lines, good and bad: the exit code, the sentence with its remedy, and that
 * nothing ends by a signal or with two sentences where one is meant. */
#include "cli_fixture.h"
#include "results/store.h"
#include "results/test/store_fixture.h"

#include <time.h>

static folder shared; /* grid.yaml, done.db with its four runs */

static int make_shared(void **state) {
    (void)state;
    shared = folder_new();
    folder_write(&shared, "grid.yaml", grid_text);
    const outcome run = mixgrid(&shared, "run {}/grid.yaml --db {}/done.db --no-report");
    if (run.code) print_error("%s", run.err);
    return run.code;
}

static int remove_shared(void **state) {
    (void)state;
    folder_remove(&shared);
    return 0;
}

#define RUN    "run {}/grid.yaml --db {}/new.db "
#define DONE   "--db {}/done.db "
#define SUBMIT "submit {}/grid.yaml --slurm --dry-run --db {}/new.db "

static void wrong_command_lines(void **state) {
    (void)state;
    static const bad cases[] = {
        {"frobnicate", 2, {"there is no command frobnicate", "see mixgrid help."}},
        {"rnu", 2, {"did you mean run", NULL}},
        {"experiments/tiny.yaml", 2, {"mixgrid run experiments/tiny.yaml.", NULL}},
        {"experiments/tiny", 2, {"mixgrid run experiments/tiny.", NULL}},
        {"-x", 2, {"there is no command -x", "see mixgrid help."}},
        {"run", 2, {"mixgrid run needs a grid file", NULL}},
        {RUN "--wrokers 3", 2, {"did you mean --workers", "see mixgrid run --help."}},
        {RUN "-x", 2, {"mixgrid run has no option -x", NULL}},
        {RUN "--workers", 2, {"--workers needs a value: N.", NULL}},
        {RUN "--workers 0", 2, {"--workers takes a whole number from 1, not 0.", NULL}},
        {RUN "--workers=x", 2, {"--workers takes a whole number from 1, not x.", NULL}},
        {RUN "--workers 99999999999999999999", 2, {"takes a whole number", NULL}},
        {RUN "--workers 4097", 2, {"--workers is at most 4096, not 4097.", NULL}},
        {RUN "--workers 4294967297", 2, {"from 1 to 2147483647, not 4294967297.", NULL}},
        {RUN "--pack 0", 2, {"--pack takes a whole number from 1 to 4096 or auto, not 0.", NULL}},
        {RUN "--fail-fast --keep-going", 2, {"contradict each other; leave one out.", NULL}},
        {RUN "--only mixr=cat", 2, {"has a setting mixr;", "--dry-run lists the cells"}},
        {RUN "--only lr<", 2, {"train.lr< lacks a value; write one right behind it.", NULL}},
        {RUN "--dry-run=yes", 2, {"--dry-run takes no value.", NULL}},
        {RUN "--db=", 2, {"--db is empty; it takes FILE.", NULL}},
        {RUN "--retry all", 2, {"--retry takes the word failed, not all.", NULL}},
        {RUN "--only nothing", 2, {"--only nothing fits no cell", "mixer=attention seed=0"}},
        {RUN "--device gpu", 2, {"no device is called gpu", "use auto, cuda"}},
        {RUN "extra", 2, {"a setting is written key=value", NULL}},
        {RUN "=3", 2, {"the key is missing", NULL}},
        {"report", 2, {"needs an experiment or its grid file", "mixgrid status lists"}},
        {"report none " DONE, 2, {"there is no experiment `none` in /", "did you mean: small?"}},
        {"report small --print main --format html " DONE, 2, {"--format is terminal", NULL}},
        {"report small --db {}/none.db", 3, {"there is no results database", "mixgrid run FILE"}},
        {"status --db {}/none.db", 3, {"there is no results database", "mixgrid run FILE"}},
        {"status a b " DONE, 2, {"does not know what to do with b", "--help"}},
        {"status none " DONE, 2, {"holds no experiment `none`; it has small.", NULL}},
        {"status small --hash " DONE, 2, {"does not know what to do with small", "--help"}},
        {"status --every 3 " DONE, 2, {"--every 3 goes with --watch", "add it"}},
        {"status --watch --every 0 " DONE, 2, {"a whole number from 1, not 0", NULL}},
        {"status --watch --hash " DONE, 2, {"does not go with --watch", "leave one out"}},
        {"status none --watch " DONE, 2, {"holds no experiment `none`; it has small.", NULL}},
        {"status --hash --json " DONE, 2, {"--hash goes with neither", "leave it out"}},
        {"report small --format latex " DONE, 2, {"--format latex goes with --print", "main"}},
        {"report small --print main --out x " DONE, 2, {"leave out --out.", NULL}},
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
        {"query --list runs " DONE, 2, {"does not know what to do with runs", NULL}},
        {"query metrics zz " DONE, 2, {"holds no run whose id starts with `zz`", NULL}},
        {"show '' " DONE, 2, {"the run id is empty; `mixgrid query runs` lists them.", NULL}},
        {RUN "foo.bar=1", 2, {"unknown key foo.bar; mixgrid help config lists them", NULL}},
        {"query runs a b " DONE, 2, {"does not know what to do with b", NULL}},
        {"query --preset none " DONE, 2, {"there is no preset none", "query --list"}},
        {"query runs --format xml " DONE, 2, {"--format is table, csv, json or markdown", NULL}},
        {"rebuild --db {}/no/where.db", 3, {"there is no folder", "create it or use another --db"}},
        {"help nothing", 2, {"there is no help on nothing; mixgrid help lists the topics.", NULL}},
        {"help confg", 2, {"there is no help on confg, did you mean config;", NULL}},
        {"help run now", 2, {"mixgrid help run does not know what to do with now", NULL}},
        {"help mixer catt", 2, {"did you mean cat;", "mixgrid help mixers"}},
        {"help task mqra", 2, {"did you mean mqar;", "mixgrid help tasks"}},
        {"doctor --db x", 2, {"mixgrid doctor has no option --db", "mixgrid doctor --help"}},
        {"doctor now", 2, {"mixgrid doctor does not know what to do with now", NULL}},
        {"submit {}/grid.yaml", 2, {"mixgrid submit needs --slurm", NULL}},
        {SUBMIT "--pack x", 2, {"--pack takes a whole number from 1 to 4096 or auto", NULL}},
        {SUBMIT "--mem 16GB", 2, {"--mem is a size such as 16G or 800M, not 16GB.", NULL}},
        {SUBMIT "--mem G", 2, {"--mem is a size such as 16G or 800M, not G.", NULL}},
        {SUBMIT "--gpus 65", 2, {"--gpus is at most 64 for each task, not 65.", NULL}},
        {SUBMIT "--device gpu", 2, {"no device is called gpu; use auto, cuda", NULL}},
        {SUBMIT "--device cuda", 2, {"--device cuda needs GPUs from Slurm; add --gpus 1", NULL}},
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
        {"bench now", 2, {"mixgrid bench does not know what to do with now", NULL}},
        {"bench --only nothing",
         2,
         {"--only nothing fits no row; rows look like", "attention d64"}},
        {"bench --mixers --only nothing", 2, {"--only nothing fits no row", "acmix"}},
        {"bench --mixers --d-model 65537", 2, {"--d-model is at most 65536, not 65537.", NULL}},
        {"bench --mixers --device gpu", 2, {"no device is called gpu", NULL}},
        {"task", 2, {"say mixgrid task show NAME", NULL}},
        {"task show", 2, {"say mixgrid task show NAME", NULL}},
        {"task show none", 2, {"unknown task none; known:", NULL}},
        {"task show mqar length=15", 2, {"mqar needs an even length", NULL}},
        {"task show nar --split dev", 2, {"--split is train, val or test, not dev.", NULL}},
        {"task show nar --split val --index 1000", 2, {"has 1000 examples", "eval.examples"}},
        {"task show nar --index 9223372036854775807", 2, {"that can be shown", NULL}},
        {"task export nar --count 1001 --split test", 2, {"has 1000 examples", "eval.examples"}},
        {"task export nar --out /proc/none/x",
         3,
         {"could not create the folder", "give a folder you can write with --out."}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_bad(&shared, &cases[i], 1);
    assert_int_equal(access(folder_at(&shared, "new.db"), F_OK), -1); /* nothing was begun */
    const outcome o = mixgrid(&shared, "query 'select count(*) from run' --format csv " DONE);
    assert_non_null(strstr(o.out, "\n4"));
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
        "help completion",
        "help cat",
        "help nar",
        "help swiglu",
        "help --help",
        "doctor --help",
        "run --help",
        "task show nar",
        "status " DONE,
        "status small --json " DONE,
        "query runs " DONE,
        "query --list",
        "rebuild --check " DONE,
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

/* Commands from the table of commands, options from the table that parses them. */
static void completion_knows_all_commands_and_options(void **state) {
    (void)state;
    if (access("/bin/bash", X_OK)) skip();
    static const char script[] =
        "source <(\"$0\" help completion)\n"
        "names=$(\"$0\" help | sed -n 's/^  mixgrid \\([a-z]*\\) .*/\\1/p' | sort -u)\n"
        "complete() { COMP_WORDS=(\"$0\" \"$@\") COMP_CWORD=$#; _mixgrid; }\n"
        "sorted() { tr ' ' '\\n' | sort -u | tr '\\n' ' '; }\n"
        "complete ''\n"
        "[ \"$(echo $names | sorted)\" = \"$(echo ${COMPREPLY[@]} | sorted)\" ] || echo commands\n"
        "for c in $names; do\n"
        "    complete $c --\n"
        "    options=$(\"$0\" $c --help | grep -o '^  --[a-z-]*')\n"
        "    [ \"$(echo --help $options | sorted)\" = \"$(echo ${COMPREPLY[@]} | sorted)\" ] ||\n"
        "        echo options of $c: ${COMPREPLY[@]}\n"
        "done\n"
        "complete run --wor; echo ${COMPREPLY[@]}\n"
        "complete help mixer ca; echo ${COMPREPLY[@]}\n"
        "complete task show mq; echo ${COMPREPLY[@]}\n";
    folder_write(&shared, "complete.sh", script);
    FILE *out = popen(arena_printf(shared.arena, "bash -c \"$(cat %s/complete.sh)\" %s",
                                   shared.path, mixgrid_path()),
                      "r");
    char text[1024] = "";
    assert_non_null(out);
    text[fread(text, 1, sizeof text - 1, out)] = '\0';
    assert_int_equal(pclose(out), 0);
    assert_string_equal(text, "--workers\ncat\nmqar\n");
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
    o = mixgrid(&f, "run {}/grid.yaml --dry-run model.mixer=cat train.seed=0");
    assert_non_null(strstr(o.out, "small: 1 cell (0 merged"));
    assert_non_null(strstr(o.out, "before, 1 pack to run on "));
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
        cmocka_unit_test(good_commands_end_well_and_print_to_stdout),
        cmocka_unit_test(completion_knows_all_commands_and_options),
        cmocka_unit_test(plain_progress_when_there_is_no_terminal),
        cmocka_unit_test(machines_are_joined),
        cmocka_unit_test(conflicts_are_told_and_compared),
        cmocka_unit_test(dry_run_shows_cells_and_leaves_no_trace),
        cmocka_unit_test(large_grids_are_planned_quickly),
    };
    return cmocka_run_group_tests(tests, make_shared, remove_shared);
}
