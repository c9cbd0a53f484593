/* pair_fixture.h - two places with results, as two machines have them: each test starts with both
 * empty. */
#pragma once
#include "results/experiment_file.h"
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static place ours, theirs;

static inline int setup(void **state) {
    (void)state;
    ours = place_new();
    theirs = place_new();
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    place_remove(&ours);
    place_remove(&theirs);
    return 0;
}

static inline void import_all(store *s, const place *p) {
    error e = {0};
    if (store_import_all(s, p->journals, NULL, &e)) fail_msg("%s", e.text);
}

static inline void add_experiment(store *s, const place *p, const char *name,
                                  const char *const *run, int n) {
    error e = {0};
    store_cell cell[8];
    char axes[8][64], label[8][32];
    for (int i = 0; i < n; i++) {
        snprintf(axes[i], sizeof axes[i], "{\"train.seed\":%d,\"train.lr\":1e-3}", *run[i]);
        snprintf(label[i], sizeof label[i], "seed=%d", *run[i]);
        cell[i] = (store_cell){run[i], FIXTURE_CONFIG, label[i], axes[i]};
    }
    if (store_experiment(s, name, "grid.yaml", "{\"text\":\"a: \\u0001 1e-3\",\"x\":1e-3}", cell, n,
                         NULL, &e) ||
        store_experiments_save(s, p->journals, name, true, &e))
        fail_msg("%s", e.text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
