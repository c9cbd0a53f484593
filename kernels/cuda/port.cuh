/* port.cuh - what every kernel source includes: CUDA under nvcc, the emulator under g++.
 *
 * Device code keeps to this subset: threadIdx and friends, __syncthreads, __syncwarp,
 * __shfl_*_sync, DYN_SHARED memory (at most 48 KiB), float and int arithmetic, math.h. No atomics
 * on floats, no static __shared__, no texture, no cooperative launch. Grids depend on shapes only.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#    include <cuda_runtime.h>
#    define DYN_SHARED(T, name)                                                                    \
        extern __shared__ __align__(16) unsigned char dyn_shared_bytes[];                          \
        T *name = (T *)dyn_shared_bytes
#    define LAUNCH_NOW(kernel, grid, block, shared, ...)                                           \
        kernel<<<(grid), (block), (shared), (cudaStream_t)launch_stream()>>>(__VA_ARGS__)
#else
#    include "kernels/emu/cuda_emu.h"
#    define LAUNCH_NOW(kernel, grid, block, shared, ...)                                           \
        emu::launch(                                                                               \
            #kernel, (grid), (block), (shared), [=](auto... values) { kernel(values...); },        \
            std::make_tuple(__VA_ARGS__))
#endif
#include "launch.h"

extern "C" {
#include "kernels/core/kernels.h"
}

/* LAUNCH(kernel, grid, block, bytes of dynamic shared memory, arguments...). An empty grid launches
 * nothing. Commas of template arguments need parentheses around the kernel's name. */
#define LAUNCH(kernel, grid, block, shared, ...)                                                   \
    do {                                                                                           \
        const dim3 grid_ = (grid);                                                                 \
        if (grid_.x && grid_.y && grid_.z && launch_begin(#kernel)) {                              \
            LAUNCH_NOW(kernel, grid_, (block), (shared), __VA_ARGS__);                             \
            launch_end(#kernel);                                                                   \
        }                                                                                          \
    } while (0)

/* Scratch of one launcher; given back at the end of its scope. */
struct Scratch {
    size_t mark;
    Scratch() : mark(launch_mark()) {}
    ~Scratch() { launch_drop(mark); }
    Scratch(const Scratch &) = delete;
    template <class T> T *take(size_t n) { return (T *)launch_take(n * sizeof(T)); }
};

/* Blocks of `size` that cover n. */
static inline unsigned blocks_of(long n, long size) { return (unsigned)((n + size - 1) / size); }

/* Four floats at once where both address and count allow; the same arithmetic either way. */
static inline bool is_vector(const void *p) { return (uintptr_t)p % 16 == 0; }
