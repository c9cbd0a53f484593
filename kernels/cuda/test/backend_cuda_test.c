/* backend_cuda_test.c - the CUDA backend over a fake runtime: finding, queueing, recordings,
 * errors.
 *
 * A process opens a backend once and asks for devices once, so each scenario is a process of its
 * own; `expect` ends it with what is wrong. */
#include "fake_cuda.h"
#include "kernels/core/backend.h"
#include "kernels/core/kernels.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/cuda_devices.h"
#include "kernels/cuda/launch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void expect_text(const char *text, const char *part) {
    if (strstr(text, part)) return;
    fprintf(stderr, "wanted \"%s\" in: %s\n", part, text);
    _exit(1);
}

static int wait_status_of(void (*scenario)(void), bool quiet) {
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

static void run(void (*scenario)(void)) {
    const int said = wait_status_of(scenario, false);
    assert_true(WIFEXITED(said));
    assert_int_equal(WEXITSTATUS(said), 0);
}

/* Two that fit, an old one between them. */
static void plug_in(void) {
    fake.has_driver = fake.has_nvml = true;
    fake.driver_version = 13000;
    fake.driver_says = "580.95.05";
    fake.n_device = 3;
    fake.device[0] =
        (fake_device){"NVIDIA H100", 9, 0, {0xab, 0xcd, 0xef, 0x01}, 80u << 20, 70u << 20};
    fake.device[1] = (fake_device){"GeForce GTX 1080", 6, 1, {0x11}, 8u << 20, 8u << 20};
    fake.device[2] = (fake_device){"NVIDIA A100", 8, 0, {0xab, 0xcd, 0x23}, 40u << 20, 4u << 20};
}

static void open_gpu(void) {
    error e = {0};
    if (gpu->open(NULL, NUMERICS_STRICT, &e)) expect_text(e.text, "no error");
}

static void *device_new(size_t bytes) {
    error e = {0};
    void *p = gpu->alloc(bytes, &e);
    expect_text(p ? "" : e.text, "");
    expect(p);
    return p;
}

static float *host_new(size_t n) {
    error e = {0};
    float *p = gpu->alloc_host(n * sizeof *p, &e);
    expect(p);
    return p;
}

/* --- finding -------------------------------------------------------------------------------- */
static void finds_devices_without_touching_them(void) {
    plug_in();
    device_info d[4];
    expect(!gpu->missing());
    expect(gpu->devices(d, 4) == 2 && gpu->devices(d, 1) == 1);
    expect(!strcmp(d[0].id, "GPU-abcdef01-0000-0000-0000-000000000000"));
    expect(!strcmp(d[1].id, "GPU-abcd2300-0000-0000-0000-000000000000"));
    expect(!strcmp(d[0].name, "NVIDIA H100, compute capability 9.0, driver 580.95.05"));
    expect(d[1].mem_bytes == 40u << 20 && d[1].mem_free_bytes == 4u << 20);
    expect(fake.calls == 0);
    fake.crashes = true; /* known by now */
    expect(!gpu->missing());
}

static void asks_the_runtime_for_memory_without_nvml(void) {
    plug_in();
    fake.has_nvml = false;
    expect_text(gpu->note(), "cuBLAS not found: train.numerics can only be strict");
    fake.has_blas = true;
    expect_text(gpu->note(), "cuBLAS found (libcublas.so.12)");
    device_info d[2];
    expect(gpu->devices(d, 2) == 2 && d[0].mem_free_bytes == 70u << 20);
    expect(!strcmp(d[1].name, "NVIDIA A100, compute capability 8.0"));
}

static void says_why(const char *part) {
    device_info d;
    expect(gpu->missing());
    expect_text(gpu->missing(), part);
    expect(gpu->devices(&d, 1) == 0 && fake.calls == 0);
    error e = {0};
    expect(gpu->open(NULL, NUMERICS_STRICT, &e) == STATUS_ENVIRONMENT);
}

static void says_no_driver(void) {
    fake.count_code = cudaErrorInsufficientDriver;
    says_why("no NVIDIA driver is installed (libcuda.so.1 is not found)");
}
static void says_old_driver(void) {
    plug_in();
    fake.count_code = cudaErrorInsufficientDriver;
    fake.driver_version = 11080;
    says_why("the NVIDIA driver is for CUDA 11.8 and this build for 1");
}
static void says_no_device(void) {
    fake.has_driver = true;
    fake.count_code = cudaErrorNoDevice;
    unsetenv("CUDA_VISIBLE_DEVICES");
    says_why("the NVIDIA driver sees no GPU");
}
static void says_hidden(void) {
    fake.has_driver = true;
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    says_why("no GPU is visible; CUDA_VISIBLE_DEVICES is \"\"");
}
static void says_too_old(void) {
    plug_in();
    fake.device[0] = fake.device[1];
    fake.n_device = 2;
    says_why("GeForce GTX 1080 has compute capability 6.1 and 8.0 is the oldest supported");
}
static void says_other_error(void) {
    plug_in();
    fake.count_code = cudaErrorSystemNotReady;
    says_why("the NVIDIA driver says: some error");
}
static void does_not_wait(void) {
    plug_in();
    fake.hangs = true;
    expect_text(gpu->missing(), "the NVIDIA driver did not answer");
    expect(waitpid(-1, NULL, 0) < 0); /* no child is left */
}
static void survives_a_crash(void) {
    plug_in();
    fake.crashes = true;
    expect_text(gpu->missing(), "the NVIDIA driver did not answer");
}

/* --- opening -------------------------------------------------------------------------------- */
static void picks(void) {
    plug_in();
    cuda_devices d;
    cuda_devices_list(&d);
    expect(d.n == 2 && !d.missing[0]);
    static const struct {
        const char *wanted;
        int found;
        const char *says;
    } cases[] = {
        {NULL, 0, ""},
        {"0", 0, ""},
        {"1", 1, ""},
        {"2", -1, "cuda:2 does not exist: this machine has 2 GPUs"},
        {"GPU-abcdef01-0000-0000-0000-000000000000", 0, ""},
        {"GPU-ABCD23", 1, ""},
        {"abcde", 0, ""},
        {"abcd", -1, "names more than one GPU"},
        {"abc", -1, "names no GPU"},
        {"GPU-", -1, "names no GPU"},
        {"", -1, "names no GPU"},
        {"1111", -1, "names no GPU"},
        {"GPU-abcdef01-0000-0000-0000-0000000000000", -1, "names no GPU"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error e = {0};
        expect(cuda_device_pick(&d, cases[i].wanted, &e) == cases[i].found);
        expect_text(e.text, cases[i].says);
        expect((cases[i].found < 0) == (e.code == STATUS_ENVIRONMENT));
    }
}

static void opens_what_was_asked_for(void) {
    plug_in();
    error e = {0};
    expect(gpu->open("1", NUMERICS_STRICT, &e) == STATUS_OK);
    expect(fake.opened == 2); /* the old one is not counted */
}

static void needs_cublas(void) {
    plug_in();
    error e = {0};
    expect(gpu->open(NULL, NUMERICS_TF32, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "train.numerics: tf32 needs cuBLAS, and libcublas.so.13 is not found");
}

/* --- memory and order ----------------------------------------------------------------------- */
static void memory_is_zeroed_and_counted(void) {
    plug_in();
    open_gpu();
    error e = {0};
    float x[3] = {1, 2, 3}, *p = device_new(sizeof x);
    expect((uintptr_t)p % 64 == 0 && fake.live_bytes == sizeof x);
    gpu->get(x, p, sizeof x);
    expect(x[0] == 0 && x[2] == 0);
    const float *host = gpu->alloc_host(8, &e);
    expect(host && host[0] == 0 && host[1] == 0);
    gpu->release_host((void *)(uintptr_t)host);
    gpu->release(p);
    gpu->release(NULL);
    gpu->release_host(NULL);
    gpu->release(device_new(0));
    expect(fake.live_bytes == 0 && fake.live_host_bytes == 0);
    expect(gpu->sync(&e) == STATUS_OK);
}

static void says_out_of_memory(void) {
    plug_in();
    open_gpu();
    error e = {0};
    expect(!gpu->alloc((size_t)100 << 20, &e));
    expect_text(e.text, "100.0 MiB for tensors do not fit, 70.0 of 80.0 MiB are free");
    e = (error){0};
    expect(gpu->reserve((size_t)71 << 20, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "71.0 MiB for scratch");
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_OK); /* nothing is broken */
    expect(gpu->alloc(1 << 20, &e) && gpu->reserve(1 << 20, &e) == STATUS_OK);
}

static void other_memory_is_copied_at_once(void) {
    plug_in();
    open_gpu();
    float x[2] = {1, 2}, y[2] = {0}, *p = device_new(sizeof x);
    gpu->put(p, x, sizeof x);
    x[0] = 9;
    gpu->get(y, p, sizeof y);
    expect(y[0] == 1 && y[1] == 2);
}

static void host_memory_is_copied_in_turn(void) {
    plug_in();
    open_gpu();
    float *in = host_new(4), *out = host_new(4), *p = device_new(4 * sizeof *p);
    error e = {0};
    expect(gpu->sync(&e) == STATUS_OK);
    gpu->await(0); /* never made */
    in[1] = 5;
    gpu->put(p + 1, in + 1, sizeof *p);
    gpu->get(out, p, 4 * sizeof *p);
    gpu->mark(0);
    gpu->zero(p, 4 * sizeof *p);
    gpu->mark(1);
    expect(out[1] == 0);
    gpu->await(0);
    expect(out[0] == 0 && out[1] == 5);
    gpu->await(1);
    gpu->get(out, p, 4 * sizeof *p);
    expect(gpu->sync(&e) == STATUS_OK && out[1] == 0);
}

/* --- recordings ----------------------------------------------------------------------------- */
/* A step: in -> x, x += 1 by a kernel that keeps a copy in scratch, x -> out. */
typedef struct step {
    float *in, *out, *x, *kept;
    int bodies;
    size_t scratch;
} step;

static void kernel_increment(void *argument) {
    step *s = argument;
    s->kept[0] = s->x[0];
    s->x[0] += 1;
}

static void step_body(void *context) {
    step *s = context;
    s->bodies++;
    gpu->put(s->x, s->in, sizeof(float));
    const size_t mark = launch_mark();
    float *kept = launch_take(s->scratch);
    if (launch_begin("increment")) {
        s->kept = kept;
        fake_launch(kernel_increment, s);
        launch_end("increment");
    }
    launch_drop(mark);
    gpu->get(s->out, s->x, sizeof(float));
}

static step *step_new(void) {
    static step s;
    error e = {0};
    s = (step){host_new(1), host_new(1), device_new(4), NULL, 0, sizeof(float)};
    const size_t need = gpu->measure(step_body, &s);
    expect(need == 256 && s.bodies == 1 && !s.kept);
    expect(gpu->reserve(need, &e) == STATUS_OK);
    s.bodies = 0;
    return &s;
}

static void repeat(recording **r, step *s, float value, int bodies, int launches) {
    error e = {0};
    s->in[0] = value;
    gpu->replay(r, step_body, s);
    if (gpu->sync(&e)) expect_text(e.text, "no error");
    expect(s->out[0] == value + 1);
    expect(s->bodies == bodies && fake.graph_launches == launches);
}

static void replays(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    repeat(&r, s, 10, 1, 0); /* as it is */
    repeat(&r, s, 20, 2, 1); /* recorded and started */
    repeat(&r, s, 30, 2, 2);
    repeat(&r, s, 40, 2, 3);
    error e = {0};
    expect(gpu->reserve(1 << 16, &e) == STATUS_OK); /* scratch moved */
    repeat(&r, s, 50, 3, 4);
    repeat(&r, s, 60, 3, 5);
    expect(gpu->reserve(1, &e) == STATUS_OK); /* enough is there */
    repeat(&r, s, 70, 3, 6);
    expect(fake.captures == 2);
    gpu->forget(r);
    gpu->forget(NULL);
    expect(fake.graphs_alive == 0);
}

static void replays_without_graphs(void) {
    backend_no_graph = true;
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    for (int i = 1; i < 4; i++) repeat(&r, s, (float)i, i, 0);
    gpu->forget(r);
    expect(fake.captures == 0);
}

/* Two recordings do not disturb each other. */
static void replays_in_turns(void) {
    plug_in();
    open_gpu();
    step *s = step_new(), other = *s;
    other.in = host_new(1);
    other.out = host_new(1);
    other.x = device_new(4);
    recording *r = NULL, *q = NULL;
    for (int i = 0; i < 4; i++) {
        error e = {0};
        s->in[0] = (float)i;
        other.in[0] = (float)(2 * i);
        gpu->replay(&r, step_body, s);
        gpu->replay(&q, step_body, &other);
        expect(gpu->sync(&e) == STATUS_OK);
        expect(s->out[0] == (float)(i + 1) && other.out[0] == (float)(2 * i + 1));
    }
    expect(s->bodies == 2 && other.bodies == 2);
    gpu->forget(r);
    gpu->forget(q);
}

/* --- scratch -------------------------------------------------------------------------------- */
static size_t place[4];

static void nested_body(void *context) {
    (void)context;
    const size_t outer = launch_mark();
    place[0] = (size_t)launch_take(1);
    const size_t inner = launch_mark();
    place[1] = (size_t)launch_take(300);
    launch_drop(inner);
    place[2] = (size_t)launch_take(2);
    expect(!launch_begin("kernel"));
    place[3] = (size_t)launch_take(0);
    launch_drop(outer);
}

static void measures(void) { /* needs neither a device nor a driver */
    expect(gpu->measure(nested_body, NULL) == 256 + 512);
    expect(place[0] && place[0] % 256 == 0 && place[1] == place[0] + 256);
    expect(place[2] == place[1] && place[3] == place[2] + 256);
    expect(fake.calls == 0);
}

static void takes_too_much(void) {
    error e = {0};
    plug_in();
    open_gpu();
    expect(gpu->reserve(512, &e) == STATUS_OK);
    launch_take(513);
}

/* --- errors --------------------------------------------------------------------------------- */
static void keeps_the_first_error(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    repeat(&r, s, 1, 1, 0);
    fake.launch_code = cudaErrorInvalidConfiguration;
    gpu->replay(&r, step_body, s); /* fails while it is recorded */
    const int calls = fake.calls;
    error e = {0};
    gpu->zero(s->x, 4);
    gpu->put(s->x, s->in, 4);
    gpu->mark(0);
    gpu->await(0);
    gpu->replay(&r, step_body, s);
    expect(!launch_begin("other") && !gpu->alloc(4, &e));
    expect_text(e.text, "starting kernel increment");
    expect(fake.calls == calls && fake.graph_launches == 0);
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "the GPU failed while starting kernel increment: some error");
    e = (error){0};
    expect(gpu->sync(&e) == STATUS_OK); /* told once */
    repeat(&r, s, 7, 3, 1);             /* recorded again */
    gpu->forget(r);
    expect(fake.graphs_alive == 0);
}

static void reports_what_a_kernel_did(void) {
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    error e = {0};
    gpu->replay(&r, step_body, s);
    fake.run_code = cudaErrorIllegalAddress;
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "computing: an illegal memory access was encountered");
    expect_text(e.text, "--no-graph tells in which kernel");
    e = (error){0};
    gpu->zero(s->x, 4);
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT); /* the device stays broken */
}

static void names_the_kernel_without_graphs(void) {
    backend_no_graph = true;
    plug_in();
    open_gpu();
    step *s = step_new();
    recording *r = NULL;
    error e = {0};
    s->in[0] = 1;
    gpu->put(s->x, s->in, 4);
    fake.run_code = cudaErrorIllegalAddress;
    if (launch_begin("culprit")) launch_end("culprit");
    gpu->replay(&r, step_body, s);
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "running kernel culprit: an illegal");
    expect(!strstr(e.text, "--no-graph"));
}

/* Bugs of the caller. */
static void body_copies_other_memory(void *context) {
    float x = 0;
    gpu->put(context, &x, sizeof x);
}
static void body_marks(void *context) {
    (void)context;
    gpu->mark(0);
}
static void body_allocates(void *context) {
    error e = {0};
    (void)context;
    gpu->alloc(4, &e);
}

static void record_body(void (*body)(void *)) {
    plug_in();
    open_gpu();
    recording *r = NULL;
    void *p = device_new(4);
    gpu->replay(&r, body, p);
    gpu->replay(&r, body, p);
}
static void copies_while_recording(void) { record_body(body_copies_other_memory); }
static void marks_while_recording(void) { record_body(body_marks); }
static void allocates_while_recording(void) { record_body(body_allocates); }
static void works_before_open(void) { gpu->zero(place, sizeof place); }

static void stops_on_bugs(void **state) {
    (void)state;
    void (*const bug[])(void) = {takes_too_much, copies_while_recording, marks_while_recording,
                                 allocates_while_recording, works_before_open};
    for (size_t i = 0; i < sizeof bug / sizeof *bug; i++) {
        const int said = wait_status_of(bug[i], true);
        assert_true(WIFSIGNALED(said));
        assert_int_equal(WTERMSIG(said), SIGABRT);
    }
}

/* --- cuBLAS --------------------------------------------------------------------------------- */
enum { RUNS = 2, ROWS = 3, COLS = 5, INNER = 4, SIZE = RUNS * 64 };

static void multiply_body(void *context) { expect(launch_blas(context)); }

/* Small integers, exact in any precision here. */
static void multiply(int a_turned, int b_turned, bool b_shared, bool accumulate) {
    static float *a, *b, *c;
    static float ha[SIZE], hb[SIZE], hc[SIZE];
    if (!a) a = device_new(sizeof ha), b = device_new(sizeof hb), c = device_new(sizeof hc);
    for (int i = 0; i < SIZE; i++) {
        ha[i] = (float)(i * 7 % 11 - 5);
        hb[i] = (float)(i * 5 % 13 - 6);
        hc[i] = (float)(i % 3);
    }
    gpu->put(a, ha, sizeof ha);
    gpu->put(b, hb, sizeof hb);
    gpu->put(c, hc, sizeof hc);
    product p = {.runs = RUNS,
                 .rows = ROWS,
                 .cols = COLS,
                 .inner = INNER,
                 .a = a,
                 .b = b,
                 .c = c,
                 .a_run = 64,
                 .a_row = a_turned ? 1 : 6,
                 .a_col = a_turned ? 6 : 1,
                 .b_run = b_shared ? 0 : 64,
                 .b_row = b_turned ? 1 : 7,
                 .b_col = b_turned ? 7 : 1,
                 .c_run = 64,
                 .c_row = 8,
                 .accumulate = accumulate};
    error e = {0};
    expect(gpu->reserve(gpu->measure(multiply_body, &p), &e) == STATUS_OK);
    multiply_body(&p);
    float got[SIZE];
    gpu->get(got, c, sizeof got);
    if (gpu->sync(&e)) expect_text(e.text, "no error");
    for (long i = 0; i < SIZE; i++) {
        const long r = i / 64, row = i % 64 / 8, col = i % 8;
        double want = (double)hc[i];
        if (row < ROWS && col < COLS) {
            if (!accumulate) want = 0;
            for (long k = 0; k < INNER; k++)
                want += (double)ha[r * p.a_run + row * p.a_row + k * p.a_col] *
                        (double)hb[r * p.b_run + k * p.b_row + col * p.b_col];
        }
        expect((double)got[i] == want);
    }
}

static void multiplies_in(numerics n) {
    plug_in();
    fake.has_blas = true;
    fake.device[0].mem_bytes = fake.device[0].mem_free_bytes = (size_t)1 << 30;
    error e = {0};
    expect(gpu->open(NULL, n, &e) == STATUS_OK);
    for (int i = 0; i < 16; i++) multiply(i & 1, i >> 1 & 1, i & 4, i & 8);
}
static void multiplies_fp32(void) { multiplies_in(NUMERICS_FP32); }
static void multiplies_tf32(void) { multiplies_in(NUMERICS_TF32); }
static void multiplies_bf16(void) {
    multiplies_in(NUMERICS_BF16);
    float x = 0;
    product p = {.runs = 4,
                 .rows = 64,
                 .cols = 64,
                 .inner = 60,
                 .a = &x,
                 .b = &x,
                 .c = &x,
                 .a_run = 9999,
                 .a_row = 64,
                 .a_col = 1,
                 .b_row = 64,
                 .b_col = 1,
                 .c_row = 64};
    /* 64 rows padded from 60 to 64 for each run; 60 rows of 64 that all runs share, rounded once */
    expect(gpu->measure(multiply_body, &p) == 4 * 64 * 64 * 2 + 60 * 64 * 2);
}

static void leaves_odd_products_to_own_kernels(void) {
    float x = 0;
    product p = {.runs = 1,
                 .rows = 2,
                 .cols = 2,
                 .inner = 2,
                 .a = &x,
                 .b = &x,
                 .c = &x,
                 .a_row = 2,
                 .a_col = 1,
                 .b_row = 2,
                 .b_col = 1,
                 .c_row = 2};
    expect(blas_fits(&p));
    expect(!launch_blas(&p)); /* strict, as long as nothing else was asked for */
    p.a_col = 3;
    expect(!blas_fits(&p));
    p.a_row = 1; /* turned */
    expect(blas_fits(&p));
    p.a_col = 0; /* columns that repeat */
    expect(!blas_fits(&p));
    p.inner = 1; /* one column: its stride does not matter */
    expect(blas_fits(&p));
    p.inner = 0;
    expect(!blas_fits(&p));
}

static void keeps_errors_of_cublas(void) {
    plug_in();
    fake.has_blas = true;
    fake.device[0].mem_bytes = fake.device[0].mem_free_bytes = (size_t)1 << 30;
    error e = {0};
    expect(gpu->open(NULL, NUMERICS_FP32, &e) == STATUS_OK);
    expect(!strcmp(blas_name(), "libcublas.so.12"));
    fake.blas_code = 13;
    float *x = device_new(64);
    product p = {.runs = 1,
                 .rows = 2,
                 .cols = 2,
                 .inner = 2,
                 .a = x,
                 .b = x,
                 .c = x,
                 .a_row = 2,
                 .a_col = 1,
                 .b_row = 2,
                 .b_col = 1,
                 .c_row = 2};
    expect(launch_blas(&p));
    expect(gpu->sync(&e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "cuBLAS failed at a product of 2 x 2 x 2, 1 runs: planted.");
}

static void says_no_memory_for_cublas(void) {
    plug_in();
    fake.has_blas = true;
    error e = {0};
    expect(gpu->open("1", NUMERICS_BF16, &e) == STATUS_ENVIRONMENT);
    expect_text(e.text, "32 MiB for cuBLAS are not free");
}

#define SCENARIO(name)                                                                             \
    static void name##_test(void **state) {                                                        \
        (void)state;                                                                               \
        run(name);                                                                                 \
    }
#define SCENARIOS(S)                                                                               \
    S(finds_devices_without_touching_them)                                                         \
    S(asks_the_runtime_for_memory_without_nvml)                                                    \
    S(says_no_driver)                                                                              \
    S(says_old_driver)                                                                             \
    S(says_no_device)                                                                              \
    S(says_hidden)                                                                                 \
    S(says_too_old)                                                                                \
    S(says_other_error)                                                                            \
    S(does_not_wait)                                                                               \
    S(survives_a_crash)                                                                            \
    S(picks)                                                                                       \
    S(opens_what_was_asked_for)                                                                    \
    S(needs_cublas)                                                                                \
    S(memory_is_zeroed_and_counted)                                                                \
    S(says_out_of_memory)                                                                          \
    S(other_memory_is_copied_at_once)                                                              \
    S(host_memory_is_copied_in_turn)                                                               \
    S(replays)                                                                                     \
    S(replays_without_graphs)                                                                      \
    S(replays_in_turns)                                                                            \
    S(measures)                                                                                    \
    S(keeps_the_first_error)                                                                       \
    S(reports_what_a_kernel_did)                                                                   \
    S(names_the_kernel_without_graphs)                                                             \
    S(multiplies_fp32)                                                                             \
    S(multiplies_tf32)                                                                             \
    S(multiplies_bf16)                                                                             \
    S(leaves_odd_products_to_own_kernels)                                                          \
    S(keeps_errors_of_cublas)                                                                      \
    S(says_no_memory_for_cublas)
SCENARIOS(SCENARIO)

int main(void) {
#define ENTRY(name) cmocka_unit_test(name##_test),
    const struct CMUnitTest tests[] = {SCENARIOS(ENTRY) cmocka_unit_test(stops_on_bugs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
