/* cuda_devices.c - see cuda_devices.h. */
#include "cuda_devices.h"

#include <ctype.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef DRIVER_ANSWER_MS /* shorter in tests */
#    define DRIVER_ANSWER_MS 10000
#endif
enum { OLDEST_MAJOR = 8, END_MS = 1000 };

/* --- the management library: free memory without the second that a context takes ------------ */
typedef struct nvml {
    void *library;
    int (*by_id)(const char *id, void **device);
    int (*memory)(void *device, unsigned long long total_free_used[3]);
    char driver[32]; /* "580.95.05"; "" when not known */
} nvml;

static void *symbol(void *library, const char *name) {
    return library ? dlsym(library, name) : NULL;
}

static void nvml_open(nvml *m) {
    *m = (nvml){.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
    int (*start)(void), (*driver)(char *, unsigned);
    /* through void **: ISO C has no cast from an object to a function pointer */
    *(void **)&start = symbol(m->library, "nvmlInit_v2");
    *(void **)&driver = symbol(m->library, "nvmlSystemGetDriverVersion");
    if (!start || start()) return;
    *(void **)&m->by_id = symbol(m->library, "nvmlDeviceGetHandleByUUID");
    *(void **)&m->memory = symbol(m->library, "nvmlDeviceGetMemoryInfo");
    if (driver && driver(m->driver, sizeof m->driver)) m->driver[0] = 0;
}

static double memory_free(const nvml *m, const char *id, int ordinal) {
    void *device;
    unsigned long long bytes[3]; /* nvmlMemory_t */
    if (m->by_id && m->memory && !m->by_id(id, &device) && !m->memory(device, bytes))
        return (double)bytes[1];
    size_t unused = 0, total;
    if (cudaSetDevice(ordinal) || cudaMemGetInfo(&unused, &total)) cudaGetLastError();
    return (double)unused;
}

/* --- listing -------------------------------------------------------------------------------- */
static void id_text(char *out, size_t size, const cudaUUID_t *u) {
    const unsigned char *b = (const unsigned char *)u->bytes;
    snprintf(out, size, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static void say_missing(cuda_devices *out, cudaError_t code) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int driver = 0;
    const size_t size = sizeof out->missing;
    if (code == cudaErrorInsufficientDriver && !cudaDriverGetVersion(&driver) && driver)
        snprintf(out->missing, size,
                 "the NVIDIA driver is for CUDA %d.%d and this build for %d.%d; update the driver, "
                 "or build with an older CUDA",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    else if (code == cudaErrorInsufficientDriver)
        snprintf(out->missing, size, "no NVIDIA driver is installed");
    else if ((code == cudaErrorNoDevice || code == cudaSuccess) && visible)
        snprintf(out->missing, size, "no GPU is visible; CUDA_VISIBLE_DEVICES is \"%.60s\"",
                 visible);
    else if (code == cudaErrorNoDevice || code == cudaSuccess)
        snprintf(out->missing, size, "the NVIDIA driver sees no GPU");
    else
        snprintf(out->missing, size, "the NVIDIA driver says: %s", cudaGetErrorString(code));
}

void cuda_devices_list(cuda_devices *out, bool with_memory) {
    *out = (cuda_devices){.n = 0};
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code || !count) {
        say_missing(out, code);
        return;
    }
    nvml m;
    nvml_open(&m);
    for (int i = 0; i < count && out->n < MAX_CUDA_DEVICES; i++) {
        struct cudaDeviceProp p;
        const cudaError_t refused = cudaGetDeviceProperties(&p, i);
        if (refused) {
            say_missing(out, refused);
            continue;
        }
        if (p.major < OLDEST_MAJOR) {
            snprintf(out->missing, sizeof out->missing,
                     "%.100s has compute capability %d.%d and %d.0 is the oldest supported", p.name,
                     p.major, p.minor, OLDEST_MAJOR);
            continue;
        }
        cuda_device *d = &out->device[out->n++];
        *d = (cuda_device){.ordinal = i, .info.mem_bytes = (double)p.totalGlobalMem};
        id_text(d->info.id, sizeof d->info.id, &p.uuid);
        snprintf(d->info.name, sizeof d->info.name, "%.50s, compute capability %d.%d%s%s", p.name,
                 p.major, p.minor, m.driver[0] ? ", driver " : "", m.driver);
        if (with_memory) d->info.mem_free_bytes = memory_free(&m, d->info.id, i);
    }
    if (out->n) out->missing[0] = 0;
}

/* --- the child ------------------------------------------------------------------------------ */
/* The record fits the pipe, so the child never waits for a reader. */
_Noreturn static void child_main(int out) {
    static cuda_devices found;
    cuda_devices_list(&found, true);
    _exit(write(out, &found, sizeof found) != sizeof found);
}

/* Until `in` can be read or its writer is gone; false: neither within the time. */
static bool readable(int in, int timeout_ms) {
    struct pollfd p = {.fd = in, .events = POLLIN};
    int n;
    while ((n = poll(&p, 1, timeout_ms)) < 0 && errno == EINTR) continue;
    return n > 0;
}

/* Whether a whole record came within the time. */
static bool listen_to(int in, cuda_devices *out) {
    char *at = (char *)out;
    size_t left = sizeof *out;
    while (left && readable(in, DRIVER_ANSWER_MS)) {
        const ssize_t n = read(in, at, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += n;
        left -= (size_t)n;
    }
    return !left;
}

static void ask_child(cuda_devices *out) {
    int pipe_end[2];
    pid_t child;
    if (pipe(pipe_end)) {
        snprintf(out->missing, sizeof out->missing, "no pipe could be opened to look for GPUs");
        return;
    }
    if ((child = fork()) == 0) {
        close(pipe_end[0]);
        child_main(pipe_end[1]);
    }
    close(pipe_end[1]);
    if (child < 0 || !listen_to(pipe_end[0], out)) {
        *out = (cuda_devices){.n = 0};
        snprintf(out->missing, sizeof out->missing, "the NVIDIA driver did not answer");
    }
    if (child > 0) {
        kill(child, SIGKILL);
        /* One that hangs inside the kernel does not even die of that: it is left behind. */
        char last;
        while (readable(pipe_end[0], END_MS) && read(pipe_end[0], &last, 1) == 1) continue;
        for (int i = 0; i < 2 && waitpid(child, NULL, WNOHANG) == 0; i++) poll(NULL, 0, 10);
    }
    close(pipe_end[0]);
}

const cuda_devices *cuda_devices_probe(void) {
    static cuda_devices known;
    if (known.n || known.missing[0]) return &known;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver) {
        snprintf(known.missing, sizeof known.missing,
                 "no NVIDIA driver is installed (libcuda.so.1 is not found)");
        return &known;
    }
    dlclose(driver);
    ask_child(&known);
    return &known;
}

/* --- choosing ------------------------------------------------------------------------------- */
static int pick_index(const cuda_devices *d, const char *wanted, error *e) {
    const long i = strtol(wanted, NULL, 10);
    if (i < d->n) return (int)i;
    error_set(e, STATUS_ENVIRONMENT,
              "device cuda:%s does not exist: this machine has %d GPU%s, counted from 0; "
              "mixgrid doctor lists them.",
              wanted, d->n, d->n == 1 ? "" : "s");
    return -1;
}

int cuda_device_pick(const cuda_devices *d, const char *wanted, error *e) {
    if (!d->n) {
        error_set(e, STATUS_ENVIRONMENT, "device cuda cannot be used: %s.", d->missing);
        return -1;
    }
    if (!wanted) return 0;
    const size_t digits = strspn(wanted, "0123456789");
    if (digits && digits < 4 && !wanted[digits]) return pick_index(d, wanted, e);
    const char *start = strncasecmp(wanted, "GPU-", 4) ? wanted : wanted + 4;
    const size_t n = strlen(start);
    int found = -1, matches = 0;
    for (int i = 0; i < d->n; i++)
        if (n >= 4 && !strncasecmp(d->device[i].info.id + 4, start, n)) {
            found = i;
            matches++;
        }
    if (matches == 1) return found;
    error_set(e, STATUS_ENVIRONMENT,
              "device cuda:%s names %s GPU; give an index (cuda:0) or the first characters of a "
              "UUID, at least 4; mixgrid doctor lists them.",
              wanted, matches ? "more than one" : "no");
    return -1;
}
