/* fake_cuda.c - see fake_cuda.h. */
#include "fake_cuda.h"

#include "kernels/core/error.h"
#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"

#include <cublas_v2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fake_machine fake = {.opened = -1};

/* --- queue ---------------------------------------------------------------------------------- */
typedef struct work {
    void (*run)(void *);
    void *argument;
} work;

enum { MAX_WORK = 256, MAX_PINNED = 16, SECRET = 77 };

struct CUgraph_st {
    work item[MAX_WORK];
    int n;
};
struct CUgraphExec_st {
    struct CUgraph_st graph;
};
struct CUstream_st {
    int unused;
};
struct CUevent_st {
    int unused;
};

static struct CUgraph_st queue;
static struct CUgraph_st *capture; /* not NULL: being recorded */
static bool capture_spoilt;
static struct {
    char *start;
    size_t bytes;
} pinned[MAX_PINNED];
static cudaError_t last;

static void append(struct CUgraph_st *g, void (*run)(void *), void *argument) {
    CHECK(g->n < MAX_WORK);
    g->item[g->n++] = (work){run, argument};
}

static void enqueue(void (*run)(void *), void *argument) {
    append(capture ? capture : &queue, run, argument);
}

static cudaError_t fail(cudaError_t code) { return last = code; }

/* Not allowed while capturing. */
static bool spoils(void) {
    fake.calls++;
    if (capture) capture_spoilt = true;
    return capture;
}

static cudaError_t drain(void) {
    if (spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    for (int i = 0; i < queue.n && !fake.run_code; i++) queue.item[i].run(queue.item[i].argument);
    queue.n = 0;
    return fake.run_code ? fail((cudaError_t)fake.run_code) : cudaSuccess;
}

void fake_launch(void (*kernel)(void *), void *argument) {
    if (fake.launch_code) {
        fail((cudaError_t)fake.launch_code);
        fake.launch_code = 0;
        if (capture) capture_spoilt = true;
        return;
    }
    enqueue(kernel, argument);
}

/* --- devices -------------------------------------------------------------------------------- */
const char *cudaGetErrorString(cudaError_t code) {
    return code == cudaErrorIllegalAddress ? "an illegal memory access was encountered"
                                           : "some error";
}
const char *cudaGetErrorName(cudaError_t code) {
    return code == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "cudaErrorOther";
}
cudaError_t cudaGetLastError(void) {
    fake.calls++;
    const cudaError_t code = last;
    last = cudaSuccess;
    return code;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = fake.driver_version;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int *count) {
    fake.calls++;
    if (fake.crashes) abort();
    if (fake.hangs) pause();
    *count = fake.n_device;
    return fail((cudaError_t)fake.count_code);
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    fake.calls++;
    const fake_device *d = &fake.device[device];
    *p = (struct cudaDeviceProp){.major = d->major, .minor = d->minor};
    p->totalGlobalMem = d->mem_bytes;
    snprintf(p->name, sizeof p->name, "%s", d->name);
    memcpy(p->uuid.bytes, d->id, sizeof d->id);
    return cudaSuccess;
}
cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags) {
    fake.calls++;
    CHECK(device_flags == cudaDeviceScheduleBlockingSync && flags == cudaInitDeviceFlagsAreValid);
    if (fake.opened != device) fake.devices_used++;
    fake.opened = device;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    fake.calls++;
    if (fake.opened != device) fake.devices_used++;
    fake.opened = device;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *unused, size_t *total) {
    fake.calls++;
    const fake_device *d = &fake.device[fake.opened];
    *total = d->mem_bytes;
    *unused = d->mem_free_bytes - fake.live_bytes;
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    fake.calls++;
    CHECK(flags == cudaStreamNonBlocking);
    static struct CUstream_st only;
    *stream = &only;
    return cudaSuccess;
}

/* --- memory: each block knows its size ------------------------------------------------------ */
typedef struct block {
    size_t bytes;
    char pad[256 - sizeof(size_t)];
} block;

static void *block_new(size_t bytes, int fill) {
    block *b = aligned_alloc(256, sizeof *b + (bytes + 255) / 256 * 256);
    CHECK(b);
    b->bytes = bytes;
    return memset(b + 1, fill, bytes);
}

cudaError_t cudaMalloc(void **p, size_t bytes) {
    if (spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    if (fake.live_bytes + bytes > fake.device[fake.opened].mem_free_bytes)
        return fail(cudaErrorMemoryAllocation);
    fake.live_bytes += bytes;
    *p = block_new(bytes, 0xFF);
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) {
    if (spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    block *b = (block *)p - 1;
    fake.live_bytes -= b->bytes;
    free(b);
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags) {
    if (spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    CHECK(flags == cudaHostAllocDefault);
    *p = block_new(bytes, 0xFF);
    fake.live_host_bytes += bytes;
    int i = 0;
    while (pinned[i].start) i++;
    CHECK(i < MAX_PINNED - 1);
    pinned[i].start = *p;
    pinned[i].bytes = bytes;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p) {
    if (spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    block *b = (block *)p - 1;
    fake.live_host_bytes -= b->bytes;
    for (int i = 0; i < MAX_PINNED; i++)
        if (pinned[i].start == p) pinned[i].start = NULL;
    free(b);
    return cudaSuccess;
}

typedef struct copy_args {
    void *to;
    const void *from; /* NULL: fill */
    size_t bytes;
    int value;
} copy_args;

static void copy_now(void *argument) {
    const copy_args *c = argument;
    if (c->from)
        memcpy(c->to, c->from, c->bytes);
    else
        memset(c->to, c->value, c->bytes);
}

/* Copies of arguments stay until the process ends, as graphs may hold them. */
static void enqueue_copy(copy_args c) {
    copy_args *kept = malloc(sizeof *kept);
    CHECK(kept);
    *kept = c;
    enqueue(copy_now, kept);
}

static bool is_pinned(const char *p) {
    for (int i = 0; i < MAX_PINNED; i++)
        if (pinned[i].start && p >= pinned[i].start && p < pinned[i].start + pinned[i].bytes)
            return true;
    return false;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    CHECK(stream);
    const void *host = kind == cudaMemcpyHostToDevice ? from : to;
    if (!is_pinned(host) && spoils()) return fail(cudaErrorStreamCaptureUnsupported);
    fake.calls++;
    enqueue_copy((copy_args){to, from, bytes, 0});
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
    CHECK(stream);
    fake.calls++;
    enqueue_copy((copy_args){p, NULL, bytes, value});
    return cudaSuccess;
}

/* --- waiting -------------------------------------------------------------------------------- */
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    CHECK(stream);
    return drain();
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    CHECK(flags == (cudaEventDisableTiming | cudaEventBlockingSync));
    fake.calls++;
    *event = calloc(1, sizeof **event);
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    CHECK(event && stream);
    fake.calls++;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    CHECK(event);
    return drain(); /* more than the event: as a GPU that is ahead */
}

/* --- graphs --------------------------------------------------------------------------------- */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    CHECK(stream && !capture && mode == cudaStreamCaptureModeThreadLocal);
    fake.calls++;
    fake.captures++;
    fake.graphs_alive++;
    capture = calloc(1, sizeof *capture);
    capture_spoilt = false;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    CHECK(stream && capture);
    fake.calls++;
    *graph = capture;
    capture = NULL;
    if (!capture_spoilt) return cudaSuccess;
    cudaGraphDestroy(*graph);
    *graph = NULL;
    return fail(cudaErrorStreamCaptureInvalidated);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long flags) {
    CHECK(!flags);
    fake.calls++;
    fake.graphs_alive++;
    *exec = calloc(1, sizeof **exec);
    (*exec)->graph = *graph;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    fake.calls++;
    fake.graphs_alive--;
    free(graph);
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    fake.calls++;
    fake.graphs_alive--;
    free(exec);
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    CHECK(stream && !capture);
    fake.calls++;
    fake.graph_launches++;
    for (int i = 0; i < exec->graph.n; i++)
        append(&queue, exec->graph.item[i].run, exec->graph.item[i].argument);
    return cudaSuccess;
}

/* --- cuBLAS: products by columns, and the rounding that goes before -------------------------- */
static float from_bf16(const void *x, long i) {
    const unsigned bits = (unsigned)((const uint16_t *)x)[i] << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float element(const void *x, cudaDataType_t type, long i) {
    return type == CUDA_R_16BF ? from_bf16(x, i) : ((const float *)x)[i];
}

typedef struct gemm_args {
    bool at, bt;
    int m, n, k, batch;
    float alpha, beta;
    const void *a, *b;
    cudaDataType_t type;
    long lda, a_stride, ldb, b_stride, ldc, c_stride;
    float *c;
} gemm_args;

static void gemm_now(void *argument) {
    const gemm_args *g = argument;
    for (long r = 0; r < g->batch; r++)
        for (long j = 0; j < g->n; j++)
            for (long i = 0; i < g->m; i++) {
                float sum = 0;
                for (long l = 0; l < g->k; l++)
                    sum += element(g->a, g->type,
                                   r * g->a_stride + (g->at ? l + i * g->lda : i + l * g->lda)) *
                           element(g->b, g->type,
                                   r * g->b_stride + (g->bt ? j + l * g->ldb : l + j * g->ldb));
                float *c = g->c + r * g->c_stride + i + j * g->ldc;
                *c = g->alpha * sum + (g->beta != 0 ? g->beta * *c : 0);
            }
}

static cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const void *alpha, const void *a,
                           cudaDataType_t a_type, int lda, long long a_stride, const void *b,
                           cudaDataType_t b_type, int ldb, long long b_stride, const void *beta,
                           void *c, cudaDataType_t c_type, int ldc, long long c_stride, int batch,
                           cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
    CHECK(handle && a_type == b_type && c_type == CUDA_R_32F && algorithm == CUBLAS_GEMM_DEFAULT);
    CHECK(compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_FAST_TF32);
    if (fake.blas_code) return (cublasStatus_t)fake.blas_code;
    const bool at = op_a == CUBLAS_OP_T, bt = op_b == CUBLAS_OP_T;
    if (lda < (at ? k : m) || ldb < (bt ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
    gemm_args *g = malloc(sizeof *g);
    CHECK(g);
    *g = (gemm_args){at,
                     bt,
                     m,
                     n,
                     k,
                     batch,
                     *(const float *)alpha,
                     *(const float *)beta,
                     a,
                     b,
                     a_type,
                     lda,
                     a_stride,
                     ldb,
                     b_stride,
                     ldc,
                     c_stride,
                     c};
    enqueue(gemm_now, g);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t create(cublasHandle_t *handle) {
    static int only;
    *handle = (cublasHandle_t)&only;
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t set_stream(cublasHandle_t handle, cudaStream_t stream) {
    CHECK(handle && stream);
    return CUBLAS_STATUS_SUCCESS;
}
static cublasStatus_t set_workspace(cublasHandle_t handle, void *p, size_t bytes) {
    CHECK(handle && p && bytes >= (size_t)4 << 20);
    return CUBLAS_STATUS_SUCCESS;
}
static const char *status_string(cublasStatus_t s) { return s ? "planted" : "fine"; }

typedef struct round_args {
    uint16_t *to;
    const float *from;
    int runs, rows, cols, pad;
    long run, row;
} round_args;

static void round_now(void *argument) {
    const round_args *a = argument;
    for (long r = 0; r < a->runs; r++)
        for (long i = 0; i < a->rows; i++)
            for (long k = 0; k < a->pad; k++) {
                unsigned bits = 0;
                if (k < a->cols) memcpy(&bits, &a->from[r * a->run + i * a->row + k], sizeof bits);
                a->to[(r * a->rows + i) * a->pad + k] =
                    (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
            }
}

/* The kernel of bf16.cu is tested by bf16_test. */
void bf16_convert(uint16_t *to, const float *from, int runs, int rows, int cols, int pad, long run,
                  long row) {
    if (!launch_begin("round_bf16")) return;
    round_args *a = malloc(sizeof *a);
    CHECK(a);
    *a = (round_args){to, from, runs, rows, cols, pad, run, row};
    fake_launch(round_now, a);
    launch_end("round_bf16");
}

/* --- libraries ------------------------------------------------------------------------------ */
static int nvml_init(void) { return 0; }
static int nvml_driver(char *out, unsigned size) {
    snprintf(out, size, "%s", fake.driver_says);
    return 0;
}
static int nvml_by_id(const char *id, void **device) {
    for (int i = 0; i < fake.n_device; i++) {
        char start[16];
        const unsigned char *b = fake.device[i].id;
        snprintf(start, sizeof start, "GPU-%02x%02x%02x%02x-", b[0], b[1], b[2], b[3]);
        if (strncmp(id, start, strlen(start))) continue;
        *device = &fake.device[i];
        return 0;
    }
    return SECRET;
}
static int nvml_memory(void *device, unsigned long long total_free_used[3]) {
    total_free_used[1] = ((const fake_device *)device)->mem_free_bytes;
    return 0;
}

static int driver_library, nvml_library, blas_library;

void *fake_dlopen(const char *name, int mode) {
    (void)mode;
    if (!strcmp(name, "libcuda.so.1") && fake.has_driver) return &driver_library;
    if (!strcmp(name, "libnvidia-ml.so.1") && fake.has_nvml) return &nvml_library;
    if (!strcmp(name, "libcublas.so.12") && fake.has_blas) return &blas_library;
    return NULL;
}

int fake_dlclose(void *library) {
    CHECK(library);
    return 0;
}

void *fake_dlsym(void *library, const char *name) {
    CHECK(library);
    /* ISO C has no cast from a function to an object pointer, hence the union */
    static const struct {
        const char *name;
        union {
            void (*function)(void);
            void *object;
        } at;
    } table[] = {
        {"nvmlInit_v2", {(void (*)(void))nvml_init}},
        {"nvmlSystemGetDriverVersion", {(void (*)(void))nvml_driver}},
        {"nvmlDeviceGetHandleByUUID", {(void (*)(void))nvml_by_id}},
        {"nvmlDeviceGetMemoryInfo", {(void (*)(void))nvml_memory}},
        {"cublasCreate_v2", {(void (*)(void))create}},
        {"cublasSetStream_v2", {(void (*)(void))set_stream}},
        {"cublasSetWorkspace_v2", {(void (*)(void))set_workspace}},
        {"cublasGemmStridedBatchedEx", {(void (*)(void))gemm}},
        {"cublasGetStatusString", {(void (*)(void))status_string}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i].name)) return table[i].at.object;
    return NULL;
}
