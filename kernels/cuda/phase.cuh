/* phase.cuh - cos and sin of t theta^(-2i/dim) for rope and sinusoidal positions.
 *
 * A pair turns by a fixed angle per step, held as a fraction of a full turn in units of 2^-64. The
 * phase at step t is then one wrapping integer product, exact at any t, and the nearest quarter of
 * a turn comes off without a rounding. The rest, at most pi/4, goes through the polynomials of
 * Cephes sinf and cosf (Moshier): within 1e-7 of the exact results, no slow path, and no double per
 * element as many GPUs have few units for it. A CPU reaches the same with a recurrence in double;
 * threads that start anywhere cannot use one. */
#pragma once
#include "port.cuh"

/* Pair i of `dim` channels; log2_theta: log2(theta). One exp2 in double: share the result. */
__device__ inline uint64_t phase_step(long i, long dim, double log2_theta) {
    const double per_turn = 0.15915494309189533577; /* 1 / (2 pi) */
    const double turns = exp2(-2.0 * (double)i / (double)dim * log2_theta) * per_turn;
    return (uint64_t)((turns - floor(turns)) * 0x1p64);
}

/* The angle at step t. */
__device__ inline void phase_turn(float *cos_t, float *sin_t, uint64_t step, long t) {
    const uint32_t phase = (uint32_t)(step * (uint64_t)t >> 32);
    const uint32_t quarter = (phase + 0x20000000u) >> 30; /* nearest; wraps at a full turn */
    const float rest = (float)(int32_t)(phase - (quarter << 30)) * 1.46291808e-9f; /* 2 pi 2^-32 */
    const float z = rest * rest;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f);
    s = fmaf(s * z, rest, rest);
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f);
    c = fmaf(c * z, z, fmaf(-0.5f, z, 1.0f));
    const float along = quarter & 1 ? s : c, across = quarter & 1 ? c : s;
    *cos_t = quarter == 1 || quarter == 2 ? -along : along;
    *sin_t = quarter >= 2 ? -across : across;
}
