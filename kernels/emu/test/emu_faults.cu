/* emu_faults.cu - see emu_faults.h. */
#include "emu_faults.h"

#include "kernels/cuda/port.cuh"

constexpr int N = N_Y;
constexpr unsigned ALL = 0xffffffffu, HALF = 0xffffu;
constexpr size_t SHARED = N * sizeof(float);

/* ---- barriers --------------------------------------------------------------------------- */

/* A barrier of the warp is not one of the block. */
static __global__ void barrier(float *y, bool fault) {
    DYN_SHARED(float, s);
    const int i = threadIdx.x;
    s[i] = N - 1 - i;
    if (fault)
        __syncwarp();
    else
        __syncthreads();
    y[i] = s[N - 1 - i];
}
void fault_barrier(float *y, bool fault) { LAUNCH(barrier, dim3(1), dim3(N), SHARED, y, fault); }

static __global__ void divergent(float *y, bool fault) {
    const int i = threadIdx.x;
    if (fault && i >= N / 2)
        __syncthreads();
    else
        __syncthreads();
    y[i] = i;
}
void fault_divergent(float *y, bool fault) { LAUNCH(divergent, dim3(1), dim3(N), 0, y, fault); }

static __global__ void deadlock(float *y, bool fault) {
    const int i = threadIdx.x;
    y[i] = i;
    if (fault && i == 3)
        __syncthreads();
    else
        __syncwarp();
}
void fault_deadlock(float *y, bool fault) { LAUNCH(deadlock, dim3(1), dim3(N), 0, y, fault); }

/* ---- shared memory ---------------------------------------------------------------------- */

static __global__ void uninitialised(float *y, bool fault) {
    DYN_SHARED(float, s);
    const int i = threadIdx.x;
    if (!fault) s[i] = 0;
    y[i] = i + s[i];
}
void fault_uninitialised(float *y, bool fault) {
    LAUNCH(uninitialised, dim3(1), dim3(N), SHARED, y, fault);
}

static __global__ void overrun(float *y, int n, bool fault) {
    DYN_SHARED(float, s);
    const int i = threadIdx.x;
    s[i] = i;
    if (fault && i == 0) s[n] = 0;
    y[i] = s[i];
}
void fault_shared_end(float *y, bool fault) {
    LAUNCH(overrun, dim3(1), dim3(N), SHARED, y, N, fault);
}
void fault_shared_odd_end(float *y, bool fault) {
    LAUNCH(overrun, dim3(1), dim3(N), SHARED + sizeof(float), y, N + 1, fault);
}

/* ---- warps ------------------------------------------------------------------------------ */

/* A shuffle waits, but is no memory barrier. */
static __global__ void shuffle_order(float *y, bool fault) {
    DYN_SHARED(float, s);
    const int i = threadIdx.x;
    s[i] = i;
    const float v = __shfl_xor_sync(ALL, 0.0f, 1);
    if (!fault) __syncwarp();
    const float other = s[i ^ 1];
    __syncwarp();
    y[i ^ 1] = other + v;
}
void fault_shuffle_order(float *y, bool fault) {
    LAUNCH(shuffle_order, dim3(1), dim3(N), SHARED, y, fault);
}

static __global__ void own_mask(float *y, bool fault) {
    const int i = threadIdx.x;
    y[i] = __shfl_sync(fault ? HALF : ALL, (float)i, i);
}
void fault_own_mask(float *y, bool fault) { LAUNCH(own_mask, dim3(1), dim3(N), 0, y, fault); }

/* Halves of a warp may do without each other, if both mean to. */
static __global__ void masks(float *y, bool fault) {
    const int i = threadIdx.x, l = i % 32;
    const unsigned half = l < 16 ? HALF : ~HALF;
    y[i] = __shfl_sync(fault && l == 1 ? ALL : half, (float)i, l);
}
void fault_masks(float *y, bool fault) { LAUNCH(masks, dim3(1), dim3(N), 0, y, fault); }

static __global__ void source(float *y, bool fault) {
    const int i = threadIdx.x, l = i % 32;
    y[i] = i;
    if (l >= 16) return;
    y[i] = __shfl_sync(HALF, (float)i, fault ? l + 16 : l);
}
void fault_source(float *y, bool fault) { LAUNCH(source, dim3(1), dim3(N), 0, y, fault); }

static __global__ void width(float *y, int part) {
    y[threadIdx.x] = __shfl_sync(ALL, (float)threadIdx.x, (int)threadIdx.x, part);
}
void fault_width(float *y, bool fault) { LAUNCH(width, dim3(1), dim3(N), 0, y, fault ? 12 : 8); }

static __global__ void returned(float *y, bool fault) {
    const int i = threadIdx.x;
    y[i] = i;
    if (fault && i == N - 1) return;
    __syncwarp();
}
void fault_returned(float *y, bool fault) { LAUNCH(returned, dim3(1), dim3(N), 0, y, fault); }

/* ---- blocks ----------------------------------------------------------------------------- */

static __global__ void block_order(float *y, bool fault) {
    const int i = blockIdx.x;
    y[i] = fault && i ? y[i - 1] + 1 : i;
}
void fault_block_order(float *y, bool fault) { LAUNCH(block_order, dim3(N), dim3(1), 0, y, fault); }

/* Both write the same, so that no order makes a difference. */
static __global__ void block_race(float *y, bool fault) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = i;
    if (fault && threadIdx.x == 0) y[0] = 0;
}
void fault_block_race(float *y, bool fault) {
    LAUNCH(block_race, dim3(2), dim3(N / 2), 0, y, fault);
}

/* ---- memory ----------------------------------------------------------------------------- */

static __global__ void fill(float *y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = i;
}
static __global__ void copy(float *y, const float *x) { y[threadIdx.x] = x[threadIdx.x]; }

void fault_device_end(float *y, bool fault) {
    LAUNCH(fill, dim3(2), dim3(N), 0, y, fault ? N + 1 : N);
}

static __global__ void four(float *y, int shift) {
    *(float4 *)(y + shift + 4 * threadIdx.x) = make_float4(0, 1, 2, 3);
}
void fault_misaligned(float *y, bool fault) {
    LAUNCH(four, dim3(1), dim3(1), 0, y, fault ? 1 : 0);
    LAUNCH(fill, dim3(1), dim3(N), 0, y, N);
}

static __attribute__((noinline)) int descend(int depth) {
    volatile char frame[1024];
    frame[0] = (char)depth;
    return depth ? descend(depth - 1) + frame[0] : 0;
}
static __global__ void stack(float *y, int depth) {
    if (descend(depth) != 1 << 30) y[threadIdx.x] = threadIdx.x;
}
void fault_stack(float *y, bool fault) {
    LAUNCH(stack, dim3(1), dim3(N), 0, y, fault ? 1 << 10 : 4);
}

void fault_scratch_drop(float *y, bool fault) {
    float *x;
    {
        Scratch scratch;
        x = scratch.take<float>(N);
        LAUNCH(fill, dim3(1), dim3(N), 0, x, N);
        if (!fault) LAUNCH(copy, dim3(1), dim3(N), 0, y, x);
    }
    if (fault) LAUNCH(copy, dim3(1), dim3(N), 0, y, x);
}

struct hidden {
    const float *x;
};
static __global__ void copy_hidden(float *y, hidden h) { y[threadIdx.x] = h.x[threadIdx.x]; }

void fault_scratch_hidden_drop(float *y, bool fault) {
    hidden h;
    {
        Scratch scratch;
        float *x = scratch.take<float>(N);
        h.x = x;
        LAUNCH(fill, dim3(1), dim3(N), 0, x, N);
        if (!fault) LAUNCH(copy_hidden, dim3(1), dim3(N), 0, y, h);
    }
    if (fault) LAUNCH(copy_hidden, dim3(1), dim3(N), 0, y, h);
}

void fault_scratch_end(float *y, bool fault) {
    Scratch scratch;
    float *x = scratch.take<float>(N + 1);
    LAUNCH(fill, dim3(2), dim3(N), 0, x, fault ? N + 2 : N + 1);
    LAUNCH(copy, dim3(1), dim3(N), 0, y, x);
}

void fault_scratch_unfilled(float *y, bool fault) {
    Scratch scratch;
    float *x = scratch.take<float>(N);
    LAUNCH(fill, dim3(1), dim3(N), 0, x, fault ? N - 1 : N);
    LAUNCH(copy, dim3(1), dim3(N), 0, y, x);
}

/* ---- limits ----------------------------------------------------------------------------- */

void fault_shared_limit(float *y, bool fault) {
    LAUNCH(fill, dim3(1), dim3(N), (48 << 10) + fault, y, N);
}
void fault_block_limit(float *y, bool fault) { LAUNCH(fill, dim3(1), dim3(1024 + fault), 0, y, N); }
void fault_grid_limit(float *y, bool fault) {
    LAUNCH(fill, dim3(1, 1, fault ? 65536 : 1), dim3(N), 0, y, N);
}
void fault_host_pointer(float *y, bool fault) {
    static float host[N];
    if (fault) LAUNCH(copy, dim3(1), dim3(N), 0, y, host);
    if (!fault) LAUNCH(fill, dim3(1), dim3(N), 0, y, N);
}

/* ---- for the tests of the backend ------------------------------------------------------- */

static __global__ void add_step(float *y, float step, const float *device_step) {
    y[threadIdx.x] += (device_step ? *device_step : step) * threadIdx.x;
}
void launch_step(float *y, float step, const float *device_step) {
    LAUNCH(add_step, dim3(1), dim3(N), 0, y, step, device_step);
}

void launch_with_scratch(float *y, long n) {
    Scratch scratch;
    float *x = scratch.take<float>(n);
    LAUNCH(fill, dim3(1), dim3(N), 0, x, N);
    LAUNCH(copy, dim3(1), dim3(N), 0, y, x);
}

/* ---- the language ----------------------------------------------------------------------- */

/* Every thread adds 1 to its cell of a 2 x 3 x 4 grid of 5 x 3 x 2 blocks: each once. */
static __global__ void index_cells(float *cell) {
    const unsigned x = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned y = blockIdx.y * blockDim.y + threadIdx.y;
    const unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
    cell[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] += 1;
}
static __global__ void clear(float *cell) { cell[threadIdx.x] = 0; }
static __global__ void count_cells(float *bad, const float *cell, int n) {
    for (int i = 0; i < n; i++) bad[0] += cell[i] != 1;
}

/* One warp of 32 lanes. Sums over parts are compared with closed forms. */
static __device__ int bad_shuffles(int lane) {
    int bad = 0;
    const int part = lane / 8, at = lane % 8;
    bad += __shfl_sync(ALL, lane, 5) != 5;
    bad += __shfl_sync(ALL, lane, 3, 8) != 8 * part + 3;
    bad += __shfl_sync(ALL, lane, 11, 8) != 8 * part + 3; /* taken modulo the width */
    bad += __shfl_xor_sync(ALL, lane, 16) != (lane ^ 16);
    bad += __shfl_xor_sync(ALL, lane, 4, 8) != (lane ^ 4);
    bad += __shfl_down_sync(ALL, lane, 3) != (lane < 29 ? lane + 3 : lane);
    bad += __shfl_down_sync(ALL, lane, 3, 8) != (at < 5 ? lane + 3 : lane);
    bad += __shfl_up_sync(ALL, lane, 3) != (lane >= 3 ? lane - 3 : lane);
    bad += __shfl_up_sync(ALL, lane, 3, 8) != (at >= 3 ? lane - 3 : lane);
    bad += __shfl_sync(ALL, 1.0 / (lane + 1), 2) != 1.0 / 3;
    bad += __ballot_sync(ALL, lane % 2) != 0xaaaaaaaau;
    bad += !__any_sync(ALL, lane == 7) || __any_sync(ALL, lane > 31);
    bad += __all_sync(ALL, lane != 7) || !__all_sync(ALL, lane < 32);
    if (lane < 16) bad += __ballot_sync(HALF, 1) != HALF;
    return bad;
}
static __device__ int bad_arithmetic(void) {
    int bad = 0;
    bad += __popc(0xf0f0u) != 8 || __ffs(8) != 4 || __ffs(0) != 0 || __clz(1) != 31;
    bad += __clz(0) != 32 || __umulhi(0x80000000u, 6u) != 3;
    bad += min(2, 3) != 2 || max(2L, 3L) != 3 || max(NAN, 1.0f) != 1.0f || min(1.0, 2.0) != 1.0;
    bad += rsqrtf(4.0f) != 0.5f || __float_as_int(1.0f) != 0x3f800000;
    bad += __int_as_float(0x40000000) != 2.0f || sizeof(float4) != 16 || alignof(float4) != 16;
    const float x = 1 + 0x1p-12f; /* rounds to 1 + 2^-11, a fused product keeps the 2^-24 */
    bad += __fadd_rn(__fmul_rn(x, x), -1.0f) != 0x1p-11f;
    return bad;
}
static __global__ void language(float *bad) {
    DYN_SHARED(int, s);
    const int lane = threadIdx.x;
    s[lane] = bad_shuffles(lane);
    s[32 + lane] = bad_arithmetic();
    __syncthreads();
    for (int i = 0; i < 32 && lane == 0; i++) {
        bad[1] += s[i];
        bad[2] += s[32 + i];
    }
}

void launch_language(float *bad) {
    constexpr int n = 2 * 3 * 4 * 5 * 3 * 2;
    Scratch scratch;
    float *cell = scratch.take<float>(n);
    LAUNCH(clear, dim3(1), dim3(n), 0, cell);
    LAUNCH(index_cells, dim3(2, 3, 4), dim3(5, 3, 2), 0, cell);
    LAUNCH(count_cells, dim3(1), dim3(1), 0, bad, cell, n);
    LAUNCH(language, dim3(1), dim3(32), 2 * 32 * sizeof(int), bad);
}
