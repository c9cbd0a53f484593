/* device_test.c - training on a device, which here is the emulated GPU: it works late, keeps its
 * memory from the host and repeats recordings, so host code that does not wait, peeks, or passes
 * what changes by other ways than staging is seen. */
#define MIXGRID_BINARY "mixgrid_emu"
#include "kernels/emu/backend_emu.h"
#include "memory_fixture.h"

#include <math.h>

/* Small and short: an emulated thread costs as much as a function call. */
#define TINY                                                                                       \
    "task.name=mqar task.length=8 task.vocab=24 task.pairs=2 model.d_model=8 "                     \
    "model.mixer=attention model.position=rope train.steps=10 train.batch=4 train.log_every=2 "    \
    "train.eval_every=5 eval.examples=8 eval.lengths=[8,12] "

static const char *const three[] = {
    "train.seed=0 model.dropout=0.1",
    "train.seed=1 train.lr=0.01 train.wd=0 model.dropout=0.3 model.init_scale=2",
    "train.seed=2 train.data_seed=7 model.embed_dropout=0.2 train.lr=1e-4",
};

static void packed_runs_equal_runs_alone(void **state) {
    (void)state;
    const char *all_done = "SELECT count(*) = 3 FROM run WHERE state = 'done'";
    compare_pack("emu", TINY "model.ffn=swiglu ", three, 3, all_done);
    compare_pack("emu", TINY "model.mixer=cat model.position=learned ", three, 3, all_done);
}

static void recorded_steps_equal_steps_run_one_by_one(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *hash[2];
    for (int i = 0; i < 2; i++) {
        folder f = folder_new();
        job j = job_of(a, TINY, three, 3);
        training how = {.device = "emu", .eager = i};
        assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
        hash[i] = arena_text(a, results_hash(&f));
        folder_remove(&f);
    }
    assert_string_equal(hash[0], hash[1]);
    assert_string_not_equal(hash[0], hash_of(a, TINY, three, 2, "emu"));
    arena_free(a);
}

static void diverged_run_leaves_its_pack_alone(void **state) {
    (void)state;
    static const char *const own[] = {"train.lr=1e-3", "train.lr=1000 model.init_scale=30",
                                      "train.lr=1e-2"};
    compare_pack("emu", TINY "train.clip=0 train.warmup=0 model.norm=layernorm ", own, 3,
                 "SELECT sum(state = 'diverged') = 1 AND sum(state = 'done') = 2 FROM run");
}

static void early_stop_leaves_the_pack_alone(void **state) {
    (void)state;
    static const char *const own[] = {"train.lr=0.1", "train.lr=1e-7"};
    compare_pack("emu", TINY "train.stop_at=0.13 train.warmup=0 train.steps=30 ", own, 2,
                 "SELECT (SELECT min(m) < 30 AND max(m) = 30 FROM (SELECT max(step) AS m FROM "
                 "param_hash GROUP BY run))");
}

static void interrupted_runs_end_with_the_same_bits(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *undisturbed = hash_of(a, TINY, three, 3, "emu");
    /* transfers by put in trainer_new are as many as parameters of all runs, then one a step */
    for (long at = 45; at <= 49; at += 2) {
        folder f = folder_new();
        job j = job_of(a, TINY, three, 3);
        training how = {.device = "emu", .interrupt_at = at, .attempt = 1};
        assert_int_equal(train_in(&f, &j, &how), STATUS_INTERRUPTED);
        how = (training){.device = "emu", .attempt = 2};
        assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
        assert_true(ask(&f, "SELECT min(resumed_from) FROM attempt WHERE number > 1") > 0);
        assert_string_equal(results_hash(&f), undisturbed);
        folder_remove(&f);
    }
    arena_free(a);
}

/* All losses of a training in order, those of training, validation and test. */
static int losses_of(double *out, int most, const char *device) {
    arena *a = arena_new();
    folder f = folder_new();
    job j = job_of(a, TINY "train.lr=0.01 ", three, 1);
    training how = {.device = device};
    assert_int_equal(train_in(&f, &j, &how), STATUS_OK);
    store *s = results_of(&f);
    sqlite3_stmt *row = NULL;
    int n = 0;
    assert_int_equal(sqlite3_prepare_v2(store_handle(s),
                                        "SELECT value FROM (SELECT 0 AS k, split, slice, step, "
                                        "value FROM metric WHERE name = 'loss' UNION ALL SELECT 1, "
                                        "split, slice, 0, value FROM final WHERE name = 'loss') "
                                        "ORDER BY k, split, slice, step",
                                        -1, &row, NULL),
                     SQLITE_OK);
    while (n < most && sqlite3_step(row) == SQLITE_ROW) out[n++] = sqlite3_column_double(row, 0);
    sqlite3_finalize(row);
    store_close(s);
    folder_remove(&f);
    arena_free(a);
    return n;
}

static void device_trains_as_the_processor_does(void **state) {
    (void)state;
    double here[64], there[64];
    const int n = losses_of(here, 64, "cpu"), m = losses_of(there, 64, "emu");
    assert_int_equal(n, m);
    assert_true(n >= 10);
    bool moved = false;
    for (int i = 0; i < n; i++) {
        if (fabs(here[i] - there[i]) > 1e-4 * fabs(here[i]))
            fail_msg("loss %d is %.9g on the processor, %.9g on the device", i, here[i], there[i]);
        moved |= fabs(here[i] - here[0]) > 1e-2;
    }
    assert_true(moved); /* it did train */
}

static void planned_memory_is_what_is_allocated(void **state) {
    (void)state;
    static const char *const settings[] = {
        TINY "train.steps=1",
        TINY "train.steps=1 model.d_model=40 task.length=40 task.vocab=96 train.batch=6 "
             "model.dropout=0.1 eval.lengths=[70] model.ffn=swiglu model.position=learned",
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        for (int runs = 1; runs <= 3; runs += 2) assert_memory_as_planned(settings[i], "emu", runs);
}

/* ---- whole sweeps ----------------------------------------------------------------------------*/

static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 8, vocab: 24, pairs: 2}\n"
                                "  model: {d_model: 8, mixer: attention}\n"
                                "  train: {steps: 6, batch: 4, log_every: 3, eval_every: 3}\n"
                                "  eval: {examples: 8}\n"
                                "grid:\n"
                                "  train.lr: [1e-3, 3e-2]\n"
                                "  model.layers: [1, 2]\n"
                                "seeds: 2\n";

static const char *sweep_hash(arena *a, const char *options, double devices, double attempts) {
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    const outcome o =
        mixgrid(&f, arena_printf(a, "run {}/grid.yaml --db {}/results.db --no-report %s", options));
    if (o.code) fail_msg("exit code %d:\n%s", o.code, o.err);
    assert_true(ask(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 8);
    assert_true(ask(&f, "SELECT count(*) FROM environment") == devices);
    assert_true(ask(&f, "SELECT count(*) FROM attempt") == attempts);
    const char *hash = arena_text(a, results_hash(&f));
    folder_remove(&f);
    return hash;
}

static void sweep_is_spread_over_devices_and_packed(void **state) {
    (void)state;
    arena *a = arena_new();
    const char *both = sweep_hash(a, "--device emu:0,1", 2, 8);
    assert_string_equal(both, sweep_hash(a, "--device emu:emu-1 --pack 1", 1, 8));
    assert_string_equal(both, sweep_hash(a, "--device emu --workers 2 --pack 3", 2, 8));
    arena_free(a);
}

static void dry_run_shows_packs_and_devices(void **state) {
    (void)state;
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    outcome o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --dry-run --device emu:1,0");
    assert_int_equal(o.code, STATUS_OK);
    assert_non_null(strstr(o.out, "8 cells"));
    assert_non_null(strstr(o.out, "4 packs to run on emu")); /* 4 cells a shape, 2 devices */
    assert_non_null(strstr(o.out, "(pack of 2)"));
    assert_non_null(strstr(o.out, "device 0: emulated GPU, emu-1: 1.00 of 1.00 GiB free"));
    o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --dry-run --device emu");
    assert_non_null(strstr(o.out, "4 packs to run on emu"));
    o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --dry-run --device emu:0");
    assert_non_null(strstr(o.out, "2 packs to run on emu"));
    o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --device emu:0,2");
    assert_int_equal(o.code, STATUS_USAGE);
    assert_non_null(strstr(o.err, "device emu:0,2: there is no \"2\"; this machine has 2"));
    o = mixgrid(&f, "run {}/grid.yaml --db {}/results.db --device emu:0,emu-0");
    assert_int_equal(o.code, STATUS_USAGE);
    assert_non_null(strstr(o.err, "names emu-0 twice"));
    folder_remove(&f);
}

int main(void) {
    backend_add(&backend_emu[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_runs_equal_runs_alone),
        cmocka_unit_test(recorded_steps_equal_steps_run_one_by_one),
        cmocka_unit_test(diverged_run_leaves_its_pack_alone),
        cmocka_unit_test(early_stop_leaves_the_pack_alone),
        cmocka_unit_test(interrupted_runs_end_with_the_same_bits),
        cmocka_unit_test(device_trains_as_the_processor_does),
        cmocka_unit_test(planned_memory_is_what_is_allocated),
        cmocka_unit_test(sweep_is_spread_over_devices_and_packed),
        cmocka_unit_test(dry_run_shows_packs_and_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
