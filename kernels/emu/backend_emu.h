/* backend_emu.h - the emulated GPU as a backend, for tests. */
#pragma once
#include "kernels/core/backend.h"

/* "emu", "emu-reverse", "emu-random": the thread orders of cuda_emu.h. */
extern const backend backend_emu[3];
