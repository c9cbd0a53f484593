/* backend.h - a device as a struct of pointers: kernels, op adapters, memory.
 *
 * cpu-v3 (AVX2) and cpu-v4 (AVX-512) are the same sources built for two instruction sets, f64 is
 * the same in double precision, for checks. `auto` and `cpu` take the best one this processor runs;
 * the name is recorded with every run, as bits differ between them. */
#pragma once
#include "error.h"
#include "graph.h"

struct backend {
    const char *name, *summary;
    size_t real_bytes;
    const op *const *ops; /* [N_OP] */
    const kernels *kernels;
    bool (*available)(void);
    void *(*alloc)(size_t bytes, error *e); /* 64-byte aligned, zeroed */
    void (*release)(void *p);
    void (*put)(void *device, const void *host, size_t bytes);
    void (*get)(void *host, const void *device, size_t bytes);
    void (*sync)(void);
};

/* "auto", "cpu", "cpu-v3", "cpu-v4", "f64". NULL and one sentence when unknown or not runnable. */
const backend *backend_find(const char *name, error *e);
const backend *backend_at(int i); /* in order of preference; NULL past the end */

/* n reals between host doubles and device memory, whatever the backend's scalar type. */
void backend_put_reals(const backend *b, void *device, const double *host, size_t n);
void backend_get_reals(const backend *b, double *host, const void *device, size_t n);
