/* norm.cuh - rmsnorm, layernorm and l2norm: rows scaled to a common length, and back.
 *
 * All three are y = (x - mean) rstd w + bias with rstd = 1 / sqrt(sum (x - mean)^2 / count + eps);
 * CENTER says whether there is a mean, count is cols or, for l2norm, 1; no w means ones.
 * With u = dy w and z = x - mean:
 * dx = rstd (u - mean(u) - z rstd^2 sum(u z) / count), mean(u) only where there is a mean;
 * dw = sum over rows of dy z rstd, dbias = sum over rows of dy.
 *
 * A row belongs to a team of threads, see team.cuh: x is read once, forward moves 2 floats per
 * element, backward 4 (dx is read and written); rows beyond the largest span are read twice.
 *
 * dw and dbias are summed in registers while dx is made; teams of a block are added in a fixed
 * order, a block leaves one row of partial sums for fold.cuh. A chunk is 16 rows or more, so that
 * partial sums are at most 3 % of the traffic (6 % with dbias), and there are at most MOST_CHUNKS
 * per run, which is a few blocks per multiprocessor. Chunks follow from rows and cols of one run
 * only. Products that are summed are written as fmaf, so that no compiler chooses per path. */
#pragma once
#include "fold.cuh"
#include "team.cuh"

struct norm_shape {
    int runs;
    long rows; /* per run */
    int cols;
    float count, eps;
};

namespace {

enum { MOST_CHUNKS = 1024, LEAST_ROWS = 16 };

/* stats: rstd [R, rows], or with CENTER mean and rstd [R, rows, 2]. Grid (row blocks, R). */
template <int LANES, int N, bool CENTER>
__global__ void __launch_bounds__(Block<LANES>::THREADS)
    norm_forward(float *__restrict__ y, float *__restrict__ stats, const float *__restrict__ x,
                 const float *__restrict__ w, const float *__restrict__ bias, norm_shape s) {
    constexpr int TEAMS = Block<LANES>::TEAMS;
    DYN_SHARED(float, part);
    const Lane<LANES, N> lane(s.cols);
    const int span = lane.SPAN, pieces = lane.pieces(s.cols), cols = s.cols;
    const long i = (long)blockIdx.x * TEAMS + threadIdx.x / LANES, run = blockIdx.y;
    const bool live = i < s.rows; /* others stay for the sums */
    const long row = run * s.rows + (live ? i : 0);
    const float *xi = x + row * cols;
    float v[N], mean = 0, square[1] = {0};

    if (CENTER) {
        float sum[1] = {0};
        for (int p = 0; p < pieces; p++) {
            lane.load(v, xi + p * span, live ? cols - p * span : 0);
            for (int j = 0; j < N; j++) sum[0] += v[j];
        }
        team_sum<LANES>(sum, part);
        mean = sum[0] / (float)cols;
    }
    for (int p = 0; p < pieces; p++) {
        const int left = live ? cols - p * span : 0;
        if (!CENTER || pieces > 1) lane.load(v, xi + p * span, left);
        for (int j = 0; j < N; j++) {
            const float z = !CENTER ? v[j] : lane.channel(j) < left ? v[j] - mean : 0;
            square[0] = fmaf(z, z, square[0]);
        }
    }
    team_sum<LANES>(square, part);
    const float rstd = 1 / sqrtf(square[0] / s.count + s.eps);
    if (live && threadIdx.x % LANES == 0) {
        if (CENTER) stats[2 * row] = mean;
        stats[CENTER ? 2 * row + 1 : row] = rstd;
    }
    for (int p = 0; p < pieces; p++) {
        const int left = live ? cols - p * span : 0;
        float gain[N], shift[N];
        lane.load_gain(gain, w ? w + run * cols + p * span : w, left);
        if (CENTER) lane.load(shift, bias + run * cols + p * span, left);
        if (pieces > 1) lane.load(v, xi + p * span, left);
        for (int j = 0; j < N; j++)
            v[j] = CENTER ? fmaf((v[j] - mean) * rstd, gain[j], shift[j]) : v[j] * rstd * gain[j];
        lane.store(y + row * cols + p * span, v, left);
    }
}

/* Sum of `v` over the teams of a block to to[cols]. shared: [warps, SPAN]. */
template <int LANES, int N>
__device__ void add_teams(float *to, float (&v)[N], const Lane<LANES, N> &lane, int cols,
                          float *shared) {
    if (LANES > WARP) {
        lane.store(to, v, cols);
        return;
    }
    constexpr int SPAN = LANES * N, WARPS = TEAM_THREADS / WARP;
    const int warp = threadIdx.x / WARP;
    for (int j = 0; j < N; j++) {
        for (int o = LANES; o < WARP; o <<= 1) v[j] += __shfl_xor_sync(ALL_LANES, v[j], o);
        if ((int)threadIdx.x % WARP < LANES) shared[warp * SPAN + lane.channel(j)] = v[j];
    }
    __syncthreads();
    for (int c = threadIdx.x; c < cols; c += TEAM_THREADS) {
        float sum = 0;
        for (int k = 0; k < WARPS; k++) sum += shared[k * SPAN + c];
        to[c] = sum;
    }
    __syncthreads();
}

/* part: [R, chunks, cols], with CENTER [R, chunks, 2, cols] for dw and dbias; NULL: not wanted.
 * dx NULL: not wanted. Rows of chunk k: from k per TEAMS on. Grid (chunks, R). */
template <int LANES, int N, bool CENTER>
__global__ void __launch_bounds__(Block<LANES>::THREADS)
    norm_backward(float *__restrict__ dx, float *__restrict__ part, const float *__restrict__ dy,
                  const float *__restrict__ x, const float *__restrict__ w,
                  const float *__restrict__ stats, norm_shape s, long per) {
    constexpr int TEAMS = Block<LANES>::TEAMS;
    DYN_SHARED(float, shared);
    const Lane<LANES, N> lane(s.cols);
    const int span = lane.SPAN, pieces = lane.pieces(s.cols), cols = s.cols;
    const long run = blockIdx.y, chunk = blockIdx.x;
    float *to = part + (run * gridDim.x + chunk) * cols * (CENTER ? 2 : 1);
    const float *wr = w ? w + run * cols : w;
    float v[N], d[N], old[N], gain[N], dw[N], db[N];
    for (int j = 0; j < N; j++) dw[j] = db[j] = old[j] = 0;
    lane.load_gain(gain, wr, cols);

    for (long k = 0; k < per; k++) {
        const long i = (chunk * per + k) * TEAMS + threadIdx.x / LANES;
        const bool live = i < s.rows;
        const long row = run * s.rows + (live ? i : 0), at = row * cols;
        const float mean = CENTER && live ? stats[2 * row] : 0;
        const float rstd = live ? stats[CENTER ? 2 * row + 1 : row] : 0;
        float sum[CENTER ? 2 : 1] = {}; /* of u z, of u */
        for (int p = 0; p < pieces; p++) {
            const int left = live ? cols - p * span : 0;
            lane.load(v, x + at + p * span, left);
            lane.load(d, dy + at + p * span, left);
            if (dx) lane.load(old, dx + at + p * span, left);
            if (pieces > 1) lane.load_gain(gain, wr ? wr + p * span : wr, left);
            for (int j = 0; j < N; j++) {
                const float u = d[j] * gain[j];
                sum[0] = fmaf(u, v[j] - mean, sum[0]);
                if (CENTER) sum[CENTER] = fmaf(d[j], gain[j], sum[CENTER]);
            }
        }
        team_sum<LANES>(sum, shared);
        const float along = sum[0] * rstd * rstd / s.count;
        const float plain = CENTER ? sum[CENTER] / (float)cols : 0;
        for (int p = 0; p < pieces; p++) {
            const int left = live ? cols - p * span : 0;
            if (pieces > 1) { /* sums wait in memory, each with its thread */
                lane.load(v, x + at + p * span, left);
                lane.load(d, dy + at + p * span, left);
                if (dx) lane.load(old, dx + at + p * span, left);
                lane.load_gain(gain, wr ? wr + p * span : wr, left);
                const int kept = part && k ? cols - p * span : 0;
                lane.load(dw, to + p * span, kept);
                lane.load(db, to + cols + p * span, CENTER ? kept : 0);
            }
            for (int j = 0; j < N; j++) {
                const float z = v[j] - mean;
                dw[j] = fmaf(d[j], z * rstd, dw[j]);
                if (CENTER) db[j] += d[j];
                old[j] = fmaf(rstd, fmaf(-along, z, fmaf(d[j], gain[j], -plain)), old[j]);
            }
            if (dx) lane.store(dx + at + p * span, old, left);
            if (pieces > 1 && part) {
                lane.store(to + p * span, dw, cols - p * span);
                if (CENTER) lane.store(to + cols + p * span, db, cols - p * span);
            }
        }
    }
    if (!part || pieces > 1) return;
    add_teams(to, dw, lane, cols, shared);
    if (CENTER) add_teams(to + cols, db, lane, cols, shared);
}

template <bool CENTER> struct Forward {
    float *y, *stats;
    const float *x, *w, *bias;
    norm_shape s;
    template <int LANES, int N> void run() const {
        constexpr int THREADS = Block<LANES>::THREADS;
        LAUNCH((norm_forward<LANES, N, CENTER>),
               dim3(blocks_of(s.rows, Block<LANES>::TEAMS), (unsigned)s.runs), dim3(THREADS),
               THREADS / WARP * sizeof(float), y, stats, x, w, bias, s);
    }
};

template <bool CENTER> struct Backward {
    float *dx, *dw, *dbias;
    const float *dy, *x, *w, *stats;
    norm_shape s;
    template <int LANES, int N> void run() const {
        constexpr int THREADS = Block<LANES>::THREADS, TEAMS = Block<LANES>::TEAMS;
        constexpr long LEAST = (LEAST_ROWS + TEAMS - 1) / TEAMS;
        constexpr int SUMS = LANES > WARP ? 2 * THREADS / WARP : TEAM_THREADS / WARP * LANES * N;
        const long even = (s.rows + TEAMS * MOST_CHUNKS - 1) / (TEAMS * MOST_CHUNKS);
        const long per = even > LEAST ? even : LEAST;
        const long chunks = blocks_of(s.rows, TEAMS * per);
        const partial p = {NULL, s.runs, chunks, s.cols, CENTER ? s.cols : 0};
        Scratch scratch;
        float *part = NULL;
        if (dw || dbias)
            part = scratch.take<float>((size_t)(s.runs * chunks * (p.first + p.second)));
        LAUNCH((norm_backward<LANES, N, CENTER>), dim3((unsigned)chunks, (unsigned)s.runs),
               dim3(THREADS), SUMS * sizeof(float), dx, part, dy, x, w, stats, s, per);
        fold_launch(dw, dbias, {part, p.runs, p.chunks, p.first, p.second});
    }
};

} // namespace

/* y [R, rows, cols]; stats [R, rows] or, with CENTER, [R, rows, 2]; w and bias [R, cols], w may be
 * NULL, bias is read with CENTER only. */
template <bool CENTER>
static void norm_fwd(float *y, float *stats, const float *x, const float *w, const float *bias,
                     const norm_shape &s) {
    with_team(s.cols, Forward<CENTER>{y, stats, x, w, bias, s});
}

/* Adds to dx, dw and dbias; any may be NULL. */
template <bool CENTER>
static void norm_bwd(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                     const float *w, const float *stats, const norm_shape &s) {
    if (dx || dw || dbias) with_team(s.cols, Backward<CENTER>{dx, dw, dbias, dy, x, w, stats, s});
}
