/* slurm_test.c - the batch script, word for word and run by a shell with programs that stand in for
 * Slurm's; what squeue and sacct print; commands where there is no Slurm. */
#include "folder_fixture.h"
#include "harness/slurm_script.h"
#include "harness/slurm_view.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- the script ---- */

static const char *text_of(arena *a, const slurm_script *s) {
    const char *text = NULL;
    error e = {0};
    if (slurm_script_text(&text, a, s, &e)) fail_msg("%s", e.text);
    return text;
}

/* Every kind of word that a shell or sbatch could stumble over. */
static const char *const odd[] = {"train.lr=1e-3,1e-2", "~model.conv", "a=it's \"$HOME\" `id`\\n"};

static const slurm_script full = {.experiment = "odd",
                                  .program = "/opt/mix grid/mixgrid",
                                  .grid = "/home/a b/it's.yaml",
                                  .db = "/home/a b/r \"1\".db",
                                  .folder = "/home/a \"b\"",
                                  .log = "/home/a b/100%/log",
                                  .argument = odd,
                                  .n_arguments = 3,
                                  .shares = 12,
                                  .cpus = 4,
                                  .gpus = 1,
                                  .on_gpus = true,
                                  .mem_mib = 4608,
                                  .time = "02:00:00",
                                  .partition = "gpu",
                                  .account = "lab",
                                  .extra = "--qos=\"low prio\" --nice"};

static void test_script_word_for_word(void **unused) {
    (void)unused;
    arena *a = arena_new();
    const char *text = text_of(a, &full);
    const char *const part[] = {
        "#!/bin/sh\n"
        "#SBATCH --job-name=mixgrid-odd\n"
        "#SBATCH --array=1-12\n"
        "#SBATCH --nodes=1\n"
        "#SBATCH --ntasks=1\n"
        "#SBATCH --cpus-per-task=4\n"
        "#SBATCH --mem=4608M\n"
        "#SBATCH --gres=gpu:1\n"
        "#SBATCH --time=02:00:00\n"
        "#SBATCH --partition=gpu\n"
        "#SBATCH --account=lab\n"
        "#SBATCH --signal=B:USR2@120\n"
        "#SBATCH --requeue\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --chdir=\"/home/a \\\"b\\\"\"\n"
        "#SBATCH --output=\"/home/a b/100%%/log/slurm-%A_%a.log\"\n"
        "#SBATCH --qos=\"low prio\" --nice\n",
        "\n'/opt/mix grid/mixgrid' run '/home/a b/it'\\''s.yaml' train.lr=1e-3,1e-2 '~model.conv' "
        "'a=it'\\''s \"$HOME\" `id`\\n' \\\n"
        "    --db '/home/a b/r \"1\".db' --share \"$SLURM_ARRAY_TASK_ID/12\" &\n"};
    assert_ptr_equal(strstr(text, part[0]), text);
    assert_non_null(strstr(text, part[1]));
    assert_null(strstr(text, "--workers")); /* one for each GPU */
    arena_free(a);
}

static void test_what_sbatch_cannot_be_told(void **unused) {
    (void)unused;
    arena *a = arena_new();
    slurm_script s[4] = {full, full, full, full};
    s[0].folder = "/a\nb";
    s[1].extra = "--nice\nrm -rf x";
    s[2].log = "/a\\b/log";
    s[3].partition = "a\nb";
    for (int i = 0; i < 4; i++) {
        const char *text;
        error e = {0};
        assert_int_equal(slurm_script_text(&text, a, &s[i], &e), STATUS_USAGE);
    }
    arena_free(a);
}

static void test_times(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        double s;
    } limit[] = {{"30", 1800},         {"5:30", 330},     {"1:00:00", 3600},
                 {"100:00:00", 3.6e5}, {"1-0", 86400},    {"1-2:30", 95400},
                 {"2-0:0:5", 172805},  {"", -1},          {"x", -1},
                 {"1:", -1},           {"1:2:3:4", -1},   {"1-", -1},
                 {"1:2-3", -1},        {"1-2-3", -1},     {"-5", -1},
                 {"1 h", -1},          {"1-1:1:1:1", -1}, {"99999999999999", -1}};
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++)
        if (slurm_time_s(limit[i].text) != limit[i].s)
            fail_msg("%s is %g s", limit[i].text, slurm_time_s(limit[i].text));
}

/* ---- the script, run ---- */

static void write_program(const folder *f, const char *name, const char *text) {
    assert_int_equal(chmod(folder_write(f, name, text), 0755), 0);
}

/* In a folder with an awkward name: Slurm's programs, and in place of mixgrid one that writes down
 * its words, then ends with the code in the file "code", or with 75 when it gets USR2. */
static folder stage(void) {
    folder f = folder_new();
    write_program(&f, "squeue", "#!/bin/sh\ncat state\n");
    write_program(&f, "scontrol", "#!/bin/sh\necho \"$@\" >>scontrol.txt\n");
    write_program(&f, "it's a \"mixgrid\"",
                  "#!/bin/sh\n"
                  "trap 'echo stopped >>words.txt; exit 75' USR2\n"
                  "printf '<%s>' \"$@\" >words.txt\n"
                  "[ ! -e slow ] || : >ready\n"
                  "i=0\n"
                  "while [ -e slow ] && [ $i -lt 200 ]; do i=$((i + 1)); sleep 0.05; done\n"
                  "exit \"$(cat code)\"\n");
    folder_write(&f, "state", "RUNNING\n");
    slurm_script s = full;
    s.program = folder_at(&f, "it's a \"mixgrid\"");
    s.gpus = 0;
    s.on_gpus = false;
    write_program(&f, "job.sh", text_of(f.arena, &s));
    return f;
}

/* Runs job.sh; as soon as mixgrid is ready, sends `number` to the script alone. */
static int run_job(const folder *f, int number) {
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        if (chdir(f->path)) _exit(126);
        setenv("PATH", arena_printf(f->arena, "%s:%s", f->path, getenv("PATH")), 1);
        setenv("SLURM_ARRAY_TASK_ID", "7", 1);
        setenv("SLURM_JOB_ID", "1234", 1);
        setenv("SLURM_CPUS_PER_TASK", "3", 1);
        execl("./job.sh", "job.sh", (char *)NULL);
        _exit(126);
    }
    for (int i = 0; number && i < 400 && access(folder_at(f, "ready"), F_OK); i++) usleep(25000);
    if (number) kill(pid, number);
    int how;
    while (waitpid(pid, &how, 0) < 0) CHECK(errno == EINTR);
    return WIFEXITED(how) ? WEXITSTATUS(how) : -1;
}

static void test_words_arrive_whole(void **unused) {
    (void)unused;
    folder f = stage();
    folder_write(&f, "code", "0\n");
    assert_int_equal(run_job(&f, 0), 0);
    assert_string_equal(folder_read(&f, "words.txt"),
                        "<run></home/a b/it's.yaml><train.lr=1e-3,1e-2><~model.conv>"
                        "<a=it's \"$HOME\" `id`\\n><--db></home/a b/r \"1\".db><--share><7/12>"
                        "<--workers><3>");
    assert_string_equal(folder_read(&f, "scontrol.txt"), "");
    folder_remove(&f);
}

static void test_only_an_interrupted_task_is_queued_again(void **unused) {
    (void)unused;
    folder f = stage();
    folder_write(&f, "code", "1\n");
    assert_int_equal(run_job(&f, 0), 1);
    assert_string_equal(folder_read(&f, "scontrol.txt"), "");
    folder_write(&f, "code", "75\n");
    folder_write(&f, "state", "COMPLETING\n"); /* by scancel, say */
    assert_int_equal(run_job(&f, 0), 75);
    assert_string_equal(folder_read(&f, "scontrol.txt"), "");
    folder_write(&f, "state", "RUNNING\n");
    assert_int_equal(run_job(&f, 0), 75);
    assert_string_equal(folder_read(&f, "scontrol.txt"), "requeue 1234\n");
    folder_remove(&f);
}

static void test_signals_are_passed_on(void **unused) {
    (void)unused;
    static const int number[] = {SIGUSR2, SIGTERM};
    for (int i = 0; i < 2; i++) {
        folder f = stage();
        folder_write(&f, "slow", "");
        assert_int_equal(run_job(&f, number[i]), 75);
        assert_non_null(strstr(folder_read(&f, "words.txt"), "stopped"));
        assert_string_equal(folder_read(&f, "scontrol.txt"), "requeue 1234\n");
        folder_remove(&f);
    }
}

/* ---- what Slurm says ---- */

static void test_squeue(void **unused) {
    (void)unused;
    arena *a = arena_new();
    slurm_task task[5] = {0};
    slurm_read_squeue(task, 5, a,
                      "squeue: a warning\n"
                      "1|RUNNING|None|node7\n"
                      "2|PENDING|Resources|\n"
                      "3|NODE_FAIL|NodeDown|node8\n"
                      "4|COMPLETING|None|node9\n"
                      "6|RUNNING|None|node1\n"
                      "0|RUNNING|None|node1\n"
                      "N/A|RUNNING|None|node1\n"
                      "5");
    const task_word word[] = {TASK_RUNNING, TASK_PENDING, TASK_ENDED, TASK_RUNNING, TASK_UNKNOWN};
    for (int i = 0; i < 5; i++) assert_int_equal(task[i].word, word[i]);
    assert_string_equal(task[0].detail, "node7");
    assert_string_equal(task[1].detail, "Resources");
    assert_string_equal(task[2].state, "NODE_FAIL");
    arena_free(a);
}

static void test_sacct(void **unused) {
    (void)unused;
    arena *a = arena_new();
    slurm_task task[5] = {{TASK_RUNNING, "RUNNING", "node1"}};
    slurm_read_sacct(task, 5, a, "12",
                     "12_1|FAILED|node9\n"
                     "12_2|CANCELLED by 1000|node2\n"
                     "12_3|OUT_OF_MEMORY|node3\n"
                     "12_[4-5]|PENDING|None assigned\n"
                     "123_4|COMPLETED|node4\n"
                     "12_5.batch|COMPLETED|node5\n");
    assert_string_equal(task[0].state, "RUNNING"); /* squeue is newer */
    assert_string_equal(task[1].state, "CANCELLED");
    assert_string_equal(task[1].detail, "node2");
    assert_string_equal(task[2].state, "OUT_OF_MEMORY");
    assert_int_equal(task[2].word, TASK_ENDED);
    assert_int_equal(task[3].word, TASK_UNKNOWN);
    assert_int_equal(task[4].word, TASK_UNKNOWN);
    arena_free(a);
}

/* ---- commands without Slurm ---- */

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8}\n"
                                "  train: {steps: 4, batch: 8}\n"
                                "  eval: {examples: 16}\n"
                                "seeds: 3\n";

static void assert_says(const folder *f, const char *line, int code, const char *part) {
    const outcome o = mixgrid(f, line);
    if (o.code != code || (!strstr(o.err, part) && !strstr(o.out, part)))
        fail_msg("%s: exit code %d\n%s%s", line, o.code, o.out, o.err);
}

#define SUBMIT "submit {}/grid.yaml --slurm --db {}/sweep/r.db "

static void test_bad_command_lines(void **unused) {
    (void)unused;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    setenv("PATH", f.path, 1);
    assert_says(&f, "submit {}/grid.yaml", 2, "--slurm");
    assert_says(&f, "submit --slurm", 2, "grid file");
    assert_says(&f, SUBMIT "--time 1h", 2, "HH:MM:SS");
    assert_says(&f, SUBMIT "--time 00:02:00", 2, "too short");
    assert_says(&f, SUBMIT "--only nothing", 2, "labels look like");
    assert_says(&f, SUBMIT "--mem much", 2, "16G");
    assert_says(&f, SUBMIT "--shares 5000", 2, "4096");
    assert_says(&f, SUBMIT, 3, "there is no sbatch in PATH");
    assert_says(&f, "run {}/grid.yaml --share 3/2", 2, "I/N");
    assert_says(&f, "collect --db {}/sweep/r.db", 2, "nothing was submitted");
    assert_says(&f, SUBMIT "--dry-run", 0, "#SBATCH --array=1-3\n");
    assert_says(&f, SUBMIT "--dry-run --gpus 1", 0, "--device=cuda");
    /* beside a GPU, but on the cores that the task has */
    assert_says(&f, SUBMIT "--dry-run --gpus 1 --device cpu", 0, "#SBATCH --gres=gpu:1\n");
    assert_says(&f, SUBMIT "--dry-run --gpus 1 --device cpu", 0, "--workers \"${SLURM_CPUS");
    folder_remove(&f);
}

/* A Slurm that takes the job, shows one task waiting and one gone, and then forgets it. */
static void test_status_without_a_word_of_the_tasks(void **unused) {
    (void)unused;
    folder f = folder_new();
    char *path = arena_text(f.arena, getenv("PATH"));
    folder_write(&f, "grid.yaml", grid_text);
    write_program(&f, "sbatch", "#!/bin/sh\necho warning >&2\necho '41;cluster'\n");
    write_program(&f, "squeue",
                  "#!/bin/sh\necho '1|PENDING|Priority|'\necho '2|RUNNING|None|n1'\n");
    write_program(&f, "sacct", "#!/bin/sh\necho '41_3|TIMEOUT|n2'\n");
    setenv("PATH", arena_printf(f.arena, "%s:/bin:/usr/bin", f.path), 1);
    assert_says(&f, SUBMIT "--shares 3", 0, "Slurm job 41\n");
    assert_says(&f, SUBMIT "--shares 3", 2, "scancel 41");
    assert_int_equal(mixgrid(&f, "run {}/grid.yaml --db {}/sweep/r.db --share 1/3").code, 0);
    assert_says(&f, "status --db {}/sweep/r.db", 0, "      1  REQUEUED");
    assert_says(&f, "status --db {}/sweep/r.db", 0, "      3  TIMEOUT");
    assert_says(&f, "collect --db {}/sweep/r.db --no-report", 75, "1 done");
    unlink(folder_at(&f, "out")); /* of the command before */
    const pid_t watch = mixgrid_start(&f, "status --watch --every 1 --db {}/sweep/r.db");
    for (int i = 0; i < 600 && !strstr(folder_read(&f, "out"), "REQUEUED"); i++) usleep(50000);
    assert_int_equal(waitpid(watch, NULL, WNOHANG), 0); /* no lock, but a task of the array runs */
    write_program(&f, "squeue", "#!/bin/sh\necho 'error: Invalid job id specified' >&2\nexit 1\n");
    const outcome watched = mixgrid_wait(&f, watch);
    assert_int_equal(watched.code, 0);
    assert_non_null(strstr(watched.out, "small           3     1 "));
    assert_non_null(strstr(watched.out, "      2  RUNNING "));
    assert_non_null(strstr(watched.out, "      2  ended "));
    assert_says(&f, "collect --db {}/sweep/r.db --no-report", 75, "the array has ended");
    assert_says(&f, SUBMIT "--shares 3", 0, "2 runs in 2 shares");
    const char *kept = folder_read(&f, "sweep/r.db.d/small.yaml");
    assert_string_equal(kept, grid_text);
    assert_says(&f, "submit {}/sweep/r.db.d/small.yaml --slurm --db {}/sweep/r.db", 0, "job 41");
    assert_string_equal(kept, folder_read(&f, "sweep/r.db.d/small.yaml"));
    unlink(folder_at(&f, "squeue")); /* as on a machine that is not of the cluster */
    assert_says(&f, "status --shares --json --db {}/sweep/r.db", 0, "\"task\":\"not started\"");
    setenv("PATH", path, 1);
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script_word_for_word),
        cmocka_unit_test(test_what_sbatch_cannot_be_told),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_words_arrive_whole),
        cmocka_unit_test(test_only_an_interrupted_task_is_queued_again),
        cmocka_unit_test(test_signals_are_passed_on),
        cmocka_unit_test(test_squeue),
        cmocka_unit_test(test_sacct),
        cmocka_unit_test(test_status_without_a_word_of_the_tasks),
        cmocka_unit_test(test_bad_command_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
