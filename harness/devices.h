/* devices.h - which devices a sweep uses, found without opening one: "cpu", "cuda", "cuda:0,1". */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/backend.h"

typedef struct device_set {
    const backend *backend;
    bool is_processor;
    int n;
    device_info *info; /* [n] */
} device_set;

/* "auto", "cpu", "cuda" ...: all devices of that kind; with ":" only those listed, each by number
 * or id, separated by commas. */
status devices_find(device_set *out, arena *a, const char *name, error *e);

/* What open takes for device i; NULL: the processor. */
const char *device_id(const device_set *d, int i);
/* "NVIDIA H100 ..., GPU-1234": for provenance and people; NULL: the processor, described elsewhere.
 */
const char *device_text(arena *a, const device_set *d, int i);
const char *device_libraries(const device_set *d); /* versions; NULL: a processor needs none */
/* Bytes that workers on device i may plan with. */
double device_room(const device_set *d, int i);
