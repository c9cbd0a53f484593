/* backend.c - the CPU builds and how one is chosen. */
#include "backend.h"

#include <stdlib.h>
#include <string.h>

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
static void cpu_sync(void) {}
static bool always(void) { return true; }

#if defined __x86_64__
static bool has_v3(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_v4(void) {
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512cd");
}
#else
#    error "the CPU backends need an x86-64 processor"
#endif

#define CPU_SLOTS                                                                                  \
    .alloc = cpu_alloc, .release = free, .put = cpu_copy, .get = cpu_copy, .sync = cpu_sync

static const backend backends[] = {
    {"cpu-v4", "float, AVX-512", sizeof(float), ops_f32, &kernels_v4, has_v4, CPU_SLOTS},
    {"cpu-v3", "float, AVX2 and FMA", sizeof(float), ops_f32, &kernels_v3, has_v3, CPU_SLOTS},
    {"f64", "double, for checks", sizeof(double), ops_f64, &kernels_f64, always, CPU_SLOTS},
};
enum { N_BACKEND = sizeof backends / sizeof *backends };

const backend *backend_at(int i) { return i < N_BACKEND ? &backends[i] : NULL; }

const backend *backend_find(const char *name, error *e) {
    bool any = !strcmp(name, "auto") || !strcmp(name, "cpu");
    for (int i = 0; i < N_BACKEND; i++) {
        const backend *b = &backends[i];
        if (any ? b->available() && b->real_bytes == sizeof(float) : !strcmp(name, b->name)) {
            if (b->available()) return b;
            error_set(e, STATUS_ENVIRONMENT,
                      "device %s needs %s, which this processor lacks; use --device auto.", name,
                      b->summary);
            return NULL;
        }
    }
    if (any)
        error_set(e, STATUS_ENVIRONMENT,
                  "this processor has no AVX2; only --device f64 (slow, for checks) runs here.");
    else
        error_set(e, STATUS_USAGE, "no device is called %s; use auto, cpu, cpu-v3, cpu-v4 or f64.",
                  name);
    return NULL;
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
