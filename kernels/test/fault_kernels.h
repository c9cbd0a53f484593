/* fault_kernels.h - kernels with one planted fault each, to test the checks.
 *
 * A table of faulty kernels is a copy of a good one with add, linear or head replaced by a wrapper
 * that calls the good kernel and then spoils something. No kernel source knows about it, and no
 * separate build is needed. One table per scalar type is in use at a time. */
#pragma once
#include "kernels/core/graph.h"

typedef enum fault {
    FAULT_NONE,
    FAULT_TAP,       /* one element of dw is 1 % off */
    FAULT_PAST_END,  /* forward writes one element too many */
    FAULT_BEFORE,    /* backward writes one element before dx */
    FAULT_UNWRITTEN, /* forward leaves the last output alone */
    FAULT_INPUT,     /* forward writes to an input */
    FAULT_RUN_INDEX, /* the result of a run depends on its place in the pack */
    FAULT_REPEAT,    /* a hidden counter reaches the result */
    FAULT_ADDRESS,   /* the alignment of a buffer reaches the result */
    FAULT_OVERWRITE, /* backward overwrites dw instead of adding */
    FAULT_NULL,      /* dw is forgotten when dx is not wanted */
    FAULT_PRECISION, /* float only: results keep 12 bits */
    FAULT_ROOT,      /* evaluation says something else than training */
} fault;

const kernels *fault_kernels_f32(fault f, const kernels *good);
const kernels *fault_kernels_f64(fault f, const kernels *good);
