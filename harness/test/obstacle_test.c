/* obstacle_test.c - sweeps with something in the way: another scheduler, a full or a read-only
 * disk, somebody else's files.
 *
 * MIXGRID_FAULT_TIMES=N does it N times (1), on other sizes of disk each time; with
 * MIXGRID_FAULT_TABLE=FILE the number of them becomes a row of the table in results/README.md. */
#include "sweep_fixture.h"

#include <sched.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cmocka.h>

static long fault_times(void) {
    const char *asked = getenv("MIXGRID_FAULT_TIMES");
    return asked ? strtol(asked, NULL, 10) : 1;
}

/* None failed, or the test would have ended. */
static void tell_times(const char *what, long times) {
    arena *a = arena_new();
    fault_row(what, arena_printf(a, "%ld times", times), times, 0);
    arena_free(a);
}

static void second_scheduler_is_told_who_is_first(void **state) {
    (void)state;
    folder f = folder_new();
    const pid_t pid = start_long(&f, "--workers 1");
    folder_write(&f, "other.yaml", grid_text);
    folder second = folder_new();
    const outcome o = mixgrid(
        &second, arena_printf(f.arena, "run %s/other.yaml --db %s/results.db", f.path, f.path));
    assert_ended(&o, STATUS_ENVIRONMENT);
    assert_says(o.err, arena_printf(f.arena, "is being written by process %d on host ", pid));
    assert_says(o.err, "wait for it or use another --db.");
    /* readers are not kept out */
    const outcome status_now =
        mixgrid(&second, arena_printf(f.arena, "status --db %s/results.db", f.path));
    assert_ended(&status_now, STATUS_OK);
    kill(pid, SIGTERM);
    mixgrid_wait(&f, pid);
    folder_remove(&second);
    folder_remove(&f);
}

/* In one database: one trains all, the other is told so. */
static void of_schedulers_started_at_once_one_goes_on(void **state) {
    (void)state;
    const long times = fault_times();
    for (long i = 0; i < times; i++) {
        folder f = folder_new(), second = folder_new();
        long_grid(&f, STEPS);
        const char *line = arena_printf(
            f.arena, "run %s/grid.yaml --db %s/results.db --no-report --workers 1", f.path, f.path);
        const pid_t pid[] = {mixgrid_start(&f, line), mixgrid_start(&second, line)};
        const outcome o[] = {mixgrid_end_in_time(&f, pid[0]), mixgrid_end_in_time(&second, pid[1])};
        const int told = o[0].code == STATUS_ENVIRONMENT ? 0 : 1;
        assert_ended(&o[told], STATUS_ENVIRONMENT);
        assert_ended(&o[1 - told], STATUS_OK);
        assert_says(o[told].err, "is being written by ");
        assert_string_equal(database_hash(&f), expected_long());
        assert_true(ask_database(&f, "SELECT count(*) FROM attempt") == 8);
        folder_remove(&second);
        folder_remove(&f);
    }
    tell_times("two schedulers at once, one database: the second is told who is first", times);
}

/* Two databases in one folder, at the same time, on grids that overlap. */
static void schedulers_that_share_a_folder_share_the_work(void **state) {
    (void)state;
    const long times = fault_times();
    for (long t = 0; t < times; t++) {
        folder f = folder_new(), second = folder_new();
        long_grid(&f, STEPS);
        const pid_t one = mixgrid_start(&f, RUN "--workers 1 'train.seed=0,1,2'"),
                    other = mixgrid_start(
                        &second, arena_printf(f.arena,
                                              "run %s/grid.yaml --db %s/other.db --no-report "
                                              "--workers 1 'train.seed=1,2,3'",
                                              f.path, f.path));
        const outcome o[] = {mixgrid_end_in_time(&f, one), mixgrid_end_in_time(&second, other)};
        long before = 0;
        for (int i = 0; i < 2; i++) {
            assert_ended(&o[i], STATUS_OK);
            assert_says(o[i].out, "small: 12 cells: 12 done");
            const char *taken = strstr(o[i].out, "done (");
            if (taken) before += strtol(taken + strlen("done ("), NULL, 10);
        }
        assert_int_equal(before, 8); /* every shared run was trained by one of them */
        assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 12);
        assert_int_equal(mixgrid(&f, "rebuild --db {}/results.db").code, STATUS_OK);
        assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 16);
        assert_true(ask_database(&f, "SELECT count(*) FROM attempt") == 16);
        assert_true(ask_database(&f, "SELECT count(*) FROM cell") == 12);
        folder_remove(&second);
        folder_remove(&f);
    }
    tell_times("two schedulers at once, two databases in one folder: nothing is trained twice",
               times);
}

static void foreign_files_are_left_alone(void **state) {
    (void)state;
    folder f = small_sweep();
    outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/grid.yaml");
    assert_ended(&o, STATUS_ENVIRONMENT);
    assert_says(o.err, "is no SQLite database and is left alone");
    o = mixgrid(&f, "rebuild --db {}/grid.yaml");
    assert_ended(&o, STATUS_ENVIRONMENT);
    assert_string_equal(folder_read(&f, "grid.yaml"), grid_text);
    o = mixgrid(&f, "run {}/grid.yaml --db {}");
    assert_ended(&o, STATUS_ENVIRONMENT);
    assert_says(o.err, "is a folder; name a file in it");
    folder_remove(&f);
}

static void folder_that_cannot_be_made_is_named(void **state) {
    (void)state;
    folder f = small_sweep();
    static const char *const db[] = {"{}/grid.yaml/x/results.db", "/proc/nowhere/results.db",
                                     "{}/no/such/results.db"};
    for (size_t i = 0; i < sizeof db / sizeof *db; i++) {
        const outcome o = mixgrid(&f, arena_printf(f.arena, "run {}/grid.yaml --db %s", db[i]));
        assert_ended(&o, STATUS_ENVIRONMENT);
        assert_says(o.err, "could not create the folder");
        assert_says(o.err, "choose another place with --db.");
        assert_string_equal(o.out, "");
    }
    folder_remove(&f);
}

/* A file-size limit: what a full disk is to journals and database, without a mount. */
static void writes_that_fail_end_in_a_sentence(void **state) {
    (void)state;
    const long times = fault_times();
    for (long t = 0; t < times; t++) {
        folder f = small_sweep();
        struct rlimit limit, small = {.rlim_cur = 60000 + (rlim_t)t * 7001};
        getrlimit(RLIMIT_FSIZE, &limit);
        small.rlim_max = limit.rlim_max;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        const outcome full = sweep_in(&f, "");
        setrlimit(RLIMIT_FSIZE, &limit);
        assert_true(is_documented_end(&full));
        assert_true(t > 0 || full.code); /* later it may suffice */
        if (full.code) assert_true(strlen(full.err) > 0);
        const outcome again = sweep_in(&f, "--retry failed");
        assert_ended(&again, STATUS_OK);
        assert_string_equal(database_hash(&f), expected_hash());
        folder_remove(&f);
    }
    tell_times("files may not grow beyond 60 KB and more, then they may", times);
}

/* A disk of `kib` with the sweep on it, in a mount namespace of a child; what mixgrid gave. One
 * that is full gets room afterwards, and the same command must end well. */
static int sweep_on_disk(const folder *f, long kib, bool readonly, outcome *o) {
    const char *expected = expected_hash();
    fflush(NULL);
    const pid_t pid = fork();
    if (!pid) {
        const char *disk = folder_at(f, "disk"), *size = arena_printf(f->arena, "size=%ldk", kib);
        const char *line = "run {}/grid.yaml --db {}/disk/results.db --no-report --workers 1 "
                           "--retry failed";
        if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mkdir(disk, 0777) || mount("none", disk, "tmpfs", readonly ? MS_RDONLY : 0, size))
            _exit(77);
        const outcome got = mixgrid(f, line);
        if (!readonly) {
            folder_write(f, "full", got.err);
            if (mount("none", disk, NULL, MS_REMOUNT, "size=64m") || mixgrid(f, line).code ||
                strcmp(hash_in(f, "disk/results.db"), expected))
                _exit(79);
        }
        _exit(got.code < 0 ? 78 : got.code);
    }
    int how;
    waitpid(pid, &how, 0);
    *o = (outcome){WEXITSTATUS(how), 0, folder_read(f, "out"),
                   folder_read(f, readonly ? "err" : "full")};
    return o->code;
}

static void full_and_readonly_disks_are_named(void **state) {
    (void)state;
    const long times = fault_times();
    outcome o;
    for (long t = 0; t < times; t++) {
        folder f = small_sweep();
        if (sweep_on_disk(&f, 64 + 8 * t, false, &o) == 77) {
            print_message("no private mounts here: the full disk is not tested\n");
            folder_remove(&f);
            skip();
        }
        if (t == 0 || o.code) {
            assert_true(o.code == STATUS_ENVIRONMENT || o.code == STATUS_RUNS_FAILED);
            assert_says(o.err, "full");
        }
        folder_remove(&f);
    }
    tell_times("disk of 64 KB and more is full, then gets room", times);
    for (long t = 0; t < times; t++) {
        folder f = small_sweep();
        assert_int_equal(sweep_on_disk(&f, 64, true, &o), STATUS_ENVIRONMENT);
        assert_says(o.err, "--db");
        assert_says(o.err, "ead-only");
        folder_remove(&f);
    }
    tell_times("read-only disk is named", times);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_scheduler_is_told_who_is_first),
        cmocka_unit_test(of_schedulers_started_at_once_one_goes_on),
        cmocka_unit_test(schedulers_that_share_a_folder_share_the_work),
        cmocka_unit_test(foreign_files_are_left_alone),
        cmocka_unit_test(folder_that_cannot_be_made_is_named),
        cmocka_unit_test(writes_that_fail_end_in_a_sentence),
        cmocka_unit_test(full_and_readonly_disks_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
