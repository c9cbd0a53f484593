/* emu_grid.cpp - runs the blocks of a launch, one fiber per CUDA thread.
 *
 * Blocks run one after the other. Within a block the scheduler visits warps, and within a warp
 * lanes, in the order asked for; a thread runs until it returns or waits. What waits goes on when
 * all those it waits for have come. If a round over all warps moves nobody, somebody never comes.
 *
 * A thread that returns without waiting hands its fiber to the next lane, so that kernels without
 * barriers need one fiber and one switch per warp. Under ThreadSanitizer each thread keeps a fiber
 * of its own, and FIBERS / threads of a block, but at least 2, neighbouring blocks have fibers
 * apart: races between threads show, and races between blocks unless all of them are between blocks
 * that share fibers. More would cost time: a thread knows a moment of every other. */
#include "cuda_emu.h"
#include "emu_fiber.h"
#include "emu_memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace emu {

Place place;

namespace {

constexpr unsigned WARP = 32, MAX_THREADS = 1024, MAX_DEPTH = 64, FIBERS = 1024;
constexpr unsigned MAX_WARPS = MAX_THREADS / WARP, MAX_ROWS = 65535;
constexpr size_t MAX_SHARED = 48 * 1024, PAGE = 4096;
constexpr unsigned SOURCE_VOTE = WARP; /* as a source lane: all of them, a vote */
constexpr int NAN_BYTE = 0xFF;
constexpr uint64_t NAN_BITS = 0x7fc000007fc00000;
#ifdef EMU_TSAN
constexpr bool OWN_FIBERS = true;
#else
constexpr bool OWN_FIBERS = false;
#endif

enum State { NEW, READY, AT_BLOCK, AT_WARP, DONE }; /* the first two can run */

struct Thread {
    State state;
    uint3 index; /* threadIdx */
    fiber *on;
    Site site;        /* where it waits */
    const char *what; /* for what */
    unsigned mask;    /* with whom */
    uint64_t value, got;
    unsigned source;
    bool orders_memory;
    char tag; /* its address: of a barrier whose first lane this is, see join */
};

struct Grid {
    const Launch *launch;
    unsigned n_threads, n_warps;
    unsigned set; /* which fibers the running block has, under ThreadSanitizer */
    Thread thread[MAX_THREADS];
    Thread *current;      /* NULL: the host runs */
    unsigned turn, twist; /* of the running warp: how many lanes had their turn; see turn_of */
    char start, end;      /* tags */
} grid;

int order_now;
uint64_t random_state;
/* Never destroyed: fibers live as long as the process. */
std::vector<fiber *> &fibers = *new std::vector<fiber *>, &idle = *new std::vector<fiber *>;

/* ---- orders ----------------------------------------------------------------------------- */

unsigned random_below(unsigned n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % n);
}

int order() { return grid.launch->order; }

/* Which comes k-th of n; `twist` is random for the orders that are. */
unsigned turn_of(unsigned k, unsigned n, unsigned twist) {
    if (order() == EMU_REVERSE) return n - 1 - k;
    return order() >= EMU_RANDOM ? (k + twist) % n : k;
}

unsigned random_twist(unsigned n) { return order() >= EMU_RANDOM ? random_below(n) : 0; }

/* ---- threads and their fibers ----------------------------------------------------------- */

unsigned index_of(const Thread *t) { return (unsigned)(t - grid.thread); }

void make_current(Thread *t) {
    grid.current = t;
    place.thread = t->index;
}

/* Once per launch, as divisions at every switch take as long as the rest of it. */
void number_threads() {
    uint3 at = {0, 0, 0};
    for (unsigned i = 0; i < grid.n_threads; i++) {
        grid.thread[i].index = at;
        if (++at.x < place.block_dim.x) continue;
        at.x = 0;
        if (++at.y < place.block_dim.y) continue;
        at.y = 0;
        at.z++;
    }
}

/* The next lane of the running warp if it has not started; its turn then counts as taken. */
Thread *next_new(unsigned warp) {
    if (OWN_FIBERS || grid.turn + 1 >= WARP) return nullptr;
    const unsigned i = warp * WARP + turn_of(grid.turn + 1, WARP, grid.twist);
    if (i >= grid.n_threads || grid.thread[i].state != NEW) return nullptr;
    grid.turn++;
    return &grid.thread[i];
}

/* What every fiber runs: threads, for ever. */
void fiber_main() {
    for (;;) {
        Thread *t = grid.current;
        fiber *self = t->on;
        while (t) {
            make_current(t);
            t->on = self;
            grid.launch->thread(grid.launch);
            t = grid.current;
            t->state = DONE;
            t = next_new(index_of(t) / WARP);
        }
        if (!OWN_FIBERS) idle.push_back(self);
        fiber_yield();
    }
}

fiber *fiber_for(const Thread *t) {
    if (OWN_FIBERS) return fibers[grid.set * grid.n_threads + index_of(t)];
    if (idle.empty()) return fiber_new(fiber_main);
    fiber *f = idle.back();
    idle.pop_back();
    return f;
}

void thread_resume(Thread *t) {
    if (t->state == NEW) t->on = fiber_for(t);
    make_current(t);
    fiber_resume(t->on);
    grid.current = nullptr;
}

/* Ends the process in the name of thread t. */
[[noreturn]] __attribute__((format(printf, 2, 3))) void thread_fail(Thread *t, const char *format,
                                                                    ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_current(t);
    emu_fail("%s", text);
}

/* To ThreadSanitizer: what these threads did before comes before what any of them does next. */
void join(const unsigned *index, unsigned n) {
    if (!OWN_FIBERS || !n) return;
    void *tag = &grid.thread[index[0]].tag;
    for (unsigned i = 0; i < n; i++) fiber_release(grid.thread[index[i]].on, tag);
    for (unsigned i = 0; i < n; i++) fiber_acquire(grid.thread[index[i]].on, tag);
}

/* ---- barriers of a warp ----------------------------------------------------------------- */

/* Lanes of mask that the block has. */
unsigned lanes_of(unsigned mask, unsigned first) {
    const unsigned n = grid.n_threads - first;
    return n < WARP ? mask & ((1u << n) - 1) : mask;
}

[[noreturn]] void masks_differ(Thread *t, const Thread *other) {
    thread_fail(t,
                "waits in %s with mask %08x at %s:%d for lane %u, which waits in %s with mask %08x "
                "at %s:%d",
                t->what, t->mask, t->site.file, t->site.line, index_of(other) % WARP, other->what,
                other->mask, other->site.file, other->site.line);
}

/* Whether every lane that t waits for has come; a lane that cannot come is a fault. */
bool group_is_here(Thread *t) {
    const unsigned first = index_of(t) / WARP * WARP;
    for (unsigned left = lanes_of(t->mask, first); left; left &= left - 1) {
        const Thread *other = &grid.thread[first + (unsigned)__builtin_ctz(left)];
        if (other->state == DONE)
            thread_fail(t, "%s at %s:%d names lane %u in mask %08x, which has returned", t->what,
                        t->site.file, t->site.line, index_of(other) % WARP, t->mask);
        if (other->state != AT_WARP) return false;
        const bool same = other->what == t->what || !strcmp(other->what, t->what);
        if (other->mask == t->mask && same) continue;
        if (!(other->mask >> (index_of(t) - first) & 1)) return false; /* it first meets others */
        masks_differ(t, other);
    }
    return true;
}

/* Every lane of the complete group that t is in learns what it waited for, and may go on. */
void group_release(const Thread *t) {
    const unsigned first = index_of(t) / WARP * WARP;
    unsigned group[WARP], n = 0;
    uint64_t votes = 0;
    for (unsigned left = lanes_of(t->mask, first); left; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctz(left);
        group[n++] = first + l;
        votes |= (grid.thread[first + l].value & 1) << l;
    }
    for (unsigned i = 0; i < n; i++) {
        Thread *member = &grid.thread[group[i]];
        const unsigned from = member->source;
        if (from == SOURCE_VOTE)
            member->got = votes;
        else
            member->got =
                lanes_of(t->mask, first) >> from & 1 ? grid.thread[first + from].value : NAN_BITS;
        member->state = READY;
    }
    if (t->orders_memory) join(group, n);
}

/* Lets complete groups of a warp go on; whether there was one. */
bool warp_release(unsigned warp) {
    bool any = false;
    for (unsigned i = warp * WARP; i < grid.n_threads && i < (warp + 1) * WARP; i++) {
        Thread *t = &grid.thread[i];
        if (t->state != AT_WARP || !group_is_here(t)) continue;
        group_release(t);
        any = true;
    }
    return any;
}

/* ---- a block ---------------------------------------------------------------------------- */

/* Every lane that can runs once; whether any did. */
bool warp_step(unsigned warp) {
    bool ran = false;
    grid.twist = random_twist(WARP);
    for (grid.turn = 0; grid.turn < WARP; grid.turn++) {
        const unsigned i = warp * WARP + turn_of(grid.turn, WARP, grid.twist);
        if (i >= grid.n_threads || grid.thread[i].state > READY) continue;
        thread_resume(&grid.thread[i]);
        ran = true;
    }
    return warp_release(warp) || ran;
}

bool warp_run(unsigned warp) {
    const bool far = order() == EMU_LOCKSTEP ? false
                     : order() < EMU_RANDOM  ? true
                                             : random_below(2) == 0;
    bool ran = warp_step(warp);
    while (far && warp_step(warp)) ran = true;
    return ran;
}

/* All that have not returned wait at one barrier: go on. */
void block_release() {
    unsigned index[MAX_THREADS], n = 0;
    const Thread *first = nullptr;
    for (unsigned i = 0; i < grid.n_threads; i++) {
        Thread *t = &grid.thread[i];
        if (t->state != AT_BLOCK) continue;
        if (!first) first = t;
        if (t->site.line != first->site.line || strcmp(t->site.file, first->site.file) != 0)
            thread_fail(t, "waits in __syncthreads at %s:%d, other threads of the block at %s:%d",
                        t->site.file, t->site.line, first->site.file, first->site.line);
        t->state = READY;
        index[n++] = i;
    }
    join(index, n);
}

/* No thread can go on, and not all are at a barrier of the block: one waits for lanes of its warp
 * that wait for something else. */
[[noreturn]] void block_stuck() {
    for (unsigned i = 0; i < grid.n_threads; i++) {
        Thread *t = &grid.thread[i];
        if (t->state != AT_WARP) continue;
        const unsigned first = i / WARP * WARP;
        const Thread *other = t;
        for (unsigned left = lanes_of(t->mask, first); left; left &= left - 1) {
            const Thread *o = &grid.thread[first + (unsigned)__builtin_ctz(left)];
            if (o->state == AT_BLOCK || o->mask != t->mask) other = o;
        }
        thread_fail(t,
                    "deadlock: waits in %s with mask %08x at %s:%d for thread %u, which waits in "
                    "%s at %s:%d",
                    t->what, t->mask, t->site.file, t->site.line, index_of(other), other->what,
                    other->site.file, other->site.line);
    }
    emu_fail("deadlock");
}

void block_run() {
    for (unsigned i = 0; i < grid.n_threads; i++) grid.thread[i].state = NEW;
    for (;;) {
        bool ran = false;
        const unsigned twist = random_twist(grid.n_warps);
        for (unsigned k = 0; k < grid.n_warps; k++)
            ran |= warp_run(turn_of(k, grid.n_warps, twist));
        unsigned done = 0, waiting = 0;
        for (unsigned i = 0; i < grid.n_threads; i++) {
            done += grid.thread[i].state == DONE;
            waiting += grid.thread[i].state == AT_BLOCK;
        }
        if (done == grid.n_threads) return;
        if (done + waiting == grid.n_threads)
            block_release();
        else if (!ran)
            block_stuck();
    }
}

/* ---- shared memory ---------------------------------------------------------------------- */

/* Under a sanitizer an allocation of exactly this size, and under ThreadSanitizer one for each
 * block, as its threads are not ordered with those of other blocks. Else up against a guard page,
 * as far as the alignment of 16 bytes allows. */
class Shared {
    size_t bytes;
    std::vector<char *> allocated;

    static char *guarded_end() {
        static char *end;
        if (end) return end;
        char *map = (char *)mmap(nullptr, MAX_SHARED + PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + MAX_SHARED, PAGE, PROT_NONE))
            emu_fail("no memory for shared memory");
        return end = map + MAX_SHARED;
    }

  public:
    Shared(size_t bytes_, size_t n_blocks) : bytes(bytes_) {
#if defined EMU_TSAN || defined EMU_ASAN
        for (size_t i = 0; bytes && i < (OWN_FIBERS ? n_blocks : 1); i++)
            allocated.push_back((char *)malloc(bytes));
#else
        (void)n_blocks;
#endif
        for (char *p : allocated) memset(p, NAN_BYTE, bytes);
    }
    ~Shared() {
        for (char *p : allocated) free(p);
    }
    Shared(const Shared &) = delete;

    /* As block i finds it. */
    char *of(size_t i) {
        if (!bytes) return nullptr;
        char *p = allocated.empty() ? guarded_end() - (bytes + 15) / 16 * 16
                                    : allocated[i % allocated.size()];
        if (!OWN_FIBERS) memset(p, NAN_BYTE, bytes);
        return p;
    }
    static bool is_past_end(const void *p) {
        return (const char *)p >= guarded_end() && (const char *)p < guarded_end() + PAGE;
    }
};

} /* namespace */

/* ---- what kernels call ------------------------------------------------------------------ */

unsigned lane() { return index_of(grid.current) % WARP; }

unsigned warp_part(int width) {
    if (width < 1 || width > (int)WARP || (width & (width - 1)))
        emu_fail("shuffles within %d lanes; a warp has parts of 1, 2, 4, 8, 16 or 32", width);
    return (unsigned)width;
}

void block_barrier(Site at) {
    Thread *t = grid.current;
    t->site = at;
    t->what = "__syncthreads";
    t->state = AT_BLOCK;
    fiber_yield();
}

static uint64_t warp_wait(const char *what, unsigned mask, uint64_t value, unsigned source,
                          bool orders_memory, Site at) {
    Thread *t = grid.current;
    if (!(mask >> lane() & 1))
        emu_fail("%s at %s:%d: lane %u is not in its own mask %08x", what, at.file, at.line, lane(),
                 mask);
    t->site = at;
    t->what = what;
    t->mask = mask;
    t->value = value;
    t->source = source;
    t->orders_memory = orders_memory;
    t->state = AT_WARP;
    fiber_yield();
    return t->got;
}

void warp_barrier(const char *what, unsigned mask, Site at) {
    warp_wait(what, mask, 0, SOURCE_VOTE, true, at);
}

uint64_t warp_exchange(const char *what, unsigned mask, uint64_t value, unsigned source, Site at) {
    return warp_wait(what, mask, value, source % WARP, false, at);
}

unsigned warp_vote(const char *what, unsigned mask, bool vote, Site at) {
    return (unsigned)warp_wait(what, mask, vote, SOURCE_VOTE, false, at);
}

/* ---- launches --------------------------------------------------------------------------- */

void check_pointer(const char *kernel, int argument, const void *p) {
    if (!p || !memory_protected() || memory_holds(p, 0) || scratch_holds(p)) return;
    emu_fail("kernel %s: argument %d points neither to device memory nor to scratch that is held",
             kernel, argument);
}

void launch_queue(Launch *l) {
    const dim3 &g = l->grid, &b = l->block;
    const uint64_t n = (uint64_t)b.x * b.y * b.z;
    if (!n || n > MAX_THREADS || b.z > MAX_DEPTH)
        emu_fail("kernel %s: a block of %u x %u x %u threads; a GPU takes 1 to %u, and %u in z",
                 l->kernel, b.x, b.y, b.z, MAX_THREADS, MAX_DEPTH);
    if (!g.x || !g.y || !g.z || g.x > INT32_MAX || g.y > MAX_ROWS || g.z > MAX_ROWS)
        emu_fail(
            "kernel %s: a grid of %u x %u x %u blocks; a GPU takes 2^31 - 1 in x, %u in y and z",
            l->kernel, g.x, g.y, g.z, MAX_ROWS);
    if (l->shared > MAX_SHARED)
        emu_fail("kernel %s: %zu bytes of shared memory for a block; kernels may ask for %zu",
                 l->kernel, l->shared, MAX_SHARED);
    l->order = order_now;
    queue_add(&l->queued);
}

/* To ThreadSanitizer: the first n fibers start after all that the host did, and the host goes on
 * after all that they did. */
static void host_before(unsigned n) {
    while (fibers.size() < n) fibers.push_back(fiber_new(fiber_main));
    fiber_release(nullptr, &grid.start);
    for (unsigned i = 0; i < n; i++) fiber_acquire(fibers[i], &grid.start);
}
static void host_after(unsigned n) {
    for (unsigned i = 0; i < n; i++) fiber_release(fibers[i], &grid.end);
    fiber_acquire(nullptr, &grid.end);
}

void grid_run(job *j) {
    const Launch *l = reinterpret_cast<const Launch *>(j);
    const dim3 &g = l->grid, &b = l->block;
    const unsigned long n = (unsigned long)g.x * g.y * g.z;
    grid.launch = l;
    grid.n_threads = b.x * b.y * b.z;
    grid.n_warps = (grid.n_threads + WARP - 1) / WARP;
    place.grid_dim = g;
    place.block_dim = b;
    random_state = (uint64_t)l->order;
    number_threads();
    const unsigned sets = (unsigned)min(n, max(2ul, (unsigned long)(FIBERS / grid.n_threads)));
    Shared shared(l->shared, n);
    if (OWN_FIBERS) host_before(sets * grid.n_threads);
    for (unsigned long i = 0; i < n; i++) {
        const unsigned long k = l->order == EMU_REVERSE ? n - 1 - i : i;
        grid.set = (unsigned)(i % sets);
        place.block = {(unsigned)(k % g.x), (unsigned)(k / g.x % g.y), (unsigned)(k / g.x / g.y)};
        place.shared = shared.of(i);
        block_run();
    }
    if (OWN_FIBERS) host_after(sets * grid.n_threads);
    grid.launch = nullptr;
}

} /* namespace emu */

/* ---- what C calls ----------------------------------------------------------------------- */

using namespace emu;

void grid_order(int order) { order_now = order; }

bool grid_runs(void) { return grid.current != nullptr; }

const char *grid_address(const void *p) {
    if (fiber_overflowed(grid.current->on, p)) return "its stack has no room left";
    return Shared::is_past_end(p) ? "it is past the end of shared memory" : nullptr;
}

/* Without cleaning up: a fiber's stack is no place to run exit handlers on, and a leak at a fault
 * is none. */
void emu_fail(const char *format, ...) {
    char text[1024];
    int n = snprintf(text, sizeof text, "cuda_emu: ");
    if (grid.current) {
        const uint3 &b = place.block, &t = place.thread;
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", grid.launch->kernel, b.x,
                      b.y, b.z, t.x, t.y, t.z);
    }
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    fflush(stdout);
    fprintf(stderr, "%s.\n", text);
    fflush(stderr);
    _exit(EMU_FAULT);
}
