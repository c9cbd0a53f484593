/* fake_cuda.h - the part of the CUDA runtime, cuBLAS and NVML that the backend uses, in host
 * memory, for tests on machines without a GPU.
 *
 * What is queued is done when someone waits, in order; so a result that is read without waiting is
 * not there yet. Device memory starts as 0xFF bytes. Work queued while a capture runs is kept in
 * the graph. As the real runtime does, it refuses to allocate, wait or copy pageable memory inside
 * a capture, and a failed capture yields no graph. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct fake_device {
    const char *name;
    int major, minor;
    unsigned char id[16];
    size_t mem_bytes, mem_free_bytes;
} fake_device;

/* What the fake is told and tells; set before use. Codes are those of cudaError_t. */
typedef struct fake_machine {
    bool has_driver, has_nvml, has_blas;
    int driver_version; /* 12040 */
    int count_code;     /* of cudaGetDeviceCount */
    bool hangs, crashes;
    int n_device;
    fake_device device[4];
    int launch_code;         /* of the next launch: what cudaGetLastError says */
    int run_code;            /* what waiting says, from now on, as after an illegal address */
    int blas_code;           /* of products */
    const char *driver_says; /* the answer to a question for its version */
    /* what happened in this process */
    int calls;        /* of the runtime */
    int opened;       /* device; -1: none */
    int devices_used; /* changes of it */
    int captures, graph_launches, graphs_alive;
    size_t live_bytes, live_host_bytes;
} fake_machine;

extern fake_machine fake;

/* A launch, to be put between launch_begin and launch_end. */
void fake_launch(void (*kernel)(void *), void *argument);

void *fake_dlopen(const char *name, int mode);
void *fake_dlsym(void *library, const char *name);
int fake_dlclose(void *library);
