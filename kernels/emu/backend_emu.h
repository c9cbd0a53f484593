/* backend_emu.h - the emulated GPU as a backend, for tests.
 *
 * After `open` it is as unforgiving as a GPU may be: device memory is out of the host's reach,
 * kernels get device pointers only, work runs as late as it may, and what a recording must not do
 * is a bug. Before `open` only `measure` and launches work; launches then run at once. */
#pragma once
#include "kernels/core/backend.h"

/* "emu", "emu-forward", "emu-reverse": the thread orders of emu_grid.h. They are one device; the
 * order of the one that was opened last counts. */
extern const backend backend_emu[3];

/* on: tensors may be in host memory, device memory is in the host's reach, and everything runs at
 * once, for tests that look into memory between launches. */
void emu_expose(bool on);
