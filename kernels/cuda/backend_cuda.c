/* backend_cuda.c - an NVIDIA GPU as a backend, and what launchers ask of it (launch.h).
 *
 * One stream per process takes everything in order. The host sleeps while it waits
 * (cudaDeviceScheduleBlockingSync) instead of polling: several workers share few cores, and those
 * are wanted for drawing batches; the extra 20 to 50 us are hidden, as a host that works ahead
 * awaits a step while the next one is queued.
 *
 * The first error is kept. From then on nothing is queued, until sync has told of it.
 *
 * A recording holds the addresses of scratch: when scratch grows and moves, `epoch` tells
 * recordings from before, and they are made anew. */
#include "blas.h"
#include "cuda_devices.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if CUDART_VERSION < 12000
#    error "CUDA 12 or newer is needed"
#endif

extern const op *const ops_f32[N_OP];
extern const kernels kernels_cuda;

enum { ALIGN = 256 };
/* Made-up scratch of a measuring pass: aligned, not NULL, not to be read. */
#define MEASURED_BASE ((unsigned char *)((uintptr_t)1 << 40))

struct recording {
    cudaGraphExec_t exec;
    long epoch;
};

typedef struct host_block {
    unsigned char *start;
    size_t bytes;
    struct host_block *next;
} host_block;

static struct {
    cudaStream_t stream; /* NULL: not open */
    numerics numerics;
    error first;
    bool recording, measuring;
    cudaEvent_t mark[N_MARK];
    bool marked[N_MARK];
    host_block *host;
    unsigned char *scratch;
    size_t scratch_bytes, used, peak;
    long epoch;
} gpu;

/* true: no error. Else it is kept, as what the GPU was doing; "running kernel gemm". */
static bool good(cudaError_t code, const char *doing, const char *what) {
    if (!code) return true;
    cudaGetLastError(); /* or the next call would report it again */
    error_set(&gpu.first, STATUS_ENVIRONMENT, "the GPU failed while %s%s: %s (%s).", doing, what,
              cudaGetErrorString(code), cudaGetErrorName(code));
    return false;
}

/* Whether work can be queued now. */
static bool ready(void) {
    if (gpu.measuring) return false;
    CHECK(gpu.stream);
    return !gpu.first.code;
}

static double mib(size_t bytes) { return (double)bytes / 0x1p20; }

static void say_out_of_memory(error *e, size_t bytes, const char *purpose) {
    size_t unused = 0, total = 0;
    if (cudaMemGetInfo(&unused, &total)) cudaGetLastError();
    error_set(e, STATUS_ENVIRONMENT,
              "out of GPU memory: %.1f MiB for %s do not fit, %.1f of %.1f MiB are free; make the "
              "model, the batch or the pack smaller, or start fewer workers.",
              mib(bytes), purpose, mib(unused), mib(total));
}

/* --- finding and opening -------------------------------------------------------------------- */
static const char *cuda_missing(void) {
    const cuda_devices *d = cuda_devices_probe();
    return d->n ? NULL : d->missing;
}

static int cuda_list(device_info *out, int most) {
    const cuda_devices *d = cuda_devices_probe();
    int n = 0;
    for (; n < d->n && n < most; n++) out[n] = d->device[n].info;
    return n;
}

static const char *cuda_note(void) {
    static char text[128];
    const char *name = blas_name();
    snprintf(text, sizeof text,
             name ? "cuBLAS found (%s): train.numerics may be strict, fp32, tf32 or bf16"
                  : "cuBLAS not found: train.numerics can only be strict%s",
             name ? name : "");
    return text;
}

static const char *cuda_libraries(void) {
    static char text[96];
    char blas_version_text[32];
    blas_version(blas_version_text);
    snprintf(text, sizeof text, "CUDA %d.%d, cuBLAS %s", CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10, blas_version_text);
    return text;
}

static cudaError_t open_device(int ordinal) {
    cudaError_t code =
        cudaInitDevice(ordinal, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid);
    if (!code) code = cudaSetDevice(ordinal);
    for (int i = 0; i < N_MARK && !code; i++)
        code =
            cudaEventCreateWithFlags(&gpu.mark[i], cudaEventDisableTiming | cudaEventBlockingSync);
    if (!code) code = cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking);
    return code;
}

static status cuda_open(const char *device, numerics n, error *e) {
    CHECK(!gpu.stream);
    static cuda_devices found;
    cuda_devices_list(&found, false);
    const int i = cuda_device_pick(&found, device, e);
    if (i < 0) return e->code;
    const cudaError_t code = open_device(found.device[i].ordinal);
    if (code)
        return error_set(e, STATUS_ENVIRONMENT, "device cuda:%d (%s) cannot be opened: %s (%s).", i,
                         found.device[i].info.name, cudaGetErrorString(code),
                         cudaGetErrorName(code));
    gpu.numerics = n;
    return n == NUMERICS_STRICT ? STATUS_OK : blas_open(n, gpu.stream, e);
}

/* --- memory --------------------------------------------------------------------------------- */
/* `*e` gets an error that was kept before: its reader may stop here. */
static void *device_memory(size_t bytes, const char *purpose, error *e) {
    CHECK(!gpu.recording);
    void *p = NULL;
    if (!ready()) {
        error_set(e, gpu.first.code, "%s", gpu.first.text);
        return NULL;
    }
    const cudaError_t code = cudaMalloc(&p, bytes ? bytes : 1);
    if (!code) return p;
    cudaGetLastError();
    if (code == cudaErrorMemoryAllocation)
        say_out_of_memory(e, bytes, purpose);
    else if (!good(code, "finding memory for ", purpose)) /* of work that was queued before */
        error_set(e, gpu.first.code, "%s", gpu.first.text);
    return NULL;
}

static void *cuda_alloc(size_t bytes, error *e) {
    void *p = device_memory(bytes, "tensors", e);
    if (p) good(cudaMemsetAsync(p, 0, bytes, gpu.stream), "clearing memory", "");
    return p;
}

static void cuda_release(void *p) {
    CHECK(!gpu.recording);
    if (!p) return;
    good(cudaStreamSynchronize(gpu.stream), "computing", "");
    good(cudaFree(p), "giving memory back", "");
}

static void *cuda_alloc_host(size_t bytes, error *e) {
    CHECK(!gpu.recording && gpu.stream);
    host_block *b = malloc(sizeof *b);
    void *p = NULL;
    const cudaError_t code =
        b ? cudaHostAlloc(&p, bytes ? bytes : 1, cudaHostAllocDefault) : cudaErrorMemoryAllocation;
    if (code) {
        cudaGetLastError();
        free(b);
        error_set(e, STATUS_ENVIRONMENT,
                  "out of memory: could not get %.1f MiB of pinned host memory (%s); make the "
                  "batch or the pack smaller, or raise ulimit -l.",
                  mib(bytes), cudaGetErrorString(code));
        return NULL;
    }
    *b = (host_block){p, bytes, gpu.host};
    gpu.host = b;
    return memset(p, 0, bytes);
}

static void cuda_release_host(void *p) {
    if (!p) return;
    good(cudaStreamSynchronize(gpu.stream), "computing", "");
    for (host_block **link = &gpu.host; *link; link = &(*link)->next) {
        host_block *b = *link;
        if (b->start != p) continue;
        *link = b->next;
        free(b);
        good(cudaFreeHost(p), "giving host memory back", "");
        return;
    }
    BUG("host memory that alloc_host did not give");
}

static bool is_pinned(const void *host, size_t bytes) {
    const uintptr_t at = (uintptr_t)host;
    for (const host_block *b = gpu.host; b; b = b->next) {
        const uintptr_t start = (uintptr_t)b->start;
        if (at >= start && at + bytes <= start + b->bytes) return true;
    }
    return false;
}

static void copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                 const void *host) {
    if (!ready() || !bytes) return;
    const bool pinned = is_pinned(host, bytes);
    CHECK(pinned || !gpu.recording);
    const char *doing =
        kind == cudaMemcpyHostToDevice ? "copying to the GPU" : "copying from the GPU";
    if (!good(cudaMemcpyAsync(to, from, bytes, kind, gpu.stream), doing, "")) return;
    if (!pinned || (backend_no_graph && !gpu.recording))
        good(cudaStreamSynchronize(gpu.stream), doing, "");
}

static void cuda_put(void *device, const void *host, size_t bytes) {
    copy(device, host, bytes, cudaMemcpyHostToDevice, host);
}
static void cuda_get(void *host, const void *device, size_t bytes) {
    copy(host, device, bytes, cudaMemcpyDeviceToHost, host);
}

static void cuda_zero(void *device, size_t bytes) {
    if (ready() && bytes)
        good(cudaMemsetAsync(device, 0, bytes, gpu.stream), "clearing memory", "");
}

/* --- time ----------------------------------------------------------------------------------- */
static void cuda_mark(int i) {
    CHECK(!gpu.recording);
    if (!ready()) return;
    gpu.marked[i] = good(cudaEventRecord(gpu.mark[i], gpu.stream), "queueing work", "");
}

static void cuda_await(int i) {
    CHECK(!gpu.recording);
    if (!ready() || !gpu.marked[i]) return;
    good(cudaEventSynchronize(gpu.mark[i]), "computing", "");
}

static status cuda_sync(error *e) {
    CHECK(!gpu.recording && gpu.stream);
    good(cudaStreamSynchronize(gpu.stream), "computing", "");
    if (!gpu.first.code) return STATUS_OK;
    const status code =
        error_set(e, gpu.first.code, "%s%s", gpu.first.text,
                  backend_no_graph ? "" : " --no-graph tells in which kernel, more slowly.");
    gpu.first = (error){0};
    return code;
}

/* --- recordings ----------------------------------------------------------------------------- */
static void cuda_forget(recording *r) {
    if (!r) return;
    if (r->exec) {
        good(cudaStreamSynchronize(gpu.stream), "computing", "");
        good(cudaGraphExecDestroy(r->exec), "forgetting a recording", "");
    }
    free(r);
}

/* Thread-local: other threads of the process may go on allocating host memory. */
static void record(recording *r, void (*body)(void *), void *context) {
    cudaGraph_t captured = NULL;
    if (r->exec) good(cudaGraphExecDestroy(r->exec), "forgetting a recording", "");
    r->exec = NULL;
    if (!good(cudaStreamBeginCapture(gpu.stream, cudaStreamCaptureModeThreadLocal),
              "starting to record", ""))
        return;
    gpu.recording = true;
    body(context);
    gpu.recording = false;
    /* ended in any case, or the stream would be of no use */
    if (good(cudaStreamEndCapture(gpu.stream, &captured), "recording", "") && ready() &&
        !good(cudaGraphInstantiate(&r->exec, captured, 0), "making a recording ready", ""))
        r->exec = NULL;
    if (captured) good(cudaGraphDestroy(captured), "recording", "");
    r->epoch = gpu.epoch;
}

static void cuda_replay(recording **r, void (*body)(void *), void *context) {
    CHECK(!gpu.recording);
    const bool is_first = !*r;
    if (gpu.measuring || backend_no_graph) {
        body(context);
        return;
    }
    if (!ready()) return;
    if (is_first && !(*r = calloc(1, sizeof **r))) {
        good(cudaErrorMemoryAllocation, "recording", "");
        return;
    }
    /* As it is: kernels are loaded at their first launch, which a recording does not allow. */
    if (is_first) {
        body(context);
        return;
    }
    if (!(*r)->exec || (*r)->epoch != gpu.epoch) record(*r, body, context);
    if (ready()) good(cudaGraphLaunch((*r)->exec, gpu.stream), "starting a recording", "");
}

/* --- scratch -------------------------------------------------------------------------------- */
static size_t cuda_measure(void (*body)(void *), void *context) {
    CHECK(!gpu.recording && !gpu.measuring && !gpu.used);
    gpu.measuring = true;
    gpu.peak = 0;
    body(context);
    gpu.measuring = false;
    CHECK(!gpu.used);
    return gpu.peak;
}

static status cuda_reserve(size_t bytes, error *e) {
    CHECK(!gpu.recording && !gpu.measuring && !gpu.used);
    if (bytes <= gpu.scratch_bytes) return STATUS_OK;
    cuda_release(gpu.scratch);
    gpu.scratch_bytes = 0;
    gpu.epoch++;
    if (!(gpu.scratch = device_memory(bytes, "scratch", e))) return e->code;
    gpu.scratch_bytes = bytes;
    return STATUS_OK;
}

void *launch_take(size_t bytes) {
    const size_t at = gpu.used;
    gpu.used += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (gpu.used > gpu.peak) gpu.peak = gpu.used;
    if (gpu.measuring) return MEASURED_BASE + at;
    if (gpu.used > gpu.scratch_bytes)
        BUG("kernels take %zu bytes of scratch, %zu are reserved", gpu.used, gpu.scratch_bytes);
    return gpu.scratch + at;
}

size_t launch_mark(void) { return gpu.used; }
void launch_drop(size_t mark) { gpu.used = mark; }

/* --- launches ------------------------------------------------------------------------------- */
bool launch_begin(const char *kernel) {
    (void)kernel;
    return ready();
}

void launch_end(const char *kernel) {
    if (good(cudaGetLastError(), "starting kernel ", kernel) && backend_no_graph)
        good(cudaStreamSynchronize(gpu.stream), "running kernel ", kernel);
}

void *launch_stream(void) { return gpu.stream; }

/* Not open yet: a plan is made for own kernels. */
bool launch_blas(const product *p) {
    if (gpu.numerics == NUMERICS_STRICT || !blas_fits(p)) return false;
    const char *said = blas_product(p);
    if (said)
        error_set(&gpu.first, STATUS_ENVIRONMENT,
                  "cuBLAS failed at a product of %d x %d x %d, %d runs: %s.", p->rows, p->inner,
                  p->cols, p->runs, said);
    return true;
}

/* tape_bytes: 1 GiB, so that the batches of small models are one piece and the pieces of large ones
 * keep all multiprocessors busy. Own constant: sums of gradients depend on it. */
const backend backend_cuda = {.name = "cuda",
                              .summary = "NVIDIA GPU",
                              .real_bytes = sizeof(float),
                              .tape_bytes = (size_t)1 << 30,
                              .lanes = 1,
                              .ops = ops_f32,
                              .kernels = &kernels_cuda,
                              .missing = cuda_missing,
                              .devices = cuda_list,
                              .open = cuda_open,
                              .alloc = cuda_alloc,
                              .release = cuda_release,
                              .alloc_host = cuda_alloc_host,
                              .release_host = cuda_release_host,
                              .put = cuda_put,
                              .get = cuda_get,
                              .zero = cuda_zero,
                              .mark = cuda_mark,
                              .await = cuda_await,
                              .replay = cuda_replay,
                              .forget = cuda_forget,
                              .measure = cuda_measure,
                              .reserve = cuda_reserve,
                              .sync = cuda_sync,
                              .note = cuda_note,
                              .libraries = cuda_libraries};
