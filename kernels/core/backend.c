/* backend.c - the CPU builds and how one is chosen. */
#include "backend.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const op *const ops_f32[N_OP], *const ops_f64[N_OP];
extern const kernels kernels_v3, kernels_v4, kernels_f64;

static void *cpu_alloc(size_t bytes, error *e) {
    size_t rounded = (bytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, rounded ? rounded : 64);
    if (!p) {
        error_set(e, STATUS_ENVIRONMENT,
                  "out of memory: could not get %.1f MiB for tensors; make the model, the batch or "
                  "the pack smaller.",
                  (double)bytes / 0x1p20);
        return NULL;
    }
    return memset(p, 0, rounded ? rounded : 64);
}

static void cpu_copy(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }
static void cpu_zero(void *p, size_t bytes) { memset(p, 0, bytes); }
static void cpu_mark(int i) { (void)i; }
static void cpu_forget(recording *r) { (void)r; }
static const char *always(void) { return NULL; }

static int cpu_devices(device_info *out, int most) {
    const double page = (double)sysconf(_SC_PAGESIZE);
    if (most < 1) return 0;
    *out = (device_info){.name = "this processor",
                         .mem_bytes = page * (double)sysconf(_SC_PHYS_PAGES),
                         .mem_free_bytes = page * (double)sysconf(_SC_AVPHYS_PAGES)};
    return 1;
}

static status cpu_open(const char *device, numerics n, error *e) {
    static const char *const name[] = {"strict", "fp32", "tf32", "bf16"};
    (void)device;
    if (n == NUMERICS_STRICT) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "train.numerics: %s needs a GPU with cuBLAS; a processor computes strict.",
                     name[n]);
}

static void cpu_replay(recording **r, void (*body)(void *), void *context) {
    (void)r;
    body(context);
}

static size_t cpu_measure(void (*body)(void *), void *context) {
    (void)body;
    (void)context;
    return 0; /* what kernels need is in the plan */
}

static status cpu_reserve(size_t bytes, error *e) {
    (void)bytes;
    (void)e;
    return STATUS_OK;
}

static status cpu_sync(error *e) {
    (void)e;
    return STATUS_OK;
}

#if defined __x86_64__
static const char *lacks_v3(void) {
    bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has ? NULL : "this processor lacks AVX2 or FMA";
}
static const char *lacks_v4(void) {
    bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512cd");
    return has ? lacks_v3() : "this processor lacks AVX-512";
}
#else
#    error "the CPU backends need an x86-64 processor"
#endif

/* 1 MiB: the activations of a replay stay in the L2 cache. 4 lanes: own constant, as the order of
 * gradient sums depends on it. */
#define CPU_SLOTS                                                                                  \
    .tape_bytes = 1 << 20, .lanes = 4, .devices = cpu_devices, .open = cpu_open,                   \
    .alloc = cpu_alloc, .release = free, .alloc_host = cpu_alloc, .release_host = free,            \
    .put = cpu_copy, .get = cpu_copy, .zero = cpu_zero, .mark = cpu_mark, .await = cpu_mark,       \
    .replay = cpu_replay, .forget = cpu_forget, .measure = cpu_measure, .reserve = cpu_reserve,    \
    .sync = cpu_sync

static const backend cpu_v4 = {.name = "cpu-v4",
                               .summary = "float, AVX-512",
                               .real_bytes = sizeof(float),
                               .ops = ops_f32,
                               .kernels = &kernels_v4,
                               .missing = lacks_v4,
                               CPU_SLOTS};
static const backend cpu_v3 = {.name = "cpu-v3",
                               .summary = "float, AVX2 and FMA",
                               .real_bytes = sizeof(float),
                               .ops = ops_f32,
                               .kernels = &kernels_v3,
                               .missing = lacks_v3,
                               CPU_SLOTS};
static const backend cpu_f64 = {.name = "f64",
                                .summary = "double, for checks",
                                .real_bytes = sizeof(double),
                                .ops = ops_f64,
                                .kernels = &kernels_f64,
                                .missing = always,
                                CPU_SLOTS};
/* Weak: only programs that link the library cuda_kernels have it. */
extern const backend backend_cuda __attribute__((weak));
bool backend_no_graph;

static const backend *backends[] = {&backend_cuda, &cpu_v4, &cpu_v3, &cpu_f64, NULL /* added */};
enum { N_BACKEND = sizeof backends / sizeof *backends };

const backend *backend_at(int i) {
    if (!backends[0]) i++;
    return i < N_BACKEND ? backends[i] : NULL;
}

void backend_add(const backend *b) { backends[N_BACKEND - 1] = b; }

/* What a name asks for: one backend, or the best of several. */
static bool is_meant(const char *name, const backend *b) {
    if (!strcmp(name, "auto")) return strcmp(b->name, "f64") && strcmp(b->name, "emu");
    if (!strcmp(name, "cpu")) return !strncmp(b->name, "cpu-", 4);
    const size_t n = strcspn(name, ":"); /* cuda:0 */
    return strlen(b->name) == n && !strncmp(name, b->name, n) &&
           (!name[n] || !strcmp(b->name, "cuda"));
}

const backend *backend_find(const char *name, error *e) {
    const backend *refused = NULL;
    for (int i = 0; backend_at(i); i++) {
        const backend *b = backend_at(i);
        if (!is_meant(name, b)) continue;
        if (!b->missing()) return b;
        refused = b;
    }
    if (refused)
        error_set(e, STATUS_ENVIRONMENT,
                  "device %s cannot be used: %s; use --device auto, or f64 (slow, for checks).",
                  name, refused->missing());
    else if (!strncmp(name, "cuda", 4))
        error_set(e, STATUS_ENVIRONMENT,
                  "device %s: this build has no CUDA; build it where nvcc is on the PATH, or use "
                  "--device cpu.",
                  name);
    else
        error_set(e, STATUS_USAGE,
                  "no device is called %s; use auto, cuda, cuda:0, cpu, cpu-v3, cpu-v4 or f64.",
                  name);
    return NULL;
}

const backend *backend_open(const char *name, error *e) {
    const backend *b = backend_find(name, e);
    const char *device = strchr(name, ':');
    if (b && b->open(device ? device + 1 : NULL, NUMERICS_STRICT, e)) return NULL;
    return b;
}

void backend_put_reals(const backend *b, void *device, const double *host, size_t n) {
    if (b->real_bytes == sizeof(double)) {
        b->put(device, host, n * sizeof(double));
        return;
    }
    float chunk[1024];
    for (size_t at = 0; at < n;) {
        size_t m = n - at < 1024 ? n - at : 1024;
        for (size_t i = 0; i < m; i++) chunk[i] = (float)host[at + i];
        b->put((float *)device + at, chunk, m * sizeof(float));
        at += m;
    }
}

void backend_get_reals(const backend *b, double *host, const void *device, size_t n) {
    if (b->real_bytes == sizeof(double)) {
        b->get(host, device, n * sizeof(double));
        return;
    }
    float chunk[1024];
    for (size_t at = 0; at < n;) {
        size_t m = n - at < 1024 ? n - at : 1024;
        b->get(chunk, (const float *)device + at, m * sizeof(float));
        for (size_t i = 0; i < m; i++) host[at + i] = (double)chunk[i];
        at += m;
    }
}
