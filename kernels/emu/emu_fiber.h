/* emu_fiber.h - stacks that take turns on one operating-system thread, for the emulator.
 *
 * The host resumes a fiber, the fiber yields to the host. AddressSanitizer is told of every switch,
 * and to ThreadSanitizer each fiber is a thread of its own: a switch orders nothing, only
 * fiber_release and fiber_acquire do. x86-64 only. Cost of a switch: about 3 ns, 30 ns and more
 * under a sanitizer. */
#pragma once

namespace emu {

struct fiber;

/* Runs entry from the first resume on; entry must not return. Fibers live until the program ends.
 */
fiber *fiber_new(void (*entry)());
void fiber_resume(fiber *f); /* host only; returns at the fiber's next yield */
void fiber_yield();          /* fiber only */
/* Whether p is in the guard page below the stack of f. */
bool fiber_overflowed(const fiber *f, const void *p);

/* What ThreadSanitizer learns, on behalf of f (NULL: of the host): all that f did so far comes
 * before whatever is done after a later acquire of the same tag. Nothing in other builds. */
void fiber_release(fiber *f, void *tag);
void fiber_acquire(fiber *f, void *tag);

} /* namespace emu */
