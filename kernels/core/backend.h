/* backend.h - a device as a struct of pointers: kernels, op adapters, memory, recordings.
 *
 * cpu-v3 (AVX2) and cpu-v4 (AVX-512) are the same sources built for two instruction sets, f64 is
 * the same in double precision, for checks. cuda is a GPU, found at run time. `auto` takes a GPU
 * where there is one, else the best CPU build; `cpu` the best CPU build. The name is recorded with
 * every run, as bits differ between them.
 *
 * Finding a backend touches no device: plans are made with it, and worker processes are forked
 * after it. The process that computes calls `open` first. What a device is asked to do is queued in
 * order; `sync` waits for it and reports the first error. On a CPU everything is done at once. */
#pragma once
#include "error.h"
#include "graph.h"

/* Work that a device can repeat without being told again; NULL: not recorded yet. */
typedef struct recording recording;

/* How products are computed; everything but strict needs cuBLAS. */
typedef enum numerics {
    NUMERICS_STRICT, /* own kernels: a pack trains to the same bits as its runs alone */
    NUMERICS_FP32,   /* cuBLAS */
    NUMERICS_TF32,   /* cuBLAS, operands rounded to 10 bits of mantissa */
    NUMERICS_BF16,   /* cuBLAS, operands rounded to 7 bits; sums and weights stay float */
} numerics;

typedef struct device_info {
    char id[64];    /* a UUID; "" for a processor */
    char name[128]; /* "NVIDIA H100 80GB HBM3, compute capability 9.0, driver 580.95" */
    double mem_bytes, mem_free_bytes;
} device_info;

struct backend {
    const char *name, *summary;
    size_t real_bytes;
    size_t tape_bytes; /* a micro-batch is as large as its arena, for one run, stays within this */
    int lanes;         /* gradient lanes that can work side by side */
    const op *const *ops; /* [N_OP] */
    const kernels *kernels;
    /* NULL: runs here; else why not, as half a sentence ("this processor lacks AVX-512"). */
    const char *(*missing)(void);
    /* The devices of this kind, at most `most` of them; touches none in this process. */
    int (*devices)(device_info *out, int most);
    /* device: its index ("0") or id; NULL: the first. Once per process. */
    status (*open)(const char *device, numerics n, error *e);
    void *(*alloc)(size_t bytes, error *e); /* 64-byte aligned, zeroed */
    void (*release)(void *p);
    /* Host memory that put and get read and write later, when their turn comes: it must stay as it
     * is until a mark that was made after them is awaited. With other memory they do not return
     * before it may be used again. */
    void *(*alloc_host)(size_t bytes, error *e); /* zeroed */
    void (*release_host)(void *p);
    void (*put)(void *device, const void *host, size_t bytes);
    void (*get)(void *host, const void *device, size_t bytes);
    void (*zero)(void *device, size_t bytes);
    void (*mark)(int i);  /* i in 0..N_MARK-1: after everything queued so far */
    void (*await)(int i); /* until the device has passed mark i; at once if it was never made */
    /* Runs body(context), which queues device work from the same addresses each time: the first
     * call as it is, the second is recorded, later ones repeat the recording. */
    void (*replay)(recording **r, void (*body)(void *), void *context);
    void (*forget)(recording *r); /* may be NULL */
    /* Scratch that kernels in body(context) ask for; launches nothing, needs no open device. */
    size_t (*measure)(void (*body)(void *), void *context);
    status (*reserve)(size_t bytes, error *e); /* at least this much scratch from now on */
    status (*sync)(error *e);
    /* What else of this machine it would use, as half a sentence; the slot may be NULL. */
    const char *(*note)(void);
    /* Versions of the libraries it computes with, for provenance; the slot may be NULL. */
    const char *(*libraries)(void);
};
enum { N_MARK = 2 };

/* Set before open: replay records nothing, and every kernel is waited for, so that an error names
 * the kernel. Slow; bits stay the same. On a CPU it changes nothing. */
extern bool backend_no_graph;

/* "auto", "cpu", "cpu-v3", "cpu-v4", "f64", "cuda"; "cuda:..." is cuda. NULL and one sentence when
 * unknown or not runnable. */
const backend *backend_find(const char *name, error *e);
/* In order of preference; NULL past the end. cuda is there if the program was linked with it. */
const backend *backend_at(int i);
/* One more to find, last in the list: the emulator of tests. */
void backend_add(const backend *b);
/* backend_find, then open. */
const backend *backend_open(const char *name, error *e);

/* n reals between host doubles and device memory, whatever the backend's scalar type. */
void backend_put_reals(const backend *b, void *device, const double *host, size_t n);
void backend_get_reals(const backend *b, double *host, const void *device, size_t n);
