/* window.cuh - loads of the next tokens while those at hand are worked on.
 *
 * For threads that each follow one channel over time: without it every step waits for memory. */
#pragma once
#include "port.cuh"

/* AHEAD tokens of N tensors of `cols` channels: first, first + step, ...; zero outside [0, time).
 * at: where the thread's channel is in token 0. A NULL tensor is all zeros. */
template <int N, int AHEAD> struct Window {
    float v[N][AHEAD];

    __device__ void load(const float *const (&from)[N], long at, long first, long step, long time,
                         long cols) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < AHEAD; j++) {
                const long t = first + j * step;
                v[i][j] = from[i] && t >= 0 && t < time ? from[i][at + t * cols] : 0;
            }
    }
};
