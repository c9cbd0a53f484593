/* emu_main.c - mixgrid with one more device, the emulated GPU: for tests of whole sweeps. */
#include "kernels/emu/backend_emu.h"

__attribute__((constructor)) static void add_emulator(void) { backend_add(&backend_emu[0]); }
