/* train_fixture.h - small jobs, trained by the real worker in a child process, and the hash of all
 * that their journals say. */
#pragma once
#include "folder_fixture.h"
#include "harness/catalog.h"
#include "harness/worker.h"
#include "results/store.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

enum { MAX_PACK = 8 };

/* Settings of every job here; a run adds its own behind them. */
#define SMALL                                                                                      \
    "task.name=mqar task.length=16 task.vocab=128 task.pairs=2 model.d_model=8 model.mixer=cat "   \
    "train.steps=40 train.batch=8 train.log_every=3 eval.examples=32 eval.lengths=[16,32] "

static inline const config *config_of(arena *a, const char *settings) {
    const char *word[64];
    int n = 0;
    for (char *p = arena_text(a, settings), *rest; *p; p = rest) {
        rest = p + strcspn(p, " ");
        if (*rest) *rest++ = '\0';
        CHECK(n < 64);
        if (*p) word[n++] = p;
    }
    /* of two settings with one key the later counts */
    int kept = 0;
    for (int i = 0; i < n; i++) {
        bool again = false;
        for (int k = i + 1; k < n; k++)
            again |= !strncmp(word[i], word[k], strcspn(word[i], "=") + 1);
        if (!again) word[kept++] = word[i];
    }
    diag *d = diag_new(a);
    const config *c = config_from_settings(a, catalog_schema(), word, kept, d);
    diag_print(d, stderr);
    CHECK(c != NULL);
    return c;
}

/* n runs that differ in their own settings, as one job. */
static inline job job_of(arena *a, const char *shared, const char *const *own, int n) {
    const config **cell = ARENA_NEW(a, const config *, n);
    for (int i = 0; i < n; i++) cell[i] = config_of(a, arena_printf(a, "%s %s", shared, own[i]));
    for (int i = 1; i < n; i++) CHECK(!strcmp(cell[i]->pack_key, cell[0]->pack_key));
    job j;
    job_bind(&j, a, cell, n);
    return j;
}

/* A backend that is the chosen one, but sends this process a signal at its n-th transfer to the
 * device: the same point of training in every repetition. */
static const backend *interrupted_inner;
static long interrupt_countdown;
static inline void interrupting_put(void *device, const void *host, size_t bytes) {
    if (--interrupt_countdown == 0) raise(SIGTERM);
    interrupted_inner->put(device, host, bytes);
}

static inline void eager_replay(recording **r, void (*body)(void *), void *context) {
    (void)r;
    body(context);
}

typedef struct training {
    const char *device;  /* NULL: "auto" */
    bool eager;          /* nothing is repeated from a recording */
    long interrupt_at;   /* transfer at which SIGTERM comes; 0: never */
    long attempt;        /* 0: 1 */
    const char *message; /* out: what the worker printed on stderr */
} training;

/* Trains the pack in a child process, with its files in the folder; returns its status. */
static inline int train_in(const folder *f, const job *j, training *how) {
    fflush(NULL);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        error e = {0};
        const int log = open(folder_at(f, "err"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(log, STDERR_FILENO);
        backend b = *backend_find(how->device ? how->device : "auto", &e);
        if (how->interrupt_at) {
            interrupted_inner = backend_find(how->device ? how->device : "auto", &e);
            interrupt_countdown = how->interrupt_at;
            b.put = interrupting_put;
        }
        if (how->eager) b.replay = eager_replay;
        long attempt[MAX_PACK];
        for (int i = 0; i < j->runs; i++) attempt[i] = how->attempt ? how->attempt : 1;
        const worker_options options = {
            .home = {folder_at(f, "journal"), folder_at(f, "log"), folder_at(f, "checkpoint")},
            .backend = &b,
            .progress_fd = -1,
            .environment_json = "{}",
            .attempt = attempt};
        status s = worker_run(j, &options, &e);
        if (s && s != STATUS_INTERRUPTED) fprintf(stderr, "%s\n", e.text);
        fflush(NULL);
        _exit(s);
    }
    int state;
    while (waitpid(pid, &state, 0) < 0) CHECK(errno == EINTR);
    how->message = folder_read(f, "err");
    return WIFEXITED(state) ? WEXITSTATUS(state) : -WTERMSIG(state);
}

/* A number that SQL finds in the journals of a folder. */
static inline store *results_of(const folder *f) {
    error e = {0};
    bool rebuild;
    unlink(folder_at(f, "results.db"));
    store *s = store_open(folder_at(f, "results.db"), &rebuild, &e);
    if (!s) BUG("%s", e.text);
    if (store_import_all(s, folder_at(f, "journal"), NULL, &e)) BUG("%s", e.text);
    return s;
}

static inline double ask_store(store *s, const char *sql) {
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(store_handle(s), sql, -1, &row, NULL) != SQLITE_OK)
        BUG("%s: %s", sql, sqlite3_errmsg(store_handle(s)));
    CHECK(sqlite3_step(row) == SQLITE_ROW);
    const double found = sqlite3_column_double(row, 0);
    sqlite3_finalize(row);
    return found;
}

static inline double ask(const folder *f, const char *sql) {
    store *s = results_of(f);
    const double found = ask_store(s, sql);
    store_close(s);
    return found;
}

/* Hash of configurations, states, curves, final values and parameter hashes of all journals. */
static inline const char *results_hash(const folder *f) {
    error e = {0};
    char *text = arena_alloc(f->arena, 65);
    store *s = results_of(f);
    if (store_content_hash(s, text, &e)) BUG("%s", e.text);
    store_close(s);
    return text;
}

/* Trains to the end in a new folder, asserting the status; the hash of all results. */
static inline const char *hash_of(arena *a, const char *shared, const char *const *own, int n,
                                  const char *device) {
    folder f = folder_new();
    job j = job_of(a, shared, own, n);
    training how = {.device = device};
    const int s = train_in(&f, &j, &how);
    if (s) print_error("%s\n", how.message);
    assert_int_equal(s, STATUS_OK);
    const char *hash = arena_text(a, results_hash(&f));
    folder_remove(&f);
    return hash;
}

/* Trains n runs as one pack and each alone: everything their journals say must be the same, and
 * `expect`, an SQL query, true. */
static inline void compare_pack(const char *device, const char *shared, const char *const *own,
                                int n, const char *expect) {
    arena *a = arena_new();
    folder together = folder_new(), alone = folder_new();
    training how = {.device = device};
    job all = job_of(a, shared, own, n);
    const int ended = train_in(&together, &all, &how);
    if (ended) print_error("%s\n", how.message);
    assert_int_equal(ended, STATUS_OK);
    for (int i = 0; i < n; i++) {
        job one = job_of(a, shared, &own[i], 1);
        assert_int_equal(train_in(&alone, &one, &how), STATUS_OK);
    }
    /* the comparison has something to compare */
    assert_true(ask(&together, "SELECT count(*) FROM param_hash") >= 2 * n);
    assert_true(ask(&together, "SELECT count(*) FROM final") >= 10 * n);
    assert_true(ask(&together, expect) == 1);
    if (n > 1) assert_true(ask(&together, "SELECT count(DISTINCT hash) > 1 FROM param_hash") == 1);
    assert_string_equal(results_hash(&together), results_hash(&alone));
    folder_remove(&together);
    folder_remove(&alone);
    arena_free(a);
}
