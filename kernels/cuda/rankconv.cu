/* rankconv.cu - convolution with taps of low rank; see kernels.def. Taps and their gradients live
 * in registers and shared memory only; `work` is not used.
 *
 * Filter: a thread has one channel and ROWS rows of a sequence. For each lag it makes its rows'
 * taps, one load of u (lanes are channels) and ROWS broadcasts of z per code, then applies them. u
 * comes from L2 once per ROWS rows, 16 of them to keep that below the traffic of x and y. dx is the
 * same with time reversed: the rows of z are those the lag reaches, so they are loaded per lag.
 *
 * dz: a product [rows, W C] x [W C, E] whose left factor dy x is made while it is loaded; a block
 * has DZ_ROWS x CODES of it, a thread 4 x 2. Nothing is split, so nothing is left to fold.
 *
 * du, dw: a thread has one channel, one lag and CODES codes over a slab of rows: 2 loads feed 17
 * multiply-adds. Slabs leave partial sums, [E + 1, W, C] each, at most MOST_SLABS of them, which
 * fold.cuh adds in order. Everything is cut by the shape of one run.
 * Cost 2 W (E + 1) per element forward, three times that backward: arithmetic bounds it from E = 16
 * on. */
#include "fold.cuh"

namespace {
enum { LANES = 128, ROWS = 16, CODES = 16, HELD = 64 };
enum { DZ_ROWS = 32, DZ_COLS = 32, DZ_THREADS = 64, DZ_A = DZ_ROWS + 4, DZ_U = CODES + 4 };
enum { SLAB = 64, MOST_SLABS = 32, AT_ONCE = 32 };

struct rank_shape {
    long batch, time, cols, width, rank, dilation;
};

__device__ long smaller(long a, long b) { return a < b ? a : b; }

/* y = (w + z u) * x; BACK: y += the same towards later tokens, x being dy.
 * Grid (sequences of a run * tiles of rows * channel blocks, R). */
template <bool BACK>
__global__ void __launch_bounds__(LANES) rank_filter(float *y, const float *x, const float *z,
                                                     const float *u, const float *w, rank_shape s) {
    DYN_SHARED(float, code); /* [HELD, ROWS]: z transposed */
    const long lane_blocks = (s.cols + blockDim.x - 1) / blockDim.x;
    const long tiles = (s.time + ROWS - 1) / ROWS;
    const long c = blockIdx.x % lane_blocks * blockDim.x + threadIdx.x;
    const long t0 = blockIdx.x / lane_blocks % tiles * ROWS;
    const long row0 = (blockIdx.y * s.batch + blockIdx.x / lane_blocks / tiles) * s.time + t0;
    const long all = s.width * s.cols;
    const bool there = c < s.cols;
    u += blockIdx.y * s.rank * all + c, w += blockIdx.y * all + c;
    x += row0 * s.cols + c, y += row0 * s.cols + c, z += row0 * s.rank;
    float sum[ROWS];
    for (int r = 0; r < ROWS; r++) sum[r] = BACK && there && t0 + r < s.time ? y[r * s.cols] : 0;
    for (long e0 = 0; e0 < s.rank; e0 += HELD) {
        const long codes = smaller(s.rank - e0, HELD);
        for (long k = 0; k < s.width; k++) {
            const long reach = (BACK ? k : -k) * s.dilation, shift = BACK ? reach : 0;
            if (t0 + shift >= s.time) break; /* and so for all later lags */
            if (BACK || !k) {
                __syncthreads();
                for (long i = threadIdx.x; i < codes * ROWS; i += blockDim.x) {
                    const long r = i / codes, e = i % codes; /* neighbours read one row of z */
                    const bool have = t0 + r + shift < s.time;
                    code[e * ROWS + r] = have ? z[(r + shift) * s.rank + e0 + e] : 0;
                }
                __syncthreads();
            }
            if (!there) continue;
            float tap[ROWS];
            const float start = e0 ? 0 : w[k * s.cols];
            for (int r = 0; r < ROWS; r++) tap[r] = start;
            const float *from = u + e0 * all + k * s.cols;
            for (long e = 0; e < codes; e++) {
                const float v = from[e * all];
                for (int r = 0; r < ROWS; r++) tap[r] = fmaf(code[e * ROWS + r], v, tap[r]);
            }
            for (int r = 0; r < ROWS; r++) {
                const long t = t0 + r + reach;
                if (t0 + r < s.time && t >= 0 && t < s.time)
                    sum[r] = fmaf(tap[r], x[(r + reach) * s.cols], sum[r]);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        if (there && t0 + r < s.time) y[r * s.cols] = sum[r];
}

/* dz[t,e] += sum over k, c of dy[t,c] x[t - k dilation,c] u[e,k,c].
 * Grid (sequences of a run * tiles of rows * tiles of codes, R). */
__global__ void __launch_bounds__(DZ_THREADS)
    rank_codes(float *dz, const float *dy, const float *x, const float *u, rank_shape s) {
    DYN_SHARED(float, left);              /* [DZ_COLS, DZ_A] of dy x */
    float *right = left + DZ_COLS * DZ_A; /* [DZ_COLS, DZ_U] of u */
    const long code_tiles = (s.rank + CODES - 1) / CODES, tiles = (s.time + DZ_ROWS - 1) / DZ_ROWS;
    const long e0 = blockIdx.x % code_tiles * CODES, t0 = blockIdx.x / code_tiles % tiles * DZ_ROWS;
    const long row0 = (blockIdx.y * s.batch + blockIdx.x / code_tiles / tiles) * s.time + t0;
    const int lane = threadIdx.x % DZ_COLS, high = threadIdx.x / DZ_COLS;
    const int r0 = (int)threadIdx.x % (DZ_ROWS / 4) * 4, f0 = (int)threadIdx.x / (DZ_ROWS / 4) * 2;
    u += (blockIdx.y * s.rank + e0) * s.width * s.cols;
    dy += row0 * s.cols, x += row0 * s.cols, dz += row0 * s.rank + e0;
    float sum[4][2] = {};
    for (long k = 0; k < s.width; k++) {
        const long back = k * s.dilation;
        if (t0 + DZ_ROWS <= back) break;
        for (long c0 = 0; c0 < s.cols; c0 += DZ_COLS) {
            const long c = c0 + lane;
            __syncthreads();
            for (int r = high; r < DZ_ROWS; r += DZ_THREADS / DZ_COLS) {
                const bool have = c < s.cols && t0 + r < s.time && t0 + r >= back;
                left[lane * DZ_A + r] = have ? dy[r * s.cols + c] * x[(r - back) * s.cols + c] : 0;
            }
            for (int e = high; e < CODES; e += DZ_THREADS / DZ_COLS)
                right[lane * DZ_U + e] =
                    c < s.cols && e0 + e < s.rank ? u[(e * s.width + k) * s.cols + c] : 0;
            __syncthreads();
            const int depth = (int)smaller(DZ_COLS, s.cols - c0);
            for (int j = 0; j < depth; j++)
                for (int r = 0; r < 4; r++)
                    for (int f = 0; f < 2; f++)
                        sum[r][f] =
                            fmaf(left[j * DZ_A + r0 + r], right[j * DZ_U + f0 + f], sum[r][f]);
        }
    }
    for (int r = 0; r < 4; r++)
        for (int f = 0; f < 2; f++)
            if (t0 + r0 + r < s.time && e0 + f0 + f < s.rank)
                dz[(r0 + r) * s.rank + f0 + f] += sum[r][f];
}

/* part[r,slab] = [E + 1, W, C]: z^T (dy x) over the rows of the slab, last the sums of dy x.
 * Grid (slabs * tiles of codes * lags * channel blocks, R). */
__global__ void __launch_bounds__(LANES)
    rank_taps(float *part, const float *dy, const float *x, const float *z, rank_shape s, long slab,
              long slabs) {
    DYN_SHARED(float, code); /* [AT_ONCE, CODES] of z */
    const long lane_blocks = (s.cols + blockDim.x - 1) / blockDim.x;
    const long code_tiles = (s.rank + CODES - 1) / CODES, rows = s.batch * s.time;
    long block = blockIdx.x;
    const long c = block % lane_blocks * blockDim.x + threadIdx.x;
    const long k = (block /= lane_blocks) % s.width, e0 = (block /= s.width) % code_tiles * CODES;
    const long mine = block / code_tiles, end = smaller((mine + 1) * slab, rows);
    const long back = k * s.dilation, all = s.width * s.cols;
    dy += blockIdx.y * rows * s.cols + c, x += blockIdx.y * rows * s.cols + c;
    z += blockIdx.y * rows * s.rank + e0;
    float sum[CODES] = {}, total = 0;
    for (long i0 = mine * slab; i0 < end; i0 += AT_ONCE) {
        const int n = (int)smaller(AT_ONCE, end - i0);
        __syncthreads();
        for (int i = (int)threadIdx.x; i < n * CODES; i += (int)blockDim.x)
            code[i] = e0 + i % CODES < s.rank ? z[(i0 + i / CODES) * s.rank + i % CODES] : 0;
        __syncthreads();
        long t = i0 % s.time;
        for (int i = 0; i < n; i++) {
            if (c < s.cols && t >= back) {
                const float d = dy[(i0 + i) * s.cols] * x[(i0 + i - back) * s.cols];
                total += d;
                for (int e = 0; e < CODES; e++) sum[e] = fmaf(code[i * CODES + e], d, sum[e]);
            }
            if (++t == s.time) t = 0;
        }
    }
    if (c >= s.cols) return;
    part += (blockIdx.y * slabs + mine) * (s.rank + 1) * all + k * s.cols + c;
    for (int e = 0; e < CODES; e++)
        if (e0 + e < s.rank) part[(e0 + e) * all] = sum[e];
    if (!e0) part[s.rank * all] = total;
}

unsigned lanes_of(const rank_shape &s) {
    return s.cols < LANES ? (unsigned)((s.cols + 31) / 32 * 32) : (unsigned)LANES;
}

template <bool BACK>
void filter_launch(float *y, const float *x, const float *z, const float *u, const float *w,
                   int runs, const rank_shape &s) {
    const unsigned lanes = lanes_of(s);
    const size_t held = (size_t)(s.rank < HELD ? s.rank : (long)HELD);
    const long blocks = s.batch * ((s.time + ROWS - 1) / ROWS) * blocks_of(s.cols, lanes);
    LAUNCH(rank_filter<BACK>, dim3((unsigned)blocks, (unsigned)runs), dim3(lanes),
           held * ROWS * sizeof(float), y, x, z, u, w, s);
}
} // namespace

void K(rankconv_fwd)(real *y, const real *x, const real *z, const real *u, const real *w, real *,
                     int runs, int batch, int time, int cols, int width, int rank, int dilation) {
    const rank_shape s = {batch, time, cols, width, rank, dilation};
    filter_launch<false>(y, x, z, u, w, runs, s);
}

void K(rankconv_bwd)(real *dx, real *dz, real *du, real *dw, const real *dy, const real *x,
                     const real *z, const real *u, const real *w, real *, int runs, int batch,
                     int time, int cols, int width, int rank, int dilation) {
    const rank_shape s = {batch, time, cols, width, rank, dilation};
    const long code_tiles = (s.rank + CODES - 1) / CODES, rows = s.batch * s.time;
    if (dx) filter_launch<true>(dx, dy, z, u, w, runs, s);
    if (dz) {
        const long blocks = s.batch * ((s.time + DZ_ROWS - 1) / DZ_ROWS) * code_tiles;
        LAUNCH(rank_codes, dim3((unsigned)blocks, (unsigned)runs), dim3(DZ_THREADS),
               DZ_COLS * (DZ_A + DZ_U) * sizeof(float), dz, dy, x, u, s);
    }
    if (!du && !dw) return;
    const long least = (rows + MOST_SLABS - 1) / MOST_SLABS, all = s.width * s.cols;
    const long slab = least > SLAB ? least : (long)SLAB, slabs = (rows + slab - 1) / slab;
    const unsigned lanes = lanes_of(s);
    Scratch scratch;
    float *part = scratch.take<float>((size_t)(runs * slabs * (s.rank + 1) * all));
    const long blocks = slabs * code_tiles * s.width * blocks_of(s.cols, lanes);
    LAUNCH(rank_taps, dim3((unsigned)blocks, (unsigned)runs), dim3(lanes),
           AT_ONCE * CODES * sizeof(float), part, dy, x, z, s, slab, slabs);
    fold_launch(du, dw, {part, runs, slabs, s.rank * all, all});
}
