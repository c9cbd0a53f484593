/* provenance.h - code, compiler and machine of an attempt, as one JSON object.
 *
 * Holds no time, process id or folder, so that all attempts of one machine and binary share one
 * row of the table environment. Of the environment variables only those are kept that can change
 * a result or say where it came from; never all of them: they may hold secrets. */
#pragma once
#include "kernels/core/arena.h"

/* backend: "cpu-v3", "cuda" ... as chosen at run time. instruction_set: "avx2", "avx512" ... or
 * NULL. device: name, UUID and driver of a GPU, or NULL. libraries: versions of CUDA and cuBLAS, or
 * NULL. The text lives in `a`. */
char *provenance_json(arena *a, const char *backend, const char *instruction_set,
                      const char *device, const char *libraries);
