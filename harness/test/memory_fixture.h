/* memory_fixture.h - a backend that counts what is taken from it, against what was planned. */
#pragma once
#include "harness/plan_sweep.h"
#include "train_fixture.h"

static long device_bytes, device_most;
static const backend *counted_inner;
static struct {
    void *at;
    long bytes;
} counted[64]; /* not beside the memory: a device's is out of the host's reach */

static inline void count_bytes(long bytes) {
    device_bytes += bytes;
    if (device_bytes > device_most) device_most = device_bytes;
}

static inline void *count_block(void *p, size_t bytes) {
    for (size_t i = 0; i < sizeof counted / sizeof *counted && p; i++) {
        if (counted[i].at) continue;
        counted[i].at = p;
        count_bytes(counted[i].bytes = (long)bytes);
        return p;
    }
    CHECK(!p);
    return NULL;
}

static inline void discount_block(const void *p) {
    for (size_t i = 0; i < sizeof counted / sizeof *counted && p; i++) {
        if (counted[i].at != p) continue;
        counted[i].at = NULL;
        device_bytes -= counted[i].bytes;
        return;
    }
    CHECK(!p);
}

static inline void *counting_alloc(size_t bytes, error *e) {
    return count_block(counted_inner->alloc(bytes, e), bytes);
}
static inline void *counting_alloc_host(size_t bytes, error *e) {
    return count_block(counted_inner->alloc_host(bytes, e), bytes);
}
static inline void counting_release(void *p) {
    discount_block(p);
    counted_inner->release(p);
}
static inline void counting_release_host(void *p) {
    discount_block(p);
    counted_inner->release_host(p);
}

/* Scratch grows to the most that was asked for, and is never given back. */
static long counted_scratch;
static inline status counting_reserve(size_t bytes, error *e) {
    if ((long)bytes > counted_scratch) {
        count_bytes((long)bytes - counted_scratch);
        counted_scratch = (long)bytes;
    }
    return counted_inner->reserve(bytes, e);
}

static inline backend counting_backend(const char *name) {
    error e = {0};
    counted_inner = backend_find(name, &e);
    backend b = *counted_inner;
    b.alloc = counting_alloc;
    b.alloc_host = counting_alloc_host;
    b.release = counting_release;
    b.release_host = counting_release_host;
    b.reserve = counting_reserve;
    device_bytes = device_most = counted_scratch = 0;
    memset(counted, 0, sizeof counted);
    return b;
}

/* The most a whole training holds at a time, counted in a child as worker_run catches signals. */
static inline long measured_bytes(const job *j, const char *device) {
    folder f = folder_new();
    fflush(NULL);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        backend b = counting_backend(device);
        long attempt[MAX_PACK];
        for (int i = 0; i < j->runs; i++) attempt[i] = 1;
        const worker_options options = {
            .home = {folder_at(&f, "journal"), folder_at(&f, "log"), folder_at(&f, "checkpoint")},
            .backend = &b,
            .progress_fd = -1,
            .environment_json = "{}",
            .attempt = attempt};
        error e = {0};
        if (worker_run(j, &options, &e)) _exit(1);
        if (device_bytes != counted_scratch) _exit(2); /* all of it was given back */
        FILE *out = fopen(folder_at(&f, "most"), "w");
        fprintf(out, "%ld", device_most);
        fclose(out);
        _exit(0);
    }
    int how;
    waitpid(pid, &how, 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    const long most = strtol(folder_read(&f, "most"), NULL, 10);
    folder_remove(&f);
    return most;
}

static inline void assert_memory_as_planned(const char *settings, const char *device, int runs) {
    arena *a = arena_new();
    grid_cell cell[3] = {0};
    const grid_cell *cells[3] = {&cell[0], &cell[1], &cell[2]};
    const config *c[3];
    for (int r = 0; r < 3; r++)
        c[r] = cell[r].config =
            config_of(a, arena_printf(a, SMALL "%s train.steps=1 train.seed=%d", settings, r));
    job j;
    job_bind(&j, a, c, runs);
    error e = {0};
    pack p = {.n = runs, .cell = cells};
    backend b = counting_backend(device);
    if (plan_pack(&p, &b, &e)) fail_msg("%s", e.text);
    assert_int_equal(device_most, 0); /* planning itself allocates nothing */
    assert_int_equal(measured_bytes(&j, device), (long)p.mem_bytes);
    arena_free(a);
}
