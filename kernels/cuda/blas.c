/* blas.c - see blas.h.
 *
 * cuBLAS stores matrices by columns, so a row-major c = a b is asked for as c^T = b^T a^T: the
 * memory of a row-major matrix is that of its transpose by columns, and nothing is moved. */
#include "blas.h"

#include "bf16.h"

#include <cublas_v2.h>
#include <dlfcn.h>
#include <stdio.h>

enum { WORKSPACE_MIB = 32, PAD = 8 };

static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so",
                                    "/usr/local/cuda/lib64/libcublas.so"};
enum { N_NAMES = sizeof names / sizeof *names };

/* The functions in use; the header gives their types, the library is loaded later. */
#define BLAS_FUNCTIONS(F)                                                                          \
    F(cublasCreate_v2)                                                                             \
    F(cublasSetStream_v2)                                                                          \
    F(cublasSetWorkspace_v2)                                                                       \
    F(cublasGemmStridedBatchedEx)                                                                  \
    F(cublasGetStatusString)

static struct {
#define F(name) __typeof__(name) *name;
    BLAS_FUNCTIONS(F)
#undef F
    cublasHandle_t handle;
    numerics numerics;
} blas;

static void *load(const char **name) {
    void *library = NULL;
    for (int i = 0; i < N_NAMES && !library; i++)
        library = dlopen(*name = names[i], RTLD_NOW | RTLD_LOCAL);
    return library;
}

const char *blas_name(void) {
    const char *name;
    void *library = load(&name);
    if (!library) return NULL;
    dlclose(library);
    return name;
}

void blas_version(char out[32]) {
    const char *name;
    void *library = load(&name);
    __typeof__(cublasGetProperty) *property = NULL;
    int part[3] = {0};
    snprintf(out, 32, library ? "of unknown version" : "not found");
    if (library) *(void **)&property = dlsym(library, "cublasGetProperty");
    if (property && !property(MAJOR_VERSION, &part[0]) && !property(MINOR_VERSION, &part[1]) &&
        !property(PATCH_LEVEL, &part[2]))
        snprintf(out, 32, "%d.%d.%d", part[0], part[1], part[2]);
    if (library) dlclose(library);
}

static status find_functions(const char *numerics_name, error *e) {
    const char *name;
    void *library = load(&name);
    if (!library)
        return error_set(e, STATUS_ENVIRONMENT,
                         "train.numerics: %s needs cuBLAS, and %s is not found; install it (apt: "
                         "libcublas-13-0; pip: nvidia-cublas, with its lib folder in "
                         "LD_LIBRARY_PATH) or use train.numerics: strict.",
                         numerics_name, names[0]);
    const char *lacks = NULL;
#define F(function)                                                                                \
    if (!(*(void **)&blas.function = dlsym(library, #function))) lacks = #function;
    BLAS_FUNCTIONS(F)
#undef F
    if (!lacks) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "train.numerics: %s needs cuBLAS 12 or newer, and %s has no %s; use "
                     "train.numerics: strict.",
                     numerics_name, name, lacks);
}

status blas_open(numerics n, void *stream, error *e) {
    static const char *const numerics_name[] = {"strict", "fp32", "tf32", "bf16"};
    if (find_functions(numerics_name[n], e)) return e->code;
    blas.numerics = n;
    void *workspace = NULL;
    const size_t bytes = (size_t)WORKSPACE_MIB << 20;
    if (cudaMalloc(&workspace, bytes)) {
        cudaGetLastError();
        return error_set(e, STATUS_ENVIRONMENT,
                         "out of GPU memory: %d MiB for cuBLAS are not free; use a GPU with fewer "
                         "workers.",
                         WORKSPACE_MIB);
    }
    cublasStatus_t s = blas.cublasCreate_v2(&blas.handle);
    if (!s) s = blas.cublasSetStream_v2(blas.handle, stream);
    if (!s) s = blas.cublasSetWorkspace_v2(blas.handle, workspace, bytes); /* after the stream */
    if (!s) return STATUS_OK;
    return error_set(e, STATUS_ENVIRONMENT,
                     "cuBLAS does not start: %s; use train.numerics: strict.",
                     blas.cublasGetStatusString(s));
}

/* One operand as cuBLAS sees it: rows of adjacent elements, of the matrix or of its transpose. */
typedef struct operand {
    const void *data;
    cublasOperation_t op; /* N: the rows in memory are rows of the matrix */
    long run, row;
    int rows, cols; /* in memory */
} operand;

/* rows x cols with the given strides; false: neither side is adjacent. A side of length 1 may have
 * any stride. */
static bool operand_of(operand *o, const float *x, long run, long row, long col, int rows,
                       int cols) {
    *o = (operand){x, CUBLAS_OP_N, run, rows == 1 ? cols : row, rows, cols};
    if ((col == 1 || cols == 1) && o->row >= cols && o->row <= INT_MAX) return true;
    *o = (operand){x, CUBLAS_OP_T, run, cols == 1 ? rows : col, cols, rows};
    return (row == 1 || rows == 1) && o->row >= rows && o->row <= INT_MAX;
}

static bool operands_of(operand *a, operand *b, const product *p) {
    return p->runs > 0 && p->rows > 0 && p->cols > 0 && p->inner > 0 && p->c_row <= INT_MAX &&
           operand_of(a, p->a, p->a_run, p->a_row, p->a_col, p->rows, p->inner) &&
           operand_of(b, p->b, p->b_run, p->b_row, p->b_col, p->inner, p->cols);
}

bool blas_fits(const product *p) {
    operand a, b;
    return operands_of(&a, &b, p);
}

/* A copy in bfloat16; what all runs share is converted once. */
static void round_operand(operand *o, int runs) {
    const int copies = o->run ? runs : 1, pad = (o->cols + PAD - 1) / PAD * PAD;
    const size_t n = (size_t)copies * (size_t)o->rows * (size_t)pad;
    uint16_t *to = launch_take(n * sizeof *to);
    bf16_convert(to, o->data, copies, o->rows, o->cols, pad, o->run, o->row);
    *o = (operand){to, o->op, o->run ? (long)o->rows * pad : 0, pad, o->rows, o->cols};
}

const char *blas_product(const product *p) {
    operand a, b;
    CHECK(operands_of(&a, &b, p));
    const size_t mark = launch_mark();
    cudaDataType_t type = CUDA_R_32F;
    if (blas.numerics == NUMERICS_BF16) {
        round_operand(&a, p->runs);
        round_operand(&b, p->runs);
        type = CUDA_R_16BF;
    }
    const char *failed = NULL;
    if (launch_begin("cublasGemmStridedBatchedEx")) {
        const float one = 1, keep = p->accumulate ? 1 : 0;
        const cublasStatus_t s = blas.cublasGemmStridedBatchedEx(
            blas.handle, b.op, a.op, p->cols, p->rows, p->inner, &one, b.data, type, (int)b.row,
            b.run, a.data, type, (int)a.row, a.run, &keep, p->c, CUDA_R_32F, (int)p->c_row,
            p->c_run, p->runs,
            blas.numerics == NUMERICS_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
            CUBLAS_GEMM_DEFAULT);
        if (s) failed = blas.cublasGetStatusString(s);
        launch_end("cublasGemmStridedBatchedEx");
    }
    launch_drop(mark);
    return failed;
}
