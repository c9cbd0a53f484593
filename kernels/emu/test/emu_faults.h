/* emu_faults.h - kernels with a fault each, and without it, for the test of the emulator. */
#pragma once
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { N_Y = 64 };

/* Each queues launches that leave y[i] = i; with `fault`, something is wrong with them.
 * y [N_Y] on the device, zero. */
void fault_barrier(float *y, bool fault);
void fault_divergent(float *y, bool fault);
void fault_deadlock(float *y, bool fault);
void fault_uninitialised(float *y, bool fault);
void fault_shared_end(float *y, bool fault);     /* of a size that is a multiple of 16 bytes */
void fault_shared_odd_end(float *y, bool fault); /* of one that is not */
void fault_shuffle_order(float *y, bool fault);  /* shared memory ordered by a shuffle */
void fault_own_mask(float *y, bool fault);
void fault_masks(float *y, bool fault);
void fault_source(float *y, bool fault);
void fault_width(float *y, bool fault);
void fault_returned(float *y, bool fault);
void fault_block_order(float *y, bool fault);
void fault_block_race(float *y, bool fault);
void fault_device_end(float *y, bool fault);
void fault_misaligned(float *y, bool fault);
void fault_stack(float *y, bool fault);
void fault_scratch_drop(float *y, bool fault);
void fault_scratch_hidden_drop(float *y, bool fault); /* the pointer is in a struct */
void fault_scratch_end(float *y, bool fault);
void fault_scratch_unfilled(float *y, bool fault);
void fault_shared_limit(float *y, bool fault);
void fault_block_limit(float *y, bool fault);
void fault_grid_limit(float *y, bool fault);
void fault_host_pointer(float *y, bool fault);

/* y[i] += step i, step from the host, or, where it is not NULL, from device memory. */
void launch_step(float *y, float step, const float *device_step);
/* Takes n floats of scratch and leaves y[i] = i. */
void launch_with_scratch(float *y, long n);

/* What the language offers, each thread checking its own part: returns in bad [3] on the device how
 * many threads saw wrong indices, wrong shuffles, wrong arithmetic. */
void launch_language(float *bad);

#ifdef __cplusplus
}
#endif
