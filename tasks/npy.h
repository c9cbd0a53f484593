/* npy.h - arrays in NumPy's .npy format: int32, float32 and float64, little endian, C order.
 *
 * Format: numpy.lib.format versions 1.0 to 3.0 are read, 1.0 is written. Not supported, each with
 * its own sentence: other types, Fortran order, more than NPY_MAX_DIMS dimensions, pickled data.
 * A file is written under a temporary name first, so a half file never has the final name. */
#pragma once
#include "kernels/core/arena.h"
#include "kernels/core/error.h"

typedef enum npy_type { NPY_INT32, NPY_FLOAT32, NPY_FLOAT64 } npy_type;

enum { NPY_MAX_DIMS = 8 };

typedef struct npy {
    npy_type type;
    int n_dims; /* 0: a scalar, one element */
    long dim[NPY_MAX_DIMS];
    void *data; /* int, float or double, last dimension contiguous */
} npy;

long npy_count(const npy *x); /* elements */

status npy_write(const char *path, const npy *x, error *e);

/* NULL and a sentence that names the file and the reason on any deviation from the format. */
npy *npy_read(arena *a, const char *path, error *e);
