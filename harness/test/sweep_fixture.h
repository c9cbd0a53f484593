/* sweep_fixture.h - two sweeps of 8 cells, one short and one to be caught in the middle, run by the
 * built binary; what they must leave, and what is asked of them. */
#pragma once
#include "ask_fixture.h"
#include "fault_fixture.h"

/* 8 cells that differ in what a pack may and may not hold. */
static const char grid_text[] = "experiment: small\n"
                                "defaults:\n"
                                "  task: {name: mqar, length: 16, vocab: 64, pairs: 2}\n"
                                "  model: {d_model: 8, dropout: 0.1}\n"
                                "  train: {steps: 30, batch: 8, log_every: 5}\n"
                                "  eval: {examples: 32, lengths: [32]}\n"
                                "grid:\n"
                                "  model.mixer: [attention, cat]\n"
                                "  train.lr: [1e-3, 3e-2]\n"
                                "seeds: 2\n";

/* The same with runs long enough to be caught in the middle. */
static inline const char *long_grid(const folder *f, int steps) {
    const char *at = strstr(grid_text, "steps: 30");
    return folder_write(f, "grid.yaml",
                        arena_printf(f->arena, "%.*ssteps: %d%s", (int)(at - grid_text), grid_text,
                                     steps, at + strlen("steps: 30")));
}

static inline folder small_sweep(void) {
    folder f = folder_new();
    folder_write(&f, "grid.yaml", grid_text);
    return f;
}

#define RUN "run {}/grid.yaml --db {}/results.db --no-report "

static inline outcome sweep_in(const folder *f, const char *options) {
    return mixgrid(f, arena_printf(f->arena, RUN "%s", options));
}

/* The hash every undisturbed sweep must have; the first call runs it. */
static inline const char *expected_hash(void) {
    static char hash[65];
    if (*hash) return hash;
    folder f = small_sweep();
    const outcome o = sweep_in(&f, "--workers 1");
    assert_ended(&o, STATUS_OK);
    snprintf(hash, sizeof hash, "%s", database_hash(&f));
    assert_true(ask_database(&f, "SELECT count(*) FROM run WHERE state = 'done'") == 8);
    assert_true(ask_database(&f, "SELECT count(*) FROM param_hash") == 8 * 6);
    assert_true(ask_database(&f, "SELECT count(DISTINCT value) FROM final WHERE split = 'test' AND "
                                 "slice = '' AND name = 'loss'") == 8);
    folder_remove(&f);
    return hash;
}

/* Waits until a worker of the sweep has written this many parameter hashes into its journals. */
static inline void wait_for_hashes(const folder *f, long most_ms, int n) {
    for (long waited = 0; waited < most_ms; waited += 5) {
        int found = 0;
        arena *a = arena_new();
        FILE *list = popen(arena_printf(a, "cat %s/journal/*.jsonl 2>/dev/null", f->path), "r");
        for (char line[8192]; fgets(line, sizeof line, list);)
            found += strstr(line, "\"type\":\"metric\"") != NULL;
        pclose(list);
        arena_free(a);
        if (found >= n) return;
        wait_ms(5);
    }
    fail_msg("no progress in %ld ms", most_ms);
}

/* A worker of this scheduler; 0: none. */
static inline pid_t worker_of(pid_t scheduler) {
    pid_t first;
    return workers_of(&first, 1, scheduler) ? first : 0;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEPS = 150 }; /* slower, and as easily caught in the middle */
#else
enum { STEPS = 800 };
#endif

/* Hash of the long grid, undisturbed. */
static inline const char *expected_long(void) {
    static char hash[65];
    if (*hash) return hash;
    folder f = folder_new();
    long_grid(&f, STEPS);
    const outcome o = sweep_in(&f, "--workers 2 --pack 2");
    assert_ended(&o, STATUS_OK);
    snprintf(hash, sizeof hash, "%s", database_hash(&f));
    folder_remove(&f);
    return hash;
}

static inline pid_t start_long(const folder *f, const char *options) {
    long_grid(f, STEPS);
    const pid_t pid = mixgrid_start(f, arena_printf(f->arena, RUN "%s", options));
    wait_for_hashes(f, 20000, 1);
    return pid;
}

static inline void finish_long(const folder *f) {
    const outcome o = sweep_in(f, "--workers 2");
    assert_ended(&o, STATUS_OK);
    assert_string_equal(database_hash(f), expected_long());
    assert_int_equal(rmdir(folder_at(f, "checkpoint")), 0); /* none is left */
}
