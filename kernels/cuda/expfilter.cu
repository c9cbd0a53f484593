/* expfilter.cu - long filters from exponentials; see kernels.def.
 *
 * Lanes of a warp are channels, a thread has TIMES neighbouring times: e^(-t rate) is worked out
 * for the first of them, the others follow by factors e^-rate, which costs a few roundings and
 * saves most exponentials. About 5 instructions per time, channel and term, forward and backward.
 *
 * Forward stages w, rate and e^-rate in shared memory, as they lie across the lanes. Backward sums
 * over time, for w and rate get one number each from the whole length: TIMES products in float,
 * these sums in double, by a warp that takes every SLICES-th stretch of time; the warps of a block
 * are added in order. One launch either way. */
#include "reduce.cuh"

namespace {
enum { TIMES = 8, FORWARD_WARPS = 4, STAGE = 32, PITCH = WARP + 1 };
enum { SLICES = 8, TERMS = 2 }; /* backward: warps of a block, terms of a thread */
constexpr size_t STAGE_BYTES = 3 * STAGE * PITCH * sizeof(float);
constexpr size_t SUM_BYTES = 2 * TERMS * SLICES * WARP * sizeof(double);

/* h [R, time, cols], w rate [R, cols, state]. */
struct Filter {
    long time, cols, state;
    unsigned col_blocks;
};

__global__ void __launch_bounds__(FORWARD_WARPS *WARP)
    sum_terms(float *h, const float *w, const float *rate, Filter f) {
    DYN_SHARED(float, staged); /* three of [STAGE, PITCH] */
    float *ws = staged, *rates = ws + STAGE * PITCH, *steps = rates + STAGE * PITCH;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const long c0 = (long)(blockIdx.x % f.col_blocks) * WARP, r = blockIdx.y;
    const long t0 = ((long)(blockIdx.x / f.col_blocks) * FORWARD_WARPS + warp) * TIMES;
    float sum[TIMES] = {};
    for (long n0 = 0; n0 < f.state; n0 += STAGE) {
        const int terms = f.state - n0 < STAGE ? (int)(f.state - n0) : (int)STAGE;
        __syncthreads();
        for (int k = warp; k < WARP; k += FORWARD_WARPS) {
            const bool inside = c0 + k < f.cols && lane < terms;
            const long at = (r * f.cols + c0 + k) * f.state + n0 + lane;
            const float v = inside ? rate[at] : 0;
            ws[lane * PITCH + k] = inside ? w[at] : 0;
            rates[lane * PITCH + k] = v;
            steps[lane * PITCH + k] = expf(-v);
        }
        __syncthreads();
        for (int n = 0; n < terms; n++) {
            const float weight = ws[n * PITCH + lane], step = steps[n * PITCH + lane];
            float fade = expf(-(float)t0 * rates[n * PITCH + lane]);
            for (int i = 0; i < TIMES; i++) {
                sum[i] = fmaf(weight, fade, sum[i]);
                fade *= step;
            }
        }
    }
    for (int i = 0; i < TIMES; i++)
        if (c0 + lane < f.cols && t0 + i < f.time)
            h[(r * f.time + t0 + i) * f.cols + c0 + lane] = sum[i];
}

/* dw and drate of TERMS terms of 32 channels; either may be NULL. */
__global__ void __launch_bounds__(SLICES *WARP)
    sum_times(float *dw, float *drate, const float *dh, const float *w, const float *rate,
              Filter f) {
    DYN_SHARED(double, sums); /* [TERMS, 2, SLICES, 32]: of dh e^(-t rate), of t times that */
    const int lane = threadIdx.x % WARP, slice = threadIdx.x / WARP;
    const long c = (long)(blockIdx.x % f.col_blocks) * WARP + lane, r = blockIdx.y;
    const long n0 = (long)(blockIdx.x / f.col_blocks) * TERMS;
    const bool live = c < f.cols; /* others stay for the sums */
    const long first = (r * f.cols + c) * f.state + n0;
    float speed[TERMS], step[TERMS];
    double sum[TERMS] = {}, aged[TERMS] = {};
    for (int m = 0; m < TERMS; m++) {
        speed[m] = live && n0 + m < f.state ? rate[first + m] : 0;
        step[m] = expf(-speed[m]);
    }
    for (long t0 = (long)slice * TIMES; live && t0 < f.time; t0 += SLICES * TIMES) {
        float d[TIMES];
        for (int i = 0; i < TIMES; i++)
            d[i] = t0 + i < f.time ? dh[(r * f.time + t0 + i) * f.cols + c] : 0;
        for (int m = 0; m < TERMS; m++) {
            float fade = expf(-(float)t0 * speed[m]), near = 0, late = 0;
            for (int i = 0; i < TIMES; i++) {
                const float term = d[i] * fade;
                near += term;
                late = fmaf((float)i, term, late);
                fade *= step[m];
            }
            sum[m] += (double)near;
            aged[m] += (double)t0 * (double)near + (double)late;
        }
    }
    for (int m = 0; m < TERMS; m++) {
        sums[(2 * m * SLICES + slice) * WARP + lane] = sum[m];
        sums[((2 * m + 1) * SLICES + slice) * WARP + lane] = aged[m];
    }
    __syncthreads();
    const int m = slice / 2; /* a warp per sum from here on */
    if (m >= TERMS || !live || n0 + m >= f.state) return;
    double total = 0;
    for (int k = 0; k < SLICES; k++) total += sums[(slice * SLICES + k) * WARP + lane];
    if (slice % 2 == 0 && dw) dw[first + m] += (float)total;
    if (slice % 2 == 1 && drate) drate[first + m] -= (float)(total * (double)w[first + m]);
}

Filter filter_of(int time, int cols, int state) {
    return {time, cols, state, blocks_of(cols, WARP)};
}
} // namespace

void K(expfilter_fwd)(real *h, const real *w, const real *rate, int runs, int time, int cols,
                      int state) {
    const Filter f = filter_of(time, cols, state);
    LAUNCH(sum_terms, dim3(f.col_blocks * blocks_of(time, FORWARD_WARPS * TIMES), (unsigned)runs),
           dim3(FORWARD_WARPS * WARP), STAGE_BYTES, h, w, rate, f);
}

void K(expfilter_bwd)(real *dw, real *drate, const real *dh, const real *w, const real *rate,
                      int runs, int time, int cols, int state) {
    if (!dw && !drate) return;
    const Filter f = filter_of(time, cols, state);
    LAUNCH(sum_times, dim3(f.col_blocks * blocks_of(state, TERMS), (unsigned)runs),
           dim3(SLICES * WARP), SUM_BYTES, dw, drate, dh, w, rate, f);
}
