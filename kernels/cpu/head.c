/* head.c - logits and cross-entropy at scored positions; see kernels.def. */
#include "gemm.h"
