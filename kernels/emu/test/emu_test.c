/* emu_test.c - the emulator reports every planted fault, and nothing where there is none.
 *
 * Each plant runs in a process of its own, in every thread order: with its fault one of them must
 * end with the sentence that is expected of this build, without it all must succeed. Some faults
 * show only under a sanitizer; the other builds say that they skip them. */
#include "emu_faults.h"
#include "kernels/emu/backend_emu.h"
#include "kernels/emu/emu_grid.h"

#include <setjmp.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum build { PLAIN, ASAN, TSAN, N_BUILD };
#if defined __SANITIZE_ADDRESS__
static const enum build this_build = ASAN;
#elif defined __SANITIZE_THREAD__
static const enum build this_build = TSAN;
#else
static const enum build this_build = PLAIN;
#endif
static const char *const build_name[N_BUILD] = {"this build", "an asan build", "a tsan build"};

/* How a process ends that got through, but with a wrong result. */
enum { WRONG = 2 };
static const char wrong[] = "wrong result";

static const backend *b; /* the order under test */

/* ---- faults of host code ----------------------------------------------------------------- */

static float *host_of(size_t n) { return b->alloc_host(n * sizeof(float), &(error){0}); }

static void host_touch(float *y, bool fault) {
    launch_step(y, 1, NULL);
    if (fault) y[3] = 3;
}

static void host_touch_guard(float *y, bool fault) {
    launch_step(y, 1, NULL);
    b->sync(&(error){0});
    if (fault) ((volatile float *)y)[N_Y] = 0;
}

static void host_put(float *y, bool fault) {
    float one = 1, other[2] = {0};
    float *step = b->alloc(sizeof one, &(error){0});
    b->put(fault ? other : step, &one, sizeof one);
    launch_step(y, 0, step);
    b->release(step);
}

static void host_put_beyond(float *y, bool fault) {
    float zero[N_Y + 1] = {0};
    b->put(y, zero, (N_Y + (fault ? 1u : 0u)) * sizeof *zero);
    launch_step(y, 1, NULL);
}

static void host_get_into_device(float *y, bool fault) {
    float x[N_Y];
    launch_step(y, 1, NULL);
    b->get(fault ? y : x, y, sizeof x);
}

static void host_zero(float *y, bool fault) {
    float x[N_Y];
    b->zero(fault ? x : y, sizeof x);
    launch_step(y, 1, NULL);
}

static void host_release_twice(float *y, bool fault) {
    void *p = b->alloc(64, &(error){0});
    b->release(p);
    if (fault) b->release(p);
    launch_step(y, 1, NULL);
}

/* The host may change what a put reads once a mark behind it was awaited. */
static void host_staging(float *y, bool fault) {
    float *stage = host_of(1), *step = b->alloc(sizeof(float), &(error){0});
    *stage = 1;
    b->put(step, stage, sizeof *stage);
    b->mark(0);
    if (!fault) b->await(0);
    *stage = 7;
    launch_step(y, 0, step);
    b->release(step);
    b->release_host(stage);
}

/* A get is late, too: what it brings is there after a mark behind it was awaited. */
static void host_early(float *y, bool fault) {
    float *x = host_of(N_Y);
    launch_step(y, 1, NULL);
    b->get(x, y, N_Y * sizeof *x);
    b->mark(1);
    if (!fault) b->await(1);
    const float step = x[1] - 1; /* 0 */
    launch_step(y, step, NULL);
    b->release_host(x);
}

/* ---- faults in recordings ---------------------------------------------------------------- */

typedef struct tape {
    float *y, *stage, *step, host_step;
    bool fault;
    void (*forbidden)(void);
} tape;

static void add_host_step(void *context) {
    const tape *t = context;
    if (!t->fault) b->put(t->step, t->stage, sizeof *t->stage);
    launch_step(t->y, t->host_step, t->fault ? NULL : t->step);
}

/* Adds 1/4, 1/4 and 1/2 by a step of the host that a recording keeps as it was. */
static void record_value(float *y, bool fault) {
    recording *r = NULL;
    tape t = {y, host_of(1), b->alloc(sizeof(float), &(error){0}), 0, fault, NULL};
    const float steps[] = {0.25f, 0.25f, 0.5f};
    for (int i = 0; i < 3; i++) {
        t.host_step = *t.stage = steps[i];
        b->replay(&r, add_host_step, &t);
        b->mark(0);
        b->await(0);
    }
    b->forget(r);
    b->release(t.step);
    b->release_host(t.stage);
}

static float *spare;
static float outside[1];
static void forbid_alloc(void) { b->alloc(64, &(error){0}); }
static void forbid_release(void) { b->release(spare); }
static void forbid_alloc_host(void) { b->alloc_host(64, &(error){0}); }
static void forbid_sync(void) { b->sync(&(error){0}); }
static void forbid_mark(void) { b->mark(0); }
static void forbid_await(void) { b->await(0); }
static void forbid_put(void) { b->put(spare, outside, sizeof *outside); }

static void add_quarter(void *context) {
    const tape *t = context;
    if (t->fault) t->forbidden();
    launch_with_scratch(t->y, N_Y); /* taken and given back in each repetition */
    b->zero(t->y, N_Y * sizeof(float));
    launch_step(t->y, 1, NULL);
}

static void record_forbidden(float *y, bool fault, void (*forbidden)(void)) {
    recording *r = NULL;
    spare = b->alloc(64, &(error){0});
    tape t = {.y = y, .forbidden = forbidden};
    for (int i = 0; i < 4; i++) {
        t.fault = fault && i == 1; /* the call that is recorded */
        b->replay(&r, add_quarter, &t);
    }
    b->forget(r);
    b->release(spare);
}

#define RECORD(what)                                                                               \
    static void record_##what(float *y, bool fault) { record_forbidden(y, fault, forbid_##what); }
RECORD(alloc)
RECORD(release)
RECORD(alloc_host)
RECORD(sync)
RECORD(mark)
RECORD(await)
RECORD(put)

static void scratch_reserve(float *y, bool fault) {
    b->reserve(N_Y * sizeof(float), &(error){0});
    launch_with_scratch(y, N_Y + (fault ? 64 : 0));
}

/* ---- the table --------------------------------------------------------------------------- */

#define ALL(text)                                                                                  \
    { text, text, text }
#define ONLY_ASAN                                                                                  \
    { NULL, "AddressSanitizer", NULL }
#define ONLY_TSAN                                                                                  \
    { NULL, NULL, "data race" }

static const struct plant {
    const char *name;
    void (*run)(float *y, bool fault);
    const char *says[N_BUILD]; /* part of what a build prints; NULL: it does not find this */
} plants[] = {
    {"missing barrier", fault_barrier, {wrong, wrong, "data race"}},
    {"divergent barrier", fault_divergent,
     ALL("kernel divergent, block (0,0,0), thread (32,0,0): waits in __syncthreads at ")},
    {"deadlock", fault_deadlock, ALL("deadlock: waits in __syncwarp with mask ffffffff at ")},
    {"uninitialised shared memory", fault_uninitialised, ALL(wrong)},
    {"past the end of shared memory",
     fault_shared_end,
     {"it is past the end of shared memory", "AddressSanitizer", NULL}},
    {"past an odd end of shared memory", fault_shared_odd_end, ONLY_ASAN},
    {"shuffle as a memory barrier", fault_shuffle_order, ONLY_TSAN},
    {"lane not in its own mask", fault_own_mask, ALL("lane 16 is not in its own mask 0000ffff")},
    {"masks that differ", fault_masks, ALL("with mask 0000ffff at ")},
    {"shuffle from outside of the mask", fault_source, ALL(wrong)},
    {"shuffle of a bad width", fault_width, ALL("shuffles within 12 lanes")},
    {"lane that returned", fault_returned,
     ALL("names lane 31 in mask ffffffff, which has returned")},
    {"dependence on the order of blocks", fault_block_order, {wrong, wrong, "data race"}},
    {"race between blocks", fault_block_race, ONLY_TSAN},
    {"past the end of device memory", fault_device_end,
     ALL("kernel fill, block (1,0,0), thread (0,0,0): touches byte 256 of a device block of 256")},
    {"misaligned vector",
     fault_misaligned,
     {"no device memory, or not aligned", "misaligned address", NULL}},
    {"stack overflow", fault_stack, ALL("its stack has no room left")},
    {"scratch after its drop", fault_scratch_drop,
     ALL("kernel copy: argument 2 points neither to device memory nor to scratch")},
    {"scratch in a struct after its drop", fault_scratch_hidden_drop, ONLY_ASAN},
    {"past the end of scratch", fault_scratch_end, ONLY_ASAN},
    {"uninitialised scratch", fault_scratch_unfilled, ALL(wrong)},
    {"too much shared memory", fault_shared_limit,
     ALL("kernel fill: 49153 bytes of shared memory")},
    {"too many threads", fault_block_limit, ALL("kernel fill: a block of 1025 x 1 x 1 threads")},
    {"too many blocks", fault_grid_limit, ALL("kernel fill: a grid of 1 x 1 x 65536 blocks")},
    {"host pointer", fault_host_pointer, ALL("kernel copy: argument 2 points neither")},

    {"host touches device memory", host_touch,
     ALL("cuda_emu: host code touched device memory: byte 12 of a block of 256 bytes")},
    {"host touches what follows", host_touch_guard,
     ALL("host code touched device memory: byte 256 of a block of 256 bytes")},
    {"put to host memory", host_put, ALL("put of 4 bytes at ")},
    {"put past the end", host_put_beyond, ALL("put of 260 bytes at ")},
    {"get into device memory", host_get_into_device, ALL("its host side is in device memory")},
    {"zero of host memory", host_zero, ALL("zero of 256 bytes at ")},
    {"release twice", host_release_twice, ALL("which was not allocated")},
    {"staging memory changed too early", host_staging, ALL(wrong)},
    {"result read too early", host_early, ALL(wrong)},
    {"host value in a recording", record_value, ALL(wrong)},
    {"alloc in a recording", record_alloc, ALL("alloc while a recording is made")},
    {"release in a recording", record_release, ALL("release while a recording is made")},
    {"alloc_host in a recording", record_alloc_host, ALL("alloc_host while a recording")},
    {"sync in a recording", record_sync, ALL("sync while a recording is made")},
    {"mark in a recording", record_mark, ALL("mark while a recording is made")},
    {"await in a recording", record_await, ALL("await while a recording is made")},
    {"put of other memory in a recording", record_put, ALL("put while a recording is made")},
    {"scratch beyond what is reserved", scratch_reserve,
     ALL("kernels take 512 bytes of scratch, but 256 are reserved")},
};
enum { N_PLANT = sizeof plants / sizeof *plants };

/* ---- a process for each ------------------------------------------------------------------ */

/* Runs the plant, ends the process. */
static _Noreturn void child(const struct plant *p, const backend *order, bool fault) {
    error e = {0};
    float back[N_Y];
    b = order;
    if (b->open(NULL, NUMERICS_STRICT, &e)) BUG("%s", e.text);
    float *y = b->alloc(sizeof back, &e);
    p->run(y, fault);
    b->get(back, y, sizeof back);
    b->release(y);
    bool right = true;
    for (int i = 0; i < N_Y; i++) right = right && back[i] == (float)i;
    if (!right) fprintf(stderr, "%s\n", wrong);
    exit(right ? 0 : WRONG);
}

/* Exit code, or 256 + signal; what was printed goes to text. */
static int run(char *text, size_t n, const struct plant *p, const backend *order, bool fault) {
    int ends[2], how;
    size_t got = 0;
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        child(p, order, fault);
    }
    close(ends[1]);
    for (ssize_t more = 1; more > 0;) { /* all of it: what does not fit is thrown away */
        char part[4096];
        more = read(ends[0], part, sizeof part);
        const size_t room = n - 1 - got, kept = (size_t)more < room ? (size_t)more : room;
        if (more <= 0) break;
        memcpy(text + got, part, kept);
        got += kept;
    }
    text[got] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 256 + WTERMSIG(how);
}

static void test_plant(void **state) {
    const struct plant *p = *state;
    const char *const says = p->says[this_build];
    char text[16384] = "";
    bool found = false;
    /* To ThreadSanitizer orders make no difference, and its processes are slow to start. */
    for (int i = this_build == TSAN ? 2 : 0; i < 3; i++) {
        const int code = run(text, sizeof text, p, &backend_emu[i], false);
        if (code) fail_msg("%s, without the fault: ends with %d: %s", p->name, code, text);
    }
    if (!says) {
        for (int i = 0; i < N_BUILD; i++)
            if (p->says[i]) print_message("%s shows only in %s\n", p->name, build_name[i]);
        skip();
    }
    for (int i = 0; i < 3 && !found; i++)
        found = run(text, sizeof text, p, &backend_emu[i], true) && strstr(text, says);
    if (!found) fail_msg("%s is not reported; the last order printed: %s", p->name, text);
}

/* How processes end: faults in kernels with EMU_FAULT, bugs of host code by abort. */
static void test_exit_codes(void **state) {
    (void)state;
    const struct plant deadlock = {"deadlock", fault_deadlock, ALL("")};
    const struct plant touch = {"touch", host_touch, ALL("")}, put = {"put", host_put, ALL("")};
    char text[4096];
    assert_int_equal(run(text, sizeof text, &deadlock, &backend_emu[0], true), EMU_FAULT);
    assert_int_equal(strncmp(text, "cuda_emu: kernel deadlock, block (0,0,0), thread ", 49), 0);
    assert_string_equal(text + strlen(text) - 2, ".\n");
    assert_int_equal(run(text, sizeof text, &touch, &backend_emu[0], true), EMU_FAULT);
    assert_int_equal(run(text, sizeof text, &put, &backend_emu[0], true), 256 + SIGABRT);
}

/* A missing barrier that the lockstep order survives: the reason for the others. */
static void test_orders_differ(void **state) {
    (void)state;
    const struct plant barrier = {"barrier", fault_barrier, ALL("")};
    char text[16384];
    const int code[3] = {run(text, sizeof text, &barrier, &backend_emu[0], true),
                         run(text, sizeof text, &barrier, &backend_emu[1], true),
                         run(text, sizeof text, &barrier, &backend_emu[2], true)};
    if (this_build != TSAN) assert_int_equal(code[0], 0);
    assert_int_not_equal(code[1], 0);
    assert_int_not_equal(code[2], 0);
}

/* ---- what must work ---------------------------------------------------------------------- */

static void open_emu(int i) {
    error e = {0};
    b = &backend_emu[i];
    assert_int_equal(b->open(NULL, NUMERICS_STRICT, &e), STATUS_OK);
}

static void check_language(void) {
    float bad[N_Y];
    float *device = b->alloc(sizeof bad, &(error){0});
    launch_language(device);
    b->get(bad, device, sizeof bad);
    b->release(device);
    assert_true(bad[0] == 0); /* indices */
    assert_true(bad[1] == 0); /* shuffles and votes */
    assert_true(bad[2] == 0); /* arithmetic */
}

static void test_language(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        open_emu(i);
        check_language();
    }
}

/* Good kernels are right in random orders, one without its barrier is wrong in some. */
static void test_random_orders(void **state) {
    (void)state;
    open_emu(0);
    int n_wrong = 0;
    float back[N_Y];
    float *y = b->alloc(sizeof back, &(error){0});
    for (int seed = 0; seed < 8; seed++) {
        grid_order(EMU_RANDOM + seed);
        check_language();
        fault_barrier(y, false);
        b->get(back, y, sizeof back);
        for (int i = 0; i < N_Y; i++) assert_true(back[i] == (float)i);
        if (this_build == TSAN) continue; /* which would report the race */
        fault_barrier(y, true);
        b->get(back, y, sizeof back);
        n_wrong += back[0] != 0 || back[N_Y - 1] != N_Y - 1;
    }
    if (this_build != TSAN) assert_true(n_wrong > 0);
    b->release(y);
}

static void test_devices(void **state) {
    (void)state;
    device_info info[3];
    error e = {0};
    b = &backend_emu[0];
    assert_int_equal(b->devices(info, 1), 1);
    assert_int_equal(b->devices(info, 3), 2);
    assert_string_equal(info[0].id, "emu-0");
    assert_string_equal(info[1].id, "emu-1");
    assert_int_equal(b->open("emu-2", NUMERICS_STRICT, &e), STATUS_ENVIRONMENT);
    assert_string_equal(e.text, "there is no emulated device emu-2; there are emu-0 and emu-1.");
    e = (error){0};
    assert_int_equal(b->open("0", NUMERICS_TF32, &e), STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "train.numerics"));
    e = (error){0};
    assert_int_equal(b->open("1", NUMERICS_STRICT, &e), STATUS_OK);
    assert_int_equal(b->open("emu-1", NUMERICS_STRICT, &e), STATUS_OK);
    void *p = b->alloc(1 << 20, &e);
    assert_non_null(p);
    b->devices(info, 2);
    assert_true(info[0].mem_free_bytes == 0x1p30);
    assert_true(info[1].mem_free_bytes == 0x1p30 - 0x1p20);
    assert_null(b->alloc((size_t)1 << 30, &e));
    assert_int_equal(e.code, STATUS_ENVIRONMENT);
    assert_non_null(strstr(e.text, "could not get 1024.0 MiB"));
    b->release(p);
    b->release(NULL);
}

static void takes_scratch(void *context) {
    launch_with_scratch(context, 65); /* 260 bytes, in steps of 256 */
}

static void test_measure(void **state) {
    (void)state;
    open_emu(0);
    float back[N_Y];
    float *y = b->alloc(sizeof back, &(error){0});
    assert_int_equal(b->measure(takes_scratch, y), 512);
    assert_int_equal(b->measure(takes_scratch, (void *)64), 512); /* nothing is launched */
    b->get(back, y, sizeof back);
    for (int i = 0; i < N_Y; i++) assert_true(back[i] == 0);
    b->release(y);
}

/* Alignment, zeros, and data that comes back as it went, by way of late memory too. */
static void test_memory(void **state) {
    (void)state;
    open_emu(0);
    error e = {0};
    unsigned char back[4097], *late = b->alloc_host(sizeof back, &e);
    for (size_t n = 1; n <= sizeof back; n += 64) {
        unsigned char *p = b->alloc(n, &e);
        assert_int_equal((uintptr_t)p % 64, 0);
        b->get(back, p, n);
        for (size_t i = 0; i < n; i++) assert_int_equal(back[i], 0);
        for (size_t i = 0; i < n; i++) late[i] = (unsigned char)(i * 7);
        b->put(p, late, n);
        b->zero(p + n / 2, 1);
        b->get(late, p, n);
        b->sync(&e);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(late[i], i == n / 2 ? 0 : (unsigned char)(i * 7));
        b->release(p);
    }
    b->release_host(late);
}

/* For tests that look at memory themselves. */
static void test_exposed(void **state) {
    (void)state;
    open_emu(0);
    emu_expose(true);
    float host[N_Y] = {0};
    launch_step(host, 1, NULL);
    for (int i = 0; i < N_Y; i++) assert_true(host[i] == (float)i);
    float *y = b->alloc(sizeof host, &(error){0});
    b->put(y, host, sizeof host);
    for (int i = 0; i < N_Y; i++) assert_true(y[i] == (float)i);
    b->release(y);
    emu_expose(false);
}

int main(void) {
    struct CMUnitTest tests[N_PLANT + 8];
    size_t n = 0;
    for (; n < N_PLANT; n++)
        tests[n] = (struct CMUnitTest){plants[n].name, test_plant, NULL, NULL, (void *)&plants[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_exit_codes);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_orders_differ);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_language);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_random_orders);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_devices);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_measure);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_memory);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_exposed);
    return _cmocka_run_group_tests("emulator", tests, n, NULL, NULL);
}
