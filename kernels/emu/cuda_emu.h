/* cuda_emu.h - run CUDA kernel sources on the CPU, for tests only (x86-64).
 *
 * One fiber per CUDA thread, all on one OS thread; blocks run one after another.
 * Fibers switch only at __syncthreads, __syncwarp and warp shuffles/votes.
 * `emu_order` picks the schedule: 0 lockstep, 1 each warp runs as far ahead as
 * barriers allow (ascending), 2 the same descending, >2 random warp each step.
 * Finds: out-of-bounds (ASan), races (TSan: a fiber switch is no happens-before,
 * a barrier is), missing or divergent barriers, bad warp masks, reads of
 * uninitialised dynamic shared memory (filled with NaN). Says nothing of speed,
 * memory coalescing, occupancy, tensor cores, TMA, or the GPU's libm. */
#pragma once
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sys/mman.h>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#    define EMU_ASAN(...) __VA_ARGS__
#else
#    define EMU_ASAN(...)
#endif
#ifdef __SANITIZE_THREAD__
#    include <sanitizer/tsan_interface.h>
#    define EMU_TSAN(...) __VA_ARGS__
#else
#    define EMU_TSAN(...)
#endif
#define EMU_FN __attribute__((noinline, no_sanitize("thread", "address"))) inline

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
typedef void *cudaStream_t;

extern "C" {
int emu_order __attribute__((weak));
}

namespace emu {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    void *sp;
    char *stack;
    State st;
    dim3 tid;
    unsigned lane, warp, mask;
    uint64_t slot;
    const void *site;
    EMU_ASAN(void *fake;) EMU_TSAN(void *tsan;)
};
constexpr size_t STACK = 128 * 1024;
inline std::vector<Fiber *> all; /* every fiber ever made */
inline Fiber **pool;             /* those of the running block */
inline Fiber *cur;
inline void *sched_sp;
inline dim3 g_dim, b_dim, b_idx;
inline unsigned n_thr, rng = 1;

inline char *dyn;
inline const std::function<void()> *body;
inline const char *name = "";
inline char start_tag, end_tag;
inline char tags[4096 * 2]; /* barrier tags, one set per block in flight */
inline unsigned set_now;
EMU_TSAN(inline void *main_fiber;)
EMU_ASAN(inline const void *main_bottom; inline size_t main_size; inline void *main_fake;)

extern "C" void emu_switch(void **save, void *to);
asm(R"(
.text
.weak emu_switch
.type emu_switch,@function
emu_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");

[[noreturn]] EMU_FN void die(const Fiber *f, const char *what) {
    fprintf(stderr, "cuda_emu: %s: block (%u,%u,%u) thread (%u,%u,%u): %s\n", name, b_idx.x,
            b_idx.y, b_idx.z, f->tid.x, f->tid.y, f->tid.z, what);
    exit(86);
}
EMU_FN void yield() { /* fiber -> scheduler */
    Fiber *f = cur;
    EMU_ASAN(__sanitizer_start_switch_fiber(&f->fake, main_bottom, main_size);)
    EMU_TSAN(__tsan_switch_to_fiber(main_fiber, __tsan_switch_to_fiber_no_sync);)
    emu_switch(&f->sp, sched_sp);
    EMU_ASAN(__sanitizer_finish_switch_fiber(f->fake, &main_bottom, &main_size);)
}
EMU_FN void entry() {
    EMU_ASAN(__sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);)
    for (;;) {
        EMU_TSAN(__tsan_acquire(&start_tag);)
        (*body)();
        EMU_TSAN(__tsan_release(&end_tag);)
        cur->st = DONE;
        yield();
    }
}
EMU_FN void resume(Fiber *f) { /* scheduler -> fiber */
    cur = f;
    EMU_ASAN(__sanitizer_start_switch_fiber(&main_fake, f->stack, STACK);)
    EMU_TSAN(__tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);)
    emu_switch(&sched_sp, f->sp);
    EMU_ASAN(__sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);)
}
EMU_FN Fiber *fiber_new() {
    Fiber *f = new Fiber();
    f->stack = (char *)mmap(0, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t *top = (uintptr_t *)(f->stack + STACK - 64);
    *--top = 0; /* keeps rsp % 16 == 8 at entry */
    *--top = (uintptr_t)&entry;
    top -= 6;
    memset(top, 0, 6 * sizeof *top);
    f->sp = top;
    EMU_TSAN(f->tsan = __tsan_create_fiber(0);)
    return f;
}
/* --- device side ------------------------------------------------------- */
EMU_FN void sync_block() {
    cur->site = __builtin_return_address(0);
    cur->st = AT_BLOCK;
    EMU_TSAN(__tsan_release(&tags[set_now * 64 + 63]);)
    yield();
    EMU_TSAN(__tsan_acquire(&tags[set_now * 64 + 63]);)
}
EMU_FN void sync_warp(unsigned mask) {
    if (!(mask >> cur->lane & 1)) die(cur, "calling lane is not in its own mask");
    cur->mask = mask;
    cur->st = AT_WARP;
    EMU_TSAN(__tsan_release(&tags[set_now * 64 + cur->warp]);)
    yield();
    EMU_TSAN(__tsan_acquire(&tags[set_now * 64 + cur->warp]);)
}
EMU_FN uint64_t shfl_raw(unsigned mask, uint64_t v, unsigned src) {
    Fiber *me = cur;
    me->slot = v;
    sync_warp(mask);
    unsigned i = me->warp * 32 + src;
    uint64_t r = i < n_thr && (mask >> src & 1) ? pool[i]->slot : 0x7fc00000'7fc00000ull;
    sync_warp(mask);
    return r;
}
template <class T> inline T shfl(unsigned mask, T v, unsigned src) {
    static_assert(sizeof(T) <= 8, "shuffle one register at a time");
    uint64_t raw = 0;
    memcpy(&raw, &v, sizeof v);
    raw = shfl_raw(mask, raw, src & 31);
    memcpy(&v, &raw, sizeof v);
    return v;
}
/* --- scheduler --------------------------------------------------------- */
EMU_FN bool warp_release(unsigned w) { /* wake a warp whose masked lanes all arrived */
    unsigned at = 0, ex = 0, have = 0, m = 0;
    for (unsigned l = 0; l < 32 && w * 32 + l < n_thr; l++) {
        Fiber *f = pool[w * 32 + l];
        have |= 1u << l;
        if (f->st == AT_WARP) {
            at |= 1u << l;
            m = f->mask;
        }
        if (f->st == DONE) ex |= 1u << l;
    }
    if (!at) return false;
    if (m & ex) die(pool[w * 32 + __builtin_ctz(m & ex)], "lane exited but a warp mask names it");
    if ((at & m & have) != (m & have)) return false;
    for (unsigned l = 0; l < 32; l++)
        if (at >> l & 1) pool[w * 32 + l]->st = READY;
    return true;
}
EMU_FN bool warp_step(unsigned w) {
    bool ran = false;
    for (unsigned k = 0; k < 32; k++) {
        unsigned i = w * 32 + (emu_order == 2 ? 31 - k : k);
        if (i < n_thr && pool[i]->st == READY) {
            resume(pool[i]);
            ran = true;
        }
    }
    return warp_release(w) || ran;
}
EMU_FN void run_block() {
    unsigned nw = (n_thr + 31) / 32;
    for (unsigned i = 0; i < n_thr; i++) pool[i]->st = READY;
    for (;;) {
        bool ran = false;
        for (unsigned k = 0; k < nw; k++) {
            unsigned w = emu_order == 2 ? nw - 1 - k : k;
            if (emu_order > 2) {
                rng = rng * 1664525u + 1013904223u;
                w = (rng >> 16) % nw;
            }
            if (emu_order == 0 || emu_order > 2)
                ran |= warp_step(w);
            else
                while (warp_step(w)) ran = true;
        }
        unsigned done = 0, wait = 0;
        const Fiber *stuck = nullptr;
        for (unsigned i = 0; i < n_thr; i++) {
            done += pool[i]->st == DONE;
            wait += pool[i]->st == AT_BLOCK;
            if (pool[i]->st == AT_WARP) stuck = pool[i];
        }
        if (done == n_thr) return;
        if (done + wait == n_thr) { /* exited threads count as arrived, as on the GPU */
            const void *site = nullptr;
            for (unsigned i = 0; i < n_thr; i++)
                if (pool[i]->st == AT_BLOCK) {
                    if (site && site != pool[i]->site)
                        die(pool[i], "threads of one block wait at different __syncthreads()");
                    site = pool[i]->site;
                    pool[i]->st = READY;
                }
        } else if (!ran && emu_order <= 2)
            die(stuck, "deadlock: a barrier is not reached by all its threads");
    }
}
EMU_FN void launch(const char *kernel, dim3 g, dim3 b, size_t smem,
                   const std::function<void()> &fn) {
    name = kernel;
    g_dim = g;
    b_dim = b;
    body = &fn;
    n_thr = b.x * b.y * b.z;
    rng = (unsigned)emu_order;
    assert(n_thr >= 1 && n_thr <= 1024);
    EMU_TSAN(main_fiber = __tsan_get_current_fiber();)
    unsigned n = g.x * g.y * g.z, sets = 1;
    EMU_TSAN(sets = 4096 / n_thr < n ? 4096 / n_thr
                                     : n;) /* own fibers per block: races between blocks show */
    while (all.size() < sets * n_thr) all.push_back(fiber_new());
    for (unsigned j = 0; j < sets * n_thr; j++) {
        Fiber *f = all[j];
        unsigned i = j % n_thr;
        f->tid = dim3(i % b.x, i / b.x % b.y, i / (b.x * b.y));
        f->lane = i % 32;
        f->warp = i / 32;
    }
    std::vector<char *> shared(n);
    for (unsigned i = 0; i < n; i++)
        shared[i] = smem ? (char *)memset(malloc(smem), 0xff, smem) : nullptr;
    EMU_TSAN(__tsan_release(&start_tag);)
    for (unsigned i = 0; i < n; i++) {
        set_now = i % sets;
        pool = &all[set_now * n_thr];
        unsigned k = emu_order == 2 ? n - 1 - i : i;
        b_idx = dim3(k % g.x, k / g.x % g.y, k / (g.x * g.y));
        dyn = shared[i];
        run_block();
    }
    EMU_TSAN(__tsan_acquire(&end_tag);)
    for (char *p : shared) free(p);
}
EMU_FN dim3 get_tid() { return cur->tid; }
EMU_FN unsigned get_lane() { return cur->lane; }
EMU_FN char *get_dyn() { return dyn; }
EMU_FN dim3 get_bidx() { return b_idx; }
EMU_FN dim3 get_bdim() { return b_dim; }
EMU_FN dim3 get_gdim() { return g_dim; }
} /* namespace emu */
#define threadIdx       (emu::get_tid())
#define blockIdx        (emu::get_bidx())
#define blockDim        (emu::get_bdim())
#define gridDim         (emu::get_gdim())
#define __syncthreads() emu::sync_block()
#define __syncwarp(...) emu::sync_warp(0xffffffffu)
template <class T> inline T __shfl_sync(unsigned m, T v, int l) {
    return emu::shfl(m, v, (unsigned)l);
}
template <class T> inline T __shfl_xor_sync(unsigned m, T v, int x) {
    return emu::shfl(m, v, emu::get_lane() ^ (unsigned)x);
}
template <class T> inline T __shfl_down_sync(unsigned m, T v, unsigned d) {
    unsigned l = emu::get_lane();
    return emu::shfl(m, v, l + d < 32 ? l + d : l);
}
template <class T> inline T __shfl_up_sync(unsigned m, T v, unsigned d) {
    unsigned l = emu::get_lane();
    return emu::shfl(m, v, l >= d ? l - d : l);
}
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define DYN_SHARED(T, id) T *id = (T *)emu::get_dyn()
