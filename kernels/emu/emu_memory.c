/* emu_memory.c - see emu_memory.h. */
#include "emu_memory.h"

#include "emu_grid.h"
#include "kernels/core/error.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    define POISON(p, bytes)   ASAN_POISON_MEMORY_REGION(p, bytes)
#    define UNPOISON(p, bytes) ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#else
#    define POISON(p, bytes)   ((void)(p), (void)(bytes))
#    define UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif

enum { PAGE = 4096, LINE = 64, SCRATCH_ALIGN = 256, NAN_BYTE = 0xFF, SIGNAL_STACK = 1 << 16 };

typedef struct block {
    char *map; /* guard page, pages, guard page */
    size_t map_bytes;
    char *data;
    size_t bytes;
} block;

/* Blocks are few, so they are searched one by one. */
typedef struct blocks {
    block *at;
    size_t n, room;
} blocks;

static blocks device, scratch;
static bool is_protected, is_unlocked;

static void blocks_add(blocks *list, block b) {
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 64;
        list->at = realloc(list->at, list->room * sizeof *list->at);
        if (!list->at) BUG("no memory for a list of %zu blocks", list->room);
    }
    list->at[list->n++] = b;
}

/* Takes the block that starts at p off the list. */
static block blocks_remove(blocks *list, const void *p) {
    for (size_t i = list->n; i-- > 0;) {
        const block found = list->at[i];
        if (found.data != p) continue;
        list->at[i] = list->at[--list->n];
        return found;
    }
    BUG("released %p, which was not allocated", p);
}

static bool blocks_hold(const blocks *list, const void *p, size_t bytes) {
    for (size_t i = 0; i < list->n; i++) {
        const block *b = &list->at[i];
        const size_t from = (size_t)((uintptr_t)p - (uintptr_t)b->data);
        if (from <= b->bytes && bytes <= b->bytes - from) return true;
    }
    return false;
}

/* ---- protection ------------------------------------------------------------------------- */

static void reach(const block *b, bool on) {
    if (mprotect(b->map + PAGE, b->map_bytes - 2 * PAGE, on ? PROT_READ | PROT_WRITE : PROT_NONE))
        BUG("mprotect of %zu bytes failed", b->map_bytes);
}

static void reach_all(bool on) {
    for (size_t i = 0; i < device.n; i++) reach(&device.at[i], on);
}

bool memory_protected(void) { return is_protected; }

void memory_unlock(void) {
    CHECK(!is_unlocked);
    is_unlocked = true;
    if (is_protected) reach_all(true);
}

void memory_lock(void) {
    is_unlocked = false;
    if (is_protected) reach_all(false);
}

/* Only the pages concerned: a large copy may come in many small pieces. */
static void reach_part(const void *p, size_t bytes, bool on) {
    if (!is_protected || !bytes) return;
    const uintptr_t from = (uintptr_t)p / PAGE * PAGE, to = (uintptr_t)p + bytes;
    if (mprotect((void *)from, to - from, on ? PROT_READ | PROT_WRITE : PROT_NONE))
        BUG("mprotect of %zu bytes at %p failed", bytes, p);
}

void memory_unlock_part(const void *p, size_t bytes) { reach_part(p, bytes, true); }
void memory_lock_part(const void *p, size_t bytes) { reach_part(p, bytes, false); }

/* ---- faults ----------------------------------------------------------------------------- */

static struct sigaction handler_before;

static const block *block_near(const void *p) { /* guard pages included */
    for (size_t i = 0; i < device.n; i++) {
        const block *b = &device.at[i];
        if ((const char *)p >= b->map && (const char *)p < b->map + b->map_bytes) return b;
    }
    return NULL;
}

static void fail_in_kernel(const block *b, const void *p) {
    const char *why = grid_address(p);
    if (!b) emu_fail("touches address %p: %s", p, why ? why : "no device memory, or not aligned");
    const long from = (long)((const char *)p - b->data);
    emu_fail("touches byte %ld of a device block of %zu bytes", from, b->bytes);
}

/* The process ends here, so that emu_fail may print although this is a signal handler. */
static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    const block *b = block_near(info->si_addr);
    if (grid_runs()) fail_in_kernel(b, info->si_addr);
    if (b)
        emu_fail("host code touched device memory: byte %ld of a block of %zu bytes; use put, get "
                 "or zero",
                 (long)((const char *)info->si_addr - b->data), b->bytes);
    sigaction(SIGSEGV, &handler_before, NULL); /* the fault repeats and ends as it would have */
}

static void watch_faults(void) {
    static char stack[SIGNAL_STACK];
    static bool done;
    if (done) return;
    done = true;
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE))
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, &handler_before);
}

void memory_protect(bool on) {
    watch_faults();
    if (on == is_protected) return;
    is_protected = on;
    reach_all(!on);
}

/* ---- blocks ----------------------------------------------------------------------------- */

void *memory_alloc(size_t bytes) {
    const size_t rounded = bytes ? (bytes + LINE - 1) / LINE * LINE : LINE;
    const size_t pages = (rounded + PAGE - 1) / PAGE * PAGE;
    if (bytes > SIZE_MAX / 2) return NULL;
    block b = {.map_bytes = pages + 2 * (size_t)PAGE, .bytes = bytes};
    b.map = mmap(NULL, b.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED) return NULL;
    b.data = b.map + PAGE + pages - rounded;
    UNPOISON(b.map, b.map_bytes);
    POISON(b.map, (size_t)(b.data - b.map));
    POISON(b.data + bytes, rounded - bytes);
    reach(&b, !is_protected);
    blocks_add(&device, b);
    return b.data;
}

void memory_release(void *p) {
    if (!p) return;
    const block b = blocks_remove(&device, p);
    UNPOISON(b.map, b.map_bytes);
    munmap(b.map, b.map_bytes);
}

size_t memory_used(void) {
    size_t sum = 0;
    for (size_t i = 0; i < device.n; i++) sum += device.at[i].bytes;
    return sum;
}

bool memory_holds(const void *p, size_t bytes) { return blocks_hold(&device, p, bytes); }

/* ---- scratch ---------------------------------------------------------------------------- */

void *scratch_alloc(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, SCRATCH_ALIGN, bytes)) BUG("no memory for %zu bytes of scratch", bytes);
    blocks_add(&scratch, (block){.data = p, .bytes = bytes});
    return p;
}

void scratch_fill(void *p, size_t bytes) {
    UNPOISON(p, bytes);
    memset(p, NAN_BYTE, bytes);
}

void scratch_spoil(void *p, size_t bytes) {
    memset(p, NAN_BYTE, bytes);
    POISON(p, bytes);
}

void scratch_drop(void *p) { blocks_remove(&scratch, p); }

void scratch_release(void *p, size_t bytes) {
    UNPOISON(p, bytes);
    free(p);
}

bool scratch_holds(const void *p) { return blocks_hold(&scratch, p, 0); }
