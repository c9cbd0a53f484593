/* team.cuh - rows in the registers of teams of threads.
 *
 * A row belongs to a team of LANES threads, N of its values to each of them. Up to 512 columns a
 * team is a warp or part of one and needs no barrier; then it is a block. Rows beyond the largest
 * span are walked in pieces and read again by every pass. Where cols is a multiple of 4, a thread
 * holds groups of 4 neighbours, which are one load if the address allows: whether it does changes
 * no bit, as the arithmetic is the same. */
#pragma once
#include "reduce.cuh"

namespace {

enum { TEAM_THREADS = 256, WIDEST_TEAM = 512 };

/* Threads of a block and rows it has in hand. */
template <int LANES> struct Block {
    static constexpr int THREADS = LANES > WARP ? LANES : TEAM_THREADS, TEAMS = THREADS / LANES;
};

/* The channels of one thread: value j is channel(j) of a piece of LANES * N channels. */
template <int LANES, int N> struct Lane {
    static constexpr int SPAN = LANES * N;
    int first, step;
    bool quads;

    __device__ Lane(int cols) {
        const int lane = threadIdx.x % LANES;
        quads = cols % 4 == 0;
        first = quads ? 4 * lane : lane;
        step = quads ? 1 : LANES;
    }
    __device__ int channel(int j) const { return first + j / 4 * 4 * LANES + j % 4 * step; }

    /* `left` channels exist from `p` on; others are zero. */
    __device__ void load(float (&v)[N], const float *p, int left) const {
        if (quads && (uintptr_t)p % 16 == 0) {
            for (int j = 0; j < N; j += 4) {
                float4 q = make_float4(0, 0, 0, 0);
                if (channel(j) < left) q = *(const float4 *)(p + channel(j));
                v[j] = q.x, v[j + 1] = q.y, v[j + 2] = q.z, v[j + 3] = q.w;
            }
        } else {
            for (int j = 0; j < N; j++) v[j] = channel(j) < left ? p[channel(j)] : 0;
        }
    }

    __device__ void store(float *p, const float (&v)[N], int left) const {
        if (quads && (uintptr_t)p % 16 == 0) {
            for (int j = 0; j < N; j += 4)
                if (channel(j) < left)
                    *(float4 *)(p + channel(j)) = make_float4(v[j], v[j + 1], v[j + 2], v[j + 3]);
        } else {
            for (int j = 0; j < N; j++)
                if (channel(j) < left) p[channel(j)] = v[j];
        }
    }

    /* Ones where there is no gain. */
    __device__ void load_gain(float (&v)[N], const float *w, int left) const {
        if (w)
            load(v, w, left);
        else
            for (int j = 0; j < N; j++) v[j] = 1;
    }

    /* Pieces of a row; a constant for all but the widest teams. */
    __device__ static int pieces(int cols) {
        return LANES < WIDEST_TEAM ? 1 : (cols + SPAN - 1) / SPAN;
    }
};

struct Plus {
    static __device__ float of(float a, float b) { return a + b; }
};
struct Larger {
    static __device__ float of(float a, float b) { return fmaxf(a, b); }
};

/* M values joined over the team by Op, in every thread of it. part: M floats per warp. */
template <int LANES, class Op, int M> __device__ void team_join(float (&v)[M], float *part) {
    constexpr int WARPS = LANES / WARP, NEAR = LANES < WARP ? LANES : WARP;
    for (int m = 0; m < M; m++)
        for (int o = NEAR / 2; o; o >>= 1) v[m] = Op::of(v[m], __shfl_xor_sync(ALL_LANES, v[m], o));
    if (WARPS <= 1) return;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    for (int m = 0; m < M && lane == 0; m++) part[m * WARPS + warp] = v[m];
    __syncthreads();
    for (int m = 0; m < M; m++) {
        v[m] = part[m * WARPS + lane % (WARPS ? WARPS : 1)];
        for (int o = WARPS / 2; o; o >>= 1)
            v[m] = Op::of(v[m], __shfl_xor_sync(ALL_LANES, v[m], o));
    }
    __syncthreads();
}
template <int LANES, int M> __device__ void team_sum(float (&v)[M], float *part) {
    team_join<LANES, Plus>(v, part);
}

/* Calls launch.run<LANES, N>() with the smallest team that holds a row. */
template <class Launch> void with_team(int cols, const Launch &launch) {
    if (cols <= 4)
        launch.template run<1, 4>();
    else if (cols <= 16)
        launch.template run<4, 4>();
    else if (cols <= 32)
        launch.template run<8, 4>();
    else if (cols <= 64)
        launch.template run<16, 4>();
    else if (cols <= 128)
        launch.template run<32, 4>();
    else if (cols <= 256)
        launch.template run<32, 8>();
    else if (cols <= 512)
        launch.template run<32, 16>();
    else if (cols <= 1024)
        launch.template run<128, 8>();
    else if (cols <= 2048)
        launch.template run<256, 8>();
    else
        launch.template run<WIDEST_TEAM, 8>();
}

} // namespace
