/* share_test.c - how cells are dealt out to shares: each to exactly one, evenly, cells of one shape
 * together, and the same whatever is done already. */
#include "folder_fixture.h"
#include "harness/catalog.h"
#include "harness/share.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 400 };

/* The first journal or checkpoint of a folder in the folder; "" when there is none. */
static const char *read_first_in(const folder *f, const char *name) {
    DIR *d = opendir(folder_at(f, name));
    const char *text = "";
    for (const struct dirent *entry; d && !*text && (entry = readdir(d));)
        if (strstr(entry->d_name, ".jsonl") || strstr(entry->d_name, ".safetensors"))
            text = folder_read(f, arena_printf(f->arena, "%s/%s", name, entry->d_name));
    if (d) closedir(d);
    return text;
}

/* Pseudo-random costs over five orders of magnitude, in 1 to 40 shapes. */
static int make_items(double *cost, int *shape, uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    const int n = 1 + (int)(*state >> 33) % MOST, shapes = 1 + (int)(*state >> 40) % 40;
    for (int i = 0; i < n; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        shape[i] = (int)(*state >> 33) % shapes % n;
        cost[i] = pow(10, shape[i] % 5) * (1 + shape[i]);
    }
    return n;
}

static void test_every_item_has_one_share_and_shares_are_even(void **unused) {
    (void)unused;
    uint64_t state = 1;
    for (int round = 0; round < 300; round++) {
        double cost[MOST], load[64] = {0}, total = 0, most = 0;
        int shape[MOST], out[MOST], again[MOST];
        const int n = make_items(cost, shape, &state), shares = 1 + round % 64;
        share_deal(out, cost, shape, n, shares);
        share_deal(again, cost, shape, n, shares);
        for (int i = 0; i < n; i++) {
            assert_in_range(out[i], 1, shares);
            assert_int_equal(out[i], again[i]);
            load[out[i] - 1] += cost[i];
            total += cost[i];
            if (cost[i] > most) most = cost[i];
        }
        const double mean = total / shares, unit = fmax(most, mean / 8);
        for (int i = 0; i < shares; i++)
            if (load[i] > (mean + unit) * (1 + 1e-9))
                fail_msg("round %d: share %d has %g of %g, mean %g", round, i, load[i], total,
                         mean);
    }
}

static void test_cells_of_one_shape_stay_together(void **unused) {
    (void)unused;
    double cost[63];
    int shape[63], out[63], switches = 0;
    for (int i = 0; i < 63; i++) {
        cost[i] = 1;
        shape[i] = i % 3;
    }
    share_deal(out, cost, shape, 63, 2);
    for (int i = 3; i < 63; i++) switches += out[i] != out[i - 3];
    /* 21 cells a shape in units of 3; cell by cell, each would be in another share than the last */
    assert_in_range(switches, 1, 3 * 6);
}

static void test_more_shares_than_items(void **unused) {
    (void)unused;
    const double cost[] = {3, 1, 2};
    const int shape[] = {0, 1, 2};
    int out[3];
    share_deal(out, cost, shape, 3, 5);
    assert_int_equal(out[0], 1); /* the longest first */
    assert_int_equal(out[2], 2);
    assert_int_equal(out[1], 3);
}

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8}\n"
                                "  train: {steps: 30, batch: 8}\n"
                                "  eval: {examples: 32}\n"
                                "grid:\n"
                                "  model.mixer: [attention, cat]\n"
                                "  model.layers: [1, 4]\n"
                                "  train.numerics: [strict, bf16]\n"
                                "seeds: 5\n";

/* bf16 needs a device that this machine need not have: dealing asks for none. */
static void test_a_grid_is_dealt_by_cost_alone(void **unused) {
    (void)unused;
    arena *a = arena_new();
    error e = {0};
    const grid *g = grid_read(a, catalog_schema(), grid_text, (long)strlen(grid_text), "text", NULL,
                              0, diag_new(a));
    assert_non_null(g);
    assert_int_equal(g->n, 40);
    int *all = ARENA_NEW(a, int, g->n), *some = ARENA_NEW(a, int, g->n);
    if (share_deal_grid(all, g, NULL, 3, &e)) fail_msg("%s", e.text);
    sweep_plan plan;
    double load[3] = {0};
    const plan_options options = {.pack = 1, .workers = 1};
    assert_int_equal(share_plan(&plan, a, g, NULL, &options, &e), STATUS_OK);
    for (int i = 0; i < plan.n; i++)
        load[all[plan.pack[i].cell[0] - g->cell] - 1] += plan.pack[i].cost;
    for (int i = 0; i < 3; i++) {
        const double mean = (load[0] + load[1] + load[2]) / 3;
        assert_true(load[i] > 0.8 * mean && load[i] < 1.2 * mean);
    }
    if (share_deal_grid(some, g, only_read(a, g, "mixer=cat", &e), 3, &e)) fail_msg("%s", e.text);
    for (int i = 0; i < g->n; i++) {
        assert_in_range(all[i], 1, 3);
        assert_int_equal(some[i] > 0, strstr(g->cell[i].label, "mixer=cat") != NULL);
    }
    arena_free(a);
}

static void test_words_for_a_share(void **unused) {
    (void)unused;
    static const char *const bad[] = {"",    "1",   "/",     "0/3",  "4/3",  "1/0",
                                      "1/x", "x/3", "1/3/4", "-1/3", "1/3 ", "1/99999"};
    share s = {0};
    error e = {0};
    assert_int_equal(share_read(&s, "2/3", &e), STATUS_OK);
    assert_int_equal(s.index, 2);
    assert_int_equal(s.count, 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (error){0};
        if (share_read(&s, bad[i], &e) != STATUS_USAGE) fail_msg("took %s", bad[i]);
    }
}

#define RUN "run {}/grid.yaml train.numerics=strict seeds=2 --db {}/results.db "

/* By the program: two shares, started again and collected while one is missing, are one sweep. */
static void test_shares_make_the_same_database_as_one_run(void **unused) {
    (void)unused;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    assert_int_equal(mixgrid(&f, RUN "--share 1/2").code, 0);
    outcome o =
        mixgrid(&f, "collect {}/grid.yaml train.numerics=strict seeds=2 --db {}/results.db");
    assert_int_equal(o.code, STATUS_INTERRUPTED); /* the other share is missing */
    assert_non_null(strstr(o.out, "4 done"));
    assert_non_null(strstr(o.out, "4 left"));
    o = mixgrid(&f, RUN "--share 1/2");
    assert_non_null(strstr(o.out, "4 cells: 4 done (4 before)"));
    assert_int_equal(mixgrid(&f, RUN "--share 2/2").code, 0);
    for (int again = 0; again < 2; again++) {
        o = mixgrid(&f, "collect {}/grid.yaml train.numerics=strict seeds=2 --db {}/results.db");
        assert_int_equal(o.code, 0);
        assert_non_null(strstr(o.out, "8 cells: 8 done"));
    }
    assert_int_equal(access(folder_at(&f, "report/small/index.html"), F_OK), 0);
    assert_int_equal(
        mixgrid(&f, "run {}/grid.yaml train.numerics=strict seeds=2 --db {}/whole/r.db --no-report")
            .code,
        0);
    const outcome whole = mixgrid(&f, "status --hash --db {}/whole/r.db"),
                  parts = mixgrid(&f, "status --hash --db {}/results.db");
    assert_int_equal(strlen(whole.out), 65);
    assert_string_equal(whole.out, parts.out);
    folder_remove(&f);
}

/* One run of steps so long that signals fall into one of them. */
static const char slow_text[] = "experiment: slow\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 64, vocab: 256, pairs: 8}\n"
                                "  model: {d_model: 128}\n"
                                "  train: {steps: 100000, batch: 64}\n";

/* A cluster signals the worker, then the scheduler, then the script signals the scheduler again. */
static void test_a_share_signalled_again_and_again_checkpoints(void **unused) {
    (void)unused;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", slow_text);
    const pid_t pid = mixgrid_start(&f, "run {}/grid.yaml --db {}/results.db --share 1/1");
    for (int i = 0; i < 600 && !strstr(read_first_in(&f, "journal"), "\"attempt\""); i++)
        usleep(20000);
    usleep(200000);
    pid_t worker;
    assert_int_equal(workers_of(&worker, 1, pid), 1);
    for (int i = 0; i < 5; i++) {
        kill(worker, SIGTERM);
        kill(pid, i % 2 ? SIGUSR2 : SIGTERM);
        usleep(2000);
    }
    const outcome o = mixgrid_wait(&f, pid);
    assert_int_equal(o.code, STATUS_INTERRUPTED);
    const char *said = read_first_in(&f, "journal");
    assert_non_null(strstr(said, "\"type\":\"end\"")); /* its own word, and no verdict */
    assert_null(strstr(said, "\"type\":\"verdict\""));
    assert_non_null(strstr(said, "preempted"));
    assert_true(*read_first_in(&f, "checkpoint") != '\0');
    folder_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_has_one_share_and_shares_are_even),
        cmocka_unit_test(test_cells_of_one_shape_stay_together),
        cmocka_unit_test(test_more_shares_than_items),
        cmocka_unit_test(test_a_grid_is_dealt_by_cost_alone),
        cmocka_unit_test(test_words_for_a_share),
        cmocka_unit_test(test_a_share_signalled_again_and_again_checkpoints),
        cmocka_unit_test(test_shares_make_the_same_database_as_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
