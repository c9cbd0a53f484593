/* wkv.cu - the recurrence of RWKV-4; see kernels.def and cpu/wkv.c for the formulas.
 *
 * A thread owns a channel of a sequence and steps over time with its sums in registers. Sequential
 * in T on purpose: B C threads of a run are thousands already at small sizes, and a step is four
 * exponentials, so that cutting T would only pay for one or two sequences at a time. What hides
 * memory is that the loads of the next AHEAD tokens are in flight during those of now. Blocks are
 * two warps, to spread few channels over many processors; a warp reads 128 consecutive bytes.
 *
 * Backward: the pass forwards in time (dw, du) and the one backwards (dk, dv) share nothing and are
 * blocks of one launch. dw and du are summed over time by their thread, then over the batch in a
 * fixed order. Moves 16 bytes per element forward and 56 backward. */
#include "fold.cuh"
#include "window.cuh"

namespace {
enum { WKV_THREADS = 64, AHEAD = 4 };

struct Wkv {
    long time, cols, batch, blocks; /* blocks of channels */
};

/* The channel of a thread: `at` in the first token, `own` in [R, C]. */
struct Channel {
    long seq, c, at, own;
};

__device__ Channel channel_of(const Wkv &a) {
    const long seq = blockIdx.x / a.blocks;
    const long c = (blockIdx.x - seq * a.blocks) * WKV_THREADS + threadIdx.x;
    return {seq, c, seq * a.time * a.cols + c, seq / a.batch * a.cols + c};
}

/* e^x, 0 for x = -infinity - anything. */
__device__ float fade(float x) { return x > -87 ? expf(x) : 0; }

__global__ void __launch_bounds__(WKV_THREADS)
    average(float *y, float *norm, const float *w, const float *u, const float *k, const float *v,
            Wkv a) {
    const Channel x = channel_of(a);
    if (x.c >= a.cols) return;
    const float wc = w[x.own], uc = u[x.own];
    const float *const from[2] = {k, v};
    float num = 0, den = 0, most = -INFINITY; /* sums times e^-most */
    Window<2, AHEAD> now, next;
    now.load(from, x.at, 0, 1, a.time, a.cols);
    for (long first = 0; first < a.time; first += AHEAD, now = next) {
        next.load(from, x.at, first + AHEAD, 1, a.time, a.cols);
        for (int j = 0; j < AHEAD; j++) {
            if (first + j >= a.time) break;
            const long at = x.at + (first + j) * a.cols;
            const float kt = now.v[0][j], vt = now.v[1][j];
            const float own = uc + kt, top = fmaxf(most, own);
            const float old_part = fade(most - top), own_part = fade(own - top);
            const float all = old_part * den + own_part;
            y[at] = (old_part * num + own_part * vt) / all;
            norm[at] = top + logf(all);
            const float faded = most - wc;
            most = fmaxf(faded, kt);
            const float keep = fade(faded - most), add = fade(kt - most);
            num = keep * num + add * vt;
            den = keep * den + add;
        }
    }
}

/* What backward reads, in the order of a window. */
enum { K_T, V_T, Y_T, NORM_T, DY_T, N_READ };

/* sum[seq] = {dw, du}, [2, C]: forwards in time. */
__device__ void pass_forward(float *sum, const float *const (&from)[N_READ], float w, float u,
                             const Channel &x, const Wkv &a) {
    float num = 0, den = 0, num_dw = 0, den_dw = 0, most = -INFINITY, dw = 0, du = 0;
    Window<N_READ, AHEAD> now, next;
    now.load(from, x.at, 0, 1, a.time, a.cols);
    for (long first = 0; first < a.time; first += AHEAD, now = next) {
        next.load(from, x.at, first + AHEAD, 1, a.time, a.cols);
        for (int j = 0; j < AHEAD; j++) {
            if (first + j >= a.time) break;
            const float kt = now.v[K_T][j], vt = now.v[V_T][j], yt = now.v[Y_T][j];
            const float share = fade(most - now.v[NORM_T][j]); /* e^most / D_t */
            const float own = fade(u + kt - now.v[NORM_T][j]), dy = now.v[DY_T][j];
            dw -= dy * share * (num_dw - yt * den_dw);
            du += dy * own * (vt - yt);
            const float faded = most - w;
            most = fmaxf(faded, kt);
            const float keep = fade(faded - most), add = fade(kt - most);
            num_dw = keep * (num_dw + num);
            den_dw = keep * (den_dw + den);
            num = keep * num + add * vt;
            den = keep * den + add;
        }
    }
    sum[x.seq * 2 * a.cols + x.c] = dw;
    sum[(x.seq * 2 + 1) * a.cols + x.c] = du;
}

/* dk and dv: backwards in time. num and den hold sum_{s>t} e^(-(s-1-t) w) alpha_s (y_s and 1). */
__device__ void pass_backward(float *dk, float *dv, const float *const (&from)[N_READ], float w,
                              float u, const Channel &x, const Wkv &a) {
    float num = 0, den = 0, most = -INFINITY;
    Window<N_READ, AHEAD> now, next;
    now.load(from, x.at, a.time - 1, -1, a.time, a.cols);
    for (long first = a.time - 1; first >= 0; first -= AHEAD, now = next) {
        next.load(from, x.at, first - AHEAD, -1, a.time, a.cols);
        for (int j = 0; j < AHEAD; j++) {
            if (first - j < 0) break;
            const long at = x.at + (first - j) * a.cols;
            const float kt = now.v[K_T][j], vt = now.v[V_T][j], yt = now.v[Y_T][j];
            const float mine = -now.v[NORM_T][j], dy = now.v[DY_T][j];
            const float later = fade(kt + most), own = fade(u + kt + mine);
            if (dv) dv[at] += later * den + own * dy;
            if (dk) dk[at] += later * (vt * den - num) + own * dy * (vt - yt);
            const float faded = most - w;
            most = fmaxf(faded, mine);
            const float keep = fade(faded - most), add = fade(mine - most);
            num = keep * num + add * dy * yt;
            den = keep * den + add * dy;
        }
    }
}

/* Grid (sequences and blocks of channels, the passes wanted); the second pass goes backwards. */
__global__ void __launch_bounds__(WKV_THREADS)
    average_back(float *sum, float *dk, float *dv, const float *dy, const float *y,
                 const float *norm, const float *w, const float *u, const float *k, const float *v,
                 Wkv a) {
    const Channel x = channel_of(a);
    if (x.c >= a.cols) return;
    const float *const from[N_READ] = {k, v, y, norm, dy};
    if (sum && blockIdx.y == 0)
        pass_forward(sum, from, w[x.own], u[x.own], x, a);
    else
        pass_backward(dk, dv, from, w[x.own], u[x.own], x, a);
}

Wkv wkv_of(int batch, int time, int cols) {
    return {time, cols, batch, (long)blocks_of(cols, WKV_THREADS)};
}
} // namespace

void K(wkv_fwd)(real *y, real *norm, const real *w, const real *u, const real *k, const real *v,
                real *, int runs, int batch, int time, int cols) {
    const Wkv a = wkv_of(batch, time, cols);
    LAUNCH(average, dim3((unsigned)(a.blocks * runs * batch)), dim3(WKV_THREADS), 0, y, norm, w, u,
           k, v, a);
}

void K(wkv_bwd)(real *dw, real *du, real *dk, real *dv, const real *dy, const real *y,
                const real *norm, const real *w, const real *u, const real *k, const real *v,
                real *, int runs, int batch, int time, int cols) {
    const Wkv a = wkv_of(batch, time, cols);
    const bool sums = dw || du, rows = dk || dv;
    Scratch scratch;
    float *sum = sums ? scratch.take<float>((size_t)runs * batch * 2 * cols) : nullptr;
    LAUNCH(average_back, dim3((unsigned)(a.blocks * runs * batch), (unsigned)(sums + rows)),
           dim3(WKV_THREADS), 0, sum, dk, dv, dy, y, norm, w, u, k, v, a);
    fold_launch(dw, du, {sum, runs, batch, cols, cols});
}
