/* safetensors.h - named arrays in one file, in the format that Hugging Face tools read.
 *
 * Format: 8 bytes little-endian header length, a JSON header {"name":{"dtype","shape",
 * "data_offsets"},...,"__metadata__":{text:text}}, then the bytes. Writing is atomic: a temporary
 * file, fsync, rename, fsync of the folder; a reader never sees half a file. The metadata entry
 * "checksum", SHA-256 over all other metadata, names, types, shapes and bytes in their order, is
 * checked on reading where it is present. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

#include <stdint.h>

enum { SAFETENSORS_MAX_RANK = 8 };

typedef struct stored_tensor {
    const char *name, *dtype; /* "F32", "F64", "I32", "I64", "U8" */
    int rank;
    long dim[SAFETENSORS_MAX_RANK];
    const void *data;
    size_t bytes;
} stored_tensor;

typedef struct stored_text {
    const char *key, *text;
} stored_text;

typedef struct stored_file {
    stored_tensor *tensor;
    int n_tensors;
    stored_text *meta;
    int n_meta;
} stored_file;

/* "checksum" is added to the metadata, or replaced there. */
status safetensors_write(const char *path, const stored_file *f, error *e);
/* Everything lives in `a`. A missing file is STATUS_ENVIRONMENT as any unreadable one. */
status safetensors_read(stored_file *out, arena *a, const char *path, error *e);

const stored_tensor *stored_find(const stored_file *f, const char *name); /* NULL: not there */
const char *stored_meta(const stored_file *f, const char *key);           /* NULL: not there */
