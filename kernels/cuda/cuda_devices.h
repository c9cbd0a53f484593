/* cuda_devices.h - which GPUs there are, without becoming a process that uses one.
 *
 * A process that has initialised CUDA cannot fork workers that use it, so a child looks and tells.
 * Devices count from 0 among those of compute capability 8.0 or newer, in the order of the runtime
 * (CUDA_VISIBLE_DEVICES is respected); older ones are not mentioned. */
#pragma once
#include "kernels/core/backend.h"

enum { MAX_CUDA_DEVICES = 16 };

typedef struct cuda_device {
    int ordinal; /* of the runtime */
    device_info info;
} cuda_device;

typedef struct cuda_devices {
    char missing[256]; /* why none can be used, as half a sentence; "": n > 0 */
    int n;
    cuda_device device[MAX_CUDA_DEVICES];
} cuda_devices;

/* Asks a child the first time, at most 10 s; later calls repeat the answer. */
const cuda_devices *cuda_devices_probe(void);
/* Looks in this process, which is then one that uses CUDA. with_memory: also how much is free, for
 * which each device may get a context. */
void cuda_devices_list(cuda_devices *out, bool with_memory);
/* The place in `d` of an index ("0"), or of a UUID or its first characters, at least 4 of them,
 * with or without "GPU-"; NULL: the first. -1 and one sentence when none or several fit. */
int cuda_device_pick(const cuda_devices *d, const char *wanted, error *e);
