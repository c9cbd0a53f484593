/* emu_grid.h - runs the grid of one launch; the thread orders; what a fault says.
 *
 * Readable by C, which owns memory and queue, and by C++, which owns kernels. */
#pragma once
#include "emu_queue.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which thread goes on. All of them let a thread run from barrier to barrier; blocks run one after
 * the other. */
enum {
    EMU_LOCKSTEP, /* every thread once, in ascending order, before the first goes on */
    EMU_FORWARD,  /* each warp as far as barriers of the block let it, ascending */
    EMU_REVERSE,  /* the same, descending: threads, warps and blocks */
    EMU_RANDOM,   /* this or more: random turns, this the seed */
};
void grid_order(int order); /* of launches from now on */

/* The process ends like this on every fault: exit code 86, one sentence on stderr that names
 * kernel, block and thread if one runs. */
enum { EMU_FAULT = 86 };
void emu_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

bool grid_runs(void); /* whether a kernel is running */
/* Half a sentence when the running kernel's bad address is one that the grid knows (its shared
 * memory, its stack); else NULL. */
const char *grid_address(const void *p);

#ifdef __cplusplus
}
#endif
