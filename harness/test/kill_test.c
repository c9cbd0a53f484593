/* kill_test.c - SIGKILL at random moments to schedulers and workers of a sweep of 24 cells.
 *
 * Whatever was killed, the same command is given again until the sweep is done; then the database,
 * and one made from the journals alone, must equal those of an undisturbed sweep, no run may have
 * been finished twice and none be missing. MIXGRID_KILLS=N: how many in all (default KILLS), over
 * as many sweeps as that takes. With MIXGRID_FAULT_TABLE=FILE a row is appended to that file. */
#include "ask_fixture.h"
#include "fault_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

#include <cmocka.h>

enum { KILLS = 12, MOST_WAIT_MS = 300 };

static const char grid_text[] =
    "experiment: kills\n"
    "defaults:\n"
    "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
    "  model: {d_model: 8, dropout: 0.1}\n"
    "  train: {steps: 150, batch: 8, log_every: 10, checkpoint_s: 0.02}\n"
    "  eval: {examples: 32, lengths: [32]}\n"
    "grid:\n"
    "  model.mixer: [attention, cat, linear]\n"
    "  train.lr: [1e-3, 3e-3]\n"
    "seeds: 4\n";
enum { CELLS = 24 };

#define SWEEP                                                                                      \
    "run {}/grid.yaml --db {}/results.db --no-report --workers 2 --retry failed "                  \
    "--max-attempts 1000"

static uint32_t seed = 12345;
static uint32_t below(uint32_t n) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static const char *undisturbed(void) {
    static char hash[65];
    if (*hash) return hash;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const outcome o = mixgrid(&f, SWEEP);
    if (o.code) fail_msg("%s", o.err);
    snprintf(hash, sizeof hash, "%s", results_hash(&f));
    folder_remove(&f);
    return hash;
}

/* Kills now and then until the sweep is done or there were `most` kills; how many there were. */
static long sweep_with_kills(const folder *f, long most) {
    long kills = 0;
    for (bool done = false; !done;) {
        const pid_t scheduler = mixgrid_start(f, SWEEP);
        int how;
        for (;;) {
            wait_ms(1 + below(MOST_WAIT_MS));
            const pid_t ended = waitpid(scheduler, &how, WNOHANG);
            if (ended == scheduler) break;
            pid_t victim[8] = {scheduler};
            const int n = 1 + workers_of(victim + 1, 7, scheduler);
            const pid_t chosen = victim[below((uint32_t)n)];
            if (kills == most) continue;
            kills += !kill(chosen, SIGKILL);
        }
        done = WIFEXITED(how) && WEXITSTATUS(how) == 0;
        if (!done && !WIFSIGNALED(how)) {
            const char *err = folder_read(f, "err");
            fail_msg("after %ld kills: exit code %d: %s", kills, WEXITSTATUS(how), err);
        }
    }
    return kills;
}

static void killed_sweep_ends_with_the_same_results(void **state) {
    (void)state;
    const char *asked = getenv("MIXGRID_KILLS");
    const long most = asked ? strtol(asked, NULL, 10) : KILLS;
    const char *expected = undisturbed();
    long kills = 0, sweeps = 0, attempts = 0;
    while (kills < most) {
        folder f = folder_new();
        folder_write(&f, "grid.yaml", grid_text);
        kills += sweep_with_kills(&f, most - kills);
        sweeps++;
        assert_string_equal(database_hash(&f), expected);
        assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'") == CELLS);
        assert_true(ask_database(&f, "SELECT count(*) FROM attempt WHERE state = 'done'") == CELLS);
        attempts += (long)ask_database(&f, "SELECT count(*) FROM attempt");
        assert_string_equal(results_hash(&f), expected);
        folder_remove(&f);
    }
    print_message("%ld kills in %ld sweeps, %ld attempts for %ld runs\n", kills, sweeps, attempts,
                  sweeps * CELLS);
    assert_true(attempts > sweeps * CELLS); /* workers were hit, too */
    arena *a = arena_new();
    fault_row("SIGKILL to a scheduler or a worker, random moments",
              arena_printf(a, "%ld kills in %ld sweeps of %d cells", kills, sweeps, CELLS), kills,
              0);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_sweep_ends_with_the_same_results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
