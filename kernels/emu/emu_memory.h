/* emu_memory.h - device memory that the host cannot reach.
 *
 * Every block is a mapping of its own between guard pages, with its end (rounded up to 64 bytes)
 * against the upper one, and is accessible only while the device works. Whoever else touches it,
 * or a guard page, ends the process with a sentence that says so. Under AddressSanitizer the
 * rounding is poisoned, too. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *memory_alloc(size_t bytes); /* zeroed, 64-byte aligned; NULL: none left */
void memory_release(void *p);     /* a bug unless memory_alloc returned it */
size_t memory_used(void);         /* bytes, of all blocks */
/* Whether all of these bytes are in one block. */
bool memory_holds(const void *p, size_t bytes);

/* From now on blocks are out of the host's reach, or within it. */
void memory_protect(bool on);
bool memory_protected(void);
/* While the device works on all blocks, or on a part of one. Calls do not nest. */
void memory_unlock(void);
void memory_lock(void);
void memory_unlock_part(const void *p, size_t bytes);
void memory_lock_part(const void *p, size_t bytes);

/* Scratch: exactly `bytes` long, 256-byte aligned, in host memory. fill: NaN, and accessible.
 * spoil: NaN, and poisoned under AddressSanitizer. From drop on scratch_holds does not know it. */
void *scratch_alloc(size_t bytes);
void scratch_fill(void *p, size_t bytes);
void scratch_spoil(void *p, size_t bytes);
void scratch_drop(void *p);
void scratch_release(void *p, size_t bytes); /* after drop */
bool scratch_holds(const void *p);

#ifdef __cplusplus
}
#endif
