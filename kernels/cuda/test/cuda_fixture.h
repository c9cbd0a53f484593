/* cuda_fixture.h - the CUDA backend over a fake runtime, for tests of it.
 *
 * A process opens a backend once and asks for devices once, so each scenario is a process of its
 * own; `expect` ends it with what is wrong. A test lists its scenarios in SCENARIOS(S). */
#pragma once
#include "fake_cuda.h"
#include "kernels/core/backend.h"
#include "kernels/core/kernels.h"
#include "kernels/cuda/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs the headers above */
#include <cmocka.h>
#include <cuda_runtime_api.h>

/* What the backend takes from the rest of the program. */
extern const op *const ops_f32[N_OP];
extern const kernels kernels_cuda;
extern const backend backend_cuda;
const op *const ops_f32[N_OP] = {NULL};
const kernels kernels_cuda = {.linear_fwd = NULL};
bool backend_no_graph;

static const backend *const gpu = &backend_cuda;

#define expect(condition)                                                                          \
    do {                                                                                           \
        if (condition) break;                                                                      \
        fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                   \
        _exit(1);                                                                                  \
    } while (0)

static inline void expect_text(const char *text, const char *part) {
    if (strstr(text, part)) return;
    fprintf(stderr, "wanted \"%s\" in: %s\n", part, text);
    _exit(1);
}

static inline int wait_status_of(void (*scenario)(void), bool quiet) {
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        if (quiet && !freopen("/dev/null", "w", stderr)) _exit(2);
        scenario();
        _exit(0);
    }
    int said = -1;
    assert_int_equal(waitpid(child, &said, 0), child);
    return said;
}

static inline void run(void (*scenario)(void)) {
    const int said = wait_status_of(scenario, false);
    assert_true(WIFEXITED(said));
    assert_int_equal(WEXITSTATUS(said), 0);
}

/* Two that fit, an old one between them. */
static inline void plug_in(void) {
    fake.has_driver = fake.has_nvml = true;
    fake.driver_version = 13000;
    fake.driver_says = "580.95.05";
    fake.n_device = 3;
    fake.device[0] =
        (fake_device){"NVIDIA H100", 9, 0, {0xab, 0xcd, 0xef, 0x01}, 80u << 20, 70u << 20};
    fake.device[1] = (fake_device){"GeForce GTX 1080", 6, 1, {0x11}, 8u << 20, 8u << 20};
    fake.device[2] = (fake_device){"NVIDIA A100", 8, 0, {0xab, 0xcd, 0x23}, 40u << 20, 4u << 20};
}

static inline void open_gpu(void) {
    error e = {0};
    if (gpu->open(NULL, NUMERICS_STRICT, &e)) expect_text(e.text, "no error");
}

static inline void *device_new(size_t bytes) {
    error e = {0};
    void *p = gpu->alloc(bytes, &e);
    expect_text(p ? "" : e.text, "");
    expect(p);
    return p;
}

static inline float *host_new(size_t n) {
    error e = {0};
    float *p = gpu->alloc_host(n * sizeof *p, &e);
    expect(p);
    return p;
}

/* S(name) of SCENARIOS: a test, and its row in the table of tests. */
#define SCENARIO(name)                                                                             \
    static void name##_test(void **state) {                                                        \
        (void)state;                                                                               \
        run(name);                                                                                 \
    }
#define ENTRY(name) cmocka_unit_test(name##_test),
