/* fault_test.c - every allocation and every call of the system fails once in a small sweep.
 *
 * After each fault: the program ends in time and by itself; if it says that all is done, all is
 * right; if not, it said something, and the same command without a fault leaves the results of an
 * undisturbed sweep. Interrupted calls and short writes must go unnoticed.
 *
 * A run of the test tries SAMPLE calls of each kind, evenly spread; MIXGRID_FAULT_STEP=N every
 * N-th, from the one that MIXGRID_FAULT_FIRST=K names, so that N processes share the work: a sweep
 * this small mostly waits for the disk. With MIXGRID_FAULT_TABLE=FILE a row for each kind is
 * appended to that file. */
#define MIXGRID_BINARY "mixgrid_fault"
#include "fault_fixture.h"
#include "fault_plan.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { SAMPLE = 8 };

static const char grid_text[] = "experiment: faults\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 8, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8, mixer: cat}\n"
                                "  train: {steps: 4, batch: 2, log_every: 2, eval_every: 2,\n"
                                "          checkpoint_s: 0}\n"
                                "  eval: {examples: 4, lengths: [16]}\n"
                                "seeds: 2\n";

typedef struct fault {
    const char *name;
    fault_kind kind;
    int error;
    bool sticky;
    bool unnoticed; /* must change nothing at all */
} fault;

static const fault faults[] = {
    {"allocation fails", FAULT_ALLOC, ENOMEM, false, false},
    {"open: EMFILE", FAULT_OPEN, EMFILE, false, false},
    {"open: EACCES, from then on", FAULT_OPEN, EACCES, true, false},
    {"read: EIO", FAULT_READ, EIO, false, false},
    {"read: EINTR", FAULT_READ, EINTR, false, true},
    {"write: EIO", FAULT_WRITE, EIO, false, false},
    {"write: ENOSPC", FAULT_WRITE, ENOSPC, false, false},
    {"write: ENOSPC, from then on", FAULT_WRITE, ENOSPC, true, false},
    {"write: EINTR", FAULT_WRITE, EINTR, false, true},
    {"write: half of it", FAULT_WRITE, 0, false, true},
    {"sync: EIO", FAULT_SYNC, EIO, false, false},
    {"sync: EIO, from then on", FAULT_SYNC, EIO, true, false},
    {"rename: EIO", FAULT_RENAME, EIO, false, false},
    {"truncate: EIO", FAULT_TRUNCATE, EIO, false, false},
    {"mkdir: ENOSPC", FAULT_FOLDER, ENOSPC, false, false},
    {"fork or pipe: EAGAIN", FAULT_FORK, EAGAIN, false, false},
    {"wall clock: back by ten years, once", FAULT_CLOCK, 315360000, false, true},
    {"wall clock: back by ten years, to stay", FAULT_CLOCK, 315360000, true, true},
};
enum { N_FAULTS = sizeof faults / sizeof *faults };

#define SWEEP "run {}/grid.yaml --db {}/results.db --no-report --workers 1 --retry failed"

static fault_plan *plan_of(const folder *f) {
    const char *path = folder_at(f, "fault");
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0 && !ftruncate(fd, sizeof(fault_plan)));
    fault_plan *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    close(fd);
    return p;
}

/* One sweep in the folder with this fault; .signal SIGALRM: it hung and was killed. */
static outcome sweep_with(const folder *f, fault_plan *p, const fault *what, long at) {
    memset((void *)p, 0, sizeof *p);
    if (what) p->kind = what->kind, p->at = at, p->error = what->error, p->sticky = what->sticky;
    setenv("MIXGRID_FAULT", folder_at(f, "fault"), 1);
    const pid_t pid = mixgrid_start(f, SWEEP);
    unsetenv("MIXGRID_FAULT");
    return mixgrid_end_in_time(f, pid);
}

/* NULL: all is well; else what is wrong. */
static const char *try_fault(arena *a, const fault *what, long at, const char *expected) {
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    fault_plan *p = plan_of(&f);
    const outcome first = sweep_with(&f, p, what, at);
    const char *wrong = NULL;
    if (first.signal)
        wrong = arena_printf(a, "ended by signal %d: %s", first.signal, first.err);
    else if (!is_documented_end(&first))
        wrong = arena_printf(a, "exit code %d: %s", first.code, first.err);
    else if (!first.code && strcmp(hash_in(&f, "results.db"), expected))
        wrong = arena_printf(a, "said that all is done, and it is not: %s%s", first.out, first.err);
    else if (first.code && !*first.err)
        wrong = arena_printf(a, "exit code %d without a word", first.code);
    else if (what->unnoticed && first.code)
        wrong = arena_printf(a, "exit code %d: %s", first.code, first.err);
    const bool begun = !access(folder_at(&f, "results.db"), F_OK);
    if (!wrong && begun) { /* otherwise again would be an undisturbed sweep */
        const outcome again = sweep_with(&f, p, NULL, 0);
        if (again.code || strcmp(hash_in(&f, "results.db"), expected))
            wrong =
                arena_printf(a, "exit code %d, then %d: %s%s\n%s", first.code, again.code,
                             strcmp(hash_in(&f, "results.db"), expected) ? "other results: " : "",
                             first.err, again.err);
    }
    munmap((void *)p, sizeof *p);
    if (!wrong || !getenv("MIXGRID_FAULT_KEEP")) folder_remove(&f);
    return wrong;
}

static void no_failing_call_loses_a_result(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    fault_plan *p = plan_of(&f);
    const outcome undisturbed = sweep_with(&f, p, NULL, 0);
    if (undisturbed.code) fail_msg("%s", undisturbed.err);
    const char *expected = hash_in(&f, "results.db");
    assert_int_equal(strlen(expected), 64);
    long bad = 0;
    for (int i = 0; i < N_FAULTS; i++) {
        if (fault_is_left_out(faults[i].name)) continue;
        arena *a = arena_new();
        const long calls = p->count[faults[i].kind];
        const long step = fault_step(calls, SAMPLE);
        long tried = 0, lost = 0;
        for (long at = fault_first(); at <= calls; at += step) {
            const char *wrong = try_fault(a, &faults[i], at, expected);
            if (wrong) print_error("%s, call %ld: %s\n", faults[i].name, at, wrong);
            tried++;
            lost += wrong != NULL;
        }
        print_message("%s: %ld of %ld calls tried, %ld wrong\n", faults[i].name, tried, calls,
                      lost);
        fault_row(faults[i].name, arena_printf(a, "%ld of %ld calls", tried, calls), tried - lost,
                  lost);
        bad += lost;
        arena_free(a);
    }
    munmap((void *)p, sizeof *p);
    folder_remove(&f);
    assert_int_equal(bad, 0);
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
    print_message("skipped: the sanitizer has its own allocator.\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_failing_call_loses_a_result)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
