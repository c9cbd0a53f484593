/* cuda_emu.h - the part of CUDA C++ that kernels use, for g++: what port.cuh includes without nvcc.
 *
 * Each CUDA thread is a fiber, see emu_grid.cpp; threads switch only at __syncthreads, __syncwarp,
 * shuffles and votes. What the emulator finds and what it cannot tell: README.md beside this file.
 * Missing on purpose, as kernels must not use it: static __shared__, atomics, __activemask, fast
 * intrinsics (__expf), textures, cooperative launches. Cost: a thread without barriers about 10 ns,
 * a barrier about 20 ns a thread. */
#pragma once
#include "emu_grid.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __align__(n)    __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

typedef void *cudaStream_t;

/* ---- types ------------------------------------------------------------------------------ */

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define EMU_VECTORS(T, name)                                                                       \
    struct alignas(2 * sizeof(T)) name##2 {                                                        \
        T x, y;                                                                                    \
    };                                                                                             \
    struct name##3 {                                                                               \
        T x, y, z;                                                                                 \
    };                                                                                             \
    struct alignas(16) name##4 {                                                                   \
        T x, y, z, w;                                                                              \
    };                                                                                             \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                     \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                             \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTORS(float, float)
EMU_VECTORS(int, int)
#undef EMU_VECTORS
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

/* ---- where a thread is, and whom it waits for ------------------------------------------- */

namespace emu {

struct Place {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
    char *shared; /* dynamic shared memory of the block */
};
extern Place place; /* of the running thread */

struct Site { /* of a barrier in the source */
    const char *file;
    int line;
};

/* All threads of the block that have not returned. */
void block_barrier(Site at);
/* All lanes of mask; `what` is the function that the kernel called, the same in all of them. */
void warp_barrier(const char *what, unsigned mask, Site at);
/* The same, and returns the value of lane `source`: NaN unless mask names it. No memory barrier. */
uint64_t warp_exchange(const char *what, unsigned mask, uint64_t value, unsigned source, Site at);
/* The same, and returns the lanes of mask whose vote is true. */
unsigned warp_vote(const char *what, unsigned mask, bool vote, Site at);
unsigned lane();
/* width, or a fault if a warp cannot be cut into such parts. */
unsigned warp_part(int width);

template <class T>
T shuffle(const char *what, unsigned mask, T value, unsigned source, const Site &at) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a number, not more");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = warp_exchange(what, mask, bits, source, at);
    memcpy(&value, &bits, sizeof value);
    return value;
}

} /* namespace emu */

#define threadIdx ((const uint3 &)emu::place.thread)
#define blockIdx  ((const uint3 &)emu::place.block)
#define blockDim  ((const dim3 &)emu::place.block_dim)
#define gridDim   ((const dim3 &)emu::place.grid_dim)
#define warpSize  32

#define DYN_SHARED(T, name) T *name = (T *)emu::place.shared

/* The last argument of a barrier is for the emulator; as a default it says where the call is. */
#define EMU_SITE emu::Site at = {__builtin_FILE(), __builtin_LINE()}

inline void __syncthreads(EMU_SITE) { emu::block_barrier(at); }
inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_SITE) {
    emu::warp_barrier("__syncwarp", mask, at);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, EMU_SITE) {
    const unsigned part = emu::warp_part(width), first = emu::lane() & ~(part - 1);
    return emu::shuffle("__shfl_sync", mask, value, first + ((unsigned)source & (part - 1)), at);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = warpSize, EMU_SITE) {
    const unsigned part = emu::warp_part(width), self = emu::lane(), to = self ^ (unsigned)flip;
    return emu::shuffle("__shfl_xor_sync", mask, value, to <= (self | (part - 1)) ? to : self, at);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize, EMU_SITE) {
    const unsigned part = emu::warp_part(width), self = emu::lane(), last = self | (part - 1);
    return emu::shuffle("__shfl_down_sync", mask, value, self + by <= last ? self + by : self, at);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize, EMU_SITE) {
    const unsigned part = emu::warp_part(width), self = emu::lane(), first = self & ~(part - 1);
    return emu::shuffle("__shfl_up_sync", mask, value, self >= first + by ? self - by : self, at);
}

inline unsigned __ballot_sync(unsigned mask, int vote, EMU_SITE) {
    return emu::warp_vote("__ballot_sync", mask, vote != 0, at);
}
inline int __any_sync(unsigned mask, int vote, EMU_SITE) {
    return emu::warp_vote("__any_sync", mask, vote != 0, at) != 0;
}
inline int __all_sync(unsigned mask, int vote, EMU_SITE) {
    return emu::warp_vote("__all_sync", mask, vote == 0, at) == 0;
}
#undef EMU_SITE

/* ---- arithmetic ------------------------------------------------------------------------- */

/* The overloads of CUDA, so that what is ambiguous there is so here. */
#define EMU_MIN_MAX(T)                                                                             \
    inline T min(T a, T b) { return b < a ? b : a; }                                               \
    inline T max(T a, T b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
#undef EMU_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); } /* as on the GPU, NaN loses */
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdiv_rn(float a, float b) { return a / b; }

/* Never fused into an fma, as on the GPU: the volatile keeps the compiler from it. */
inline float __fmul_rn(float a, float b) {
    const volatile float product = a * b;
    return product;
}
inline float __fadd_rn(float a, float b) {
    const volatile float sum = a + b;
    return sum;
}
inline float __fsub_rn(float a, float b) { return __fadd_rn(a, -b); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }

template <class To, class From> To emu_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "reinterprets bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return emu_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emu_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }

template <class T> T __ldg(const T *p) { return *p; }

/* ---- launches --------------------------------------------------------------------------- */

namespace emu {

/* One launch, with the arguments in a type derived from it. */
struct Launch {
    job queued; /* first: the queue knows only this */
    const char *kernel;
    dim3 grid, block;
    size_t shared;
    int order;
    void (*thread)(const Launch *); /* runs the kernel as the thread of `place` */
};

/* Refuses what a GPU refuses to launch, then queues. */
void launch_queue(Launch *l);
void grid_run(job *l);

/* Refuses an argument that points into host memory; what structs point to is not seen. */
void check_pointer(const char *kernel, int argument, const void *p);
template <class T> void check_argument(const char *, int, const T &) {}
template <class T> void check_argument(const char *kernel, int argument, T *const &p) {
    check_pointer(kernel, argument, (const void *)p);
}

template <class Body, class Arguments> struct Call : Launch {
    Body body;
    Arguments arguments;
    Call(const Launch &l, const Body &b, const Arguments &a) : Launch(l), body(b), arguments(a) {}
    static void thread_of(const Launch *l) {
        const Call *c = static_cast<const Call *>(l);
        std::apply(c->body, c->arguments);
    }
    static void end_of(job *j) { delete static_cast<Call *>(reinterpret_cast<Launch *>(j)); }
};

/* body(arguments...) is the kernel. Arguments are evaluated and copied here, when the launch is
 * queued, whenever it may run. */
template <class Body, class... A>
void launch(const char *kernel, const dim3 &grid, const dim3 &block, size_t shared,
            const Body &body, const std::tuple<A...> &arguments) {
    typedef Call<Body, std::tuple<A...>> its_call;
    int i = 0;
    std::apply([&](const A &...a) { (check_argument(kernel, ++i, a), ...); }, arguments);
    const Launch l = {{grid_run, its_call::end_of}, kernel, grid, block, shared, 0,
                      its_call::thread_of};
    launch_queue(new its_call(l, body, arguments));
}

} /* namespace emu */
