/* blas.h - products by cuBLAS, for train.numerics other than strict.
 *
 * cuBLAS is loaded when it is asked for: a build needs its header only, and a machine without it
 * computes strict. One handle with a workspace of its own, so that the same shapes take the same
 * algorithm each time, inside recordings too. */
#pragma once
#include "kernels/core/backend.h"
#include "launch.h"

/* Once per process, on a stream of the device that is open. */
status blas_open(numerics n, void *stream, error *e);
/* How cuBLAS would be loaded: its file name, or NULL where there is none. Opens nothing. */
const char *blas_name(void);
/* "13.0.2", "of unknown version", or "not found". */
void blas_version(char out[32]);
/* Whether blas_product would take it: no empty side, operands with a row or a column of stride 1.
 */
bool blas_fits(const product *p);
/* NULL, or what cuBLAS says. The product is queued. */
const char *blas_product(const product *p);
