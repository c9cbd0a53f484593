/* emu_fiber.cpp - see emu_fiber.h. Compiled without sanitizers, which would mistake the switches;
 * EMU_ASAN and EMU_TSAN say which of them the rest of the program has. */
#include "emu_fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef EMU_ASAN
#    include <sanitizer/common_interface_defs.h>
#    define ON_ASAN(...) __VA_ARGS__
#else
#    define ON_ASAN(...)
#endif
#ifdef EMU_TSAN
#    include <sanitizer/tsan_interface.h>
#    define ON_TSAN(...) __VA_ARGS__
#else
#    define ON_TSAN(...)
#endif

/* Saves the registers that a call keeps and the stack pointer, and takes on those of another. */
extern "C" void emu_switch(void **save, void *to);
asm(R"(
.text
.type emu_switch,@function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
)");

namespace emu {

struct fiber {
    void *stack_pointer;
    char *stack; /* above one guard page */
    void (*entry)();
    ON_ASAN(void *fake;) ON_TSAN(void *tsan;)
};

namespace {

constexpr size_t PAGE = 4096, STACK = 256 * 1024, SAVED_REGISTERS = 6;

void *host_pointer;
fiber *running;
ON_ASAN(const void *host_stack; size_t host_stack_bytes; void *host_fake;)
ON_TSAN(void *host_tsan;)

void first_entry() {
    ON_ASAN(__sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_stack_bytes);)
    running->entry();
}

} /* namespace */

fiber *fiber_new(void (*entry)()) {
    fiber *f = new fiber();
    char *map = (char *)mmap(nullptr, PAGE + STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map, PAGE, PROT_NONE)) {
        fprintf(stderr, "cuda_emu: no memory for the stack of a CUDA thread.\n");
        exit(86);
    }
    f->stack = map + PAGE;
    f->entry = entry;
    uintptr_t *top = (uintptr_t *)(f->stack + STACK);
    *--top = 0; /* ends backtraces, and aligns the stack as a call does */
    *--top = (uintptr_t)first_entry;
    top -= SAVED_REGISTERS;
    memset(top, 0, SAVED_REGISTERS * sizeof *top);
    f->stack_pointer = top;
    ON_TSAN(f->tsan = __tsan_create_fiber(0);)
    return f;
}

void fiber_resume(fiber *f) {
    running = f;
    ON_TSAN(host_tsan = __tsan_get_current_fiber();
            __tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);)
    ON_ASAN(__sanitizer_start_switch_fiber(&host_fake, f->stack, STACK);)
    emu_switch(&host_pointer, f->stack_pointer);
    ON_ASAN(__sanitizer_finish_switch_fiber(host_fake, nullptr, nullptr);)
}

void fiber_yield() {
    fiber *f = running;
    ON_TSAN(__tsan_switch_to_fiber(host_tsan, __tsan_switch_to_fiber_no_sync);)
    ON_ASAN(__sanitizer_start_switch_fiber(&f->fake, host_stack, host_stack_bytes);)
    emu_switch(&f->stack_pointer, host_pointer);
    ON_ASAN(__sanitizer_finish_switch_fiber(f->fake, &host_stack, &host_stack_bytes);)
}

bool fiber_overflowed(const fiber *f, const void *p) {
    return (const char *)p >= f->stack - PAGE && (const char *)p < f->stack;
}

#ifdef EMU_TSAN
/* Nothing runs beside the program at its end that would be worth a second of sleep. */
extern "C" const char *__tsan_default_options() { return "atexit_sleep_ms=0"; }

/* The calls act for the fiber that runs, so pretend that f does. */
void fiber_release(fiber *f, void *tag) {
    void *self = __tsan_get_current_fiber();
    if (f) __tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);
    __tsan_release(tag);
    if (f) __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
}

void fiber_acquire(fiber *f, void *tag) {
    void *self = __tsan_get_current_fiber();
    if (f) __tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);
    __tsan_acquire(tag);
    if (f) __tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync);
}
#else
void fiber_release(fiber *, void *) {}
void fiber_acquire(fiber *, void *) {}
#endif

} /* namespace emu */
