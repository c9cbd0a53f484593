/* mixconv.cu - convolution that mixes heads; see kernels.def.
 *
 * A point is one channel of a head at one time; its heads out are a matrix [H, W H] times the heads
 * in at W times. A thread has HEADS heads of POINTS points in registers; weights pass through
 * shared memory, PAIRS (lag, head in) at a time, so that 4 loads of x and 2 of weights feed 32
 * multiply-adds. x is read H / HEADS times, W lags of it from the caches. dx is the same with time
 * reversed and the matrices transposed.
 *
 * dw: a block has TILE x TILE heads of one lag and a slab of points, sums over its points, and
 * leaves one partial sum per weight; fold.cuh adds the slabs in order. Slabs depend on the points
 * of one run only. Cost 2 W H per element forward, twice that backward: arithmetic bounds it. */
#include "fold.cuh"
#include "gemm.cuh"
#include "reduce.cuh"

namespace {
enum { THREADS = 128, POINTS = 4, HEADS = 8, TILE = 4, MOST_SLABS = 64 };
enum { PAIRS = EMULATED ? 16 : 512, SLAB = EMULATED ? 256 : 2048 };

struct mix_shape {
    long batch, time, heads, dim, width, dilation;
    long points, head_tiles; /* of one run; of HEADS heads */
};

/* y[p,o] = sum over pairs (k, i) of w[k,o,i] x[p - k dilation,i]; BACK: y += the same with
 * w[k,i,o] and p + k dilation. Grid (blocks of points * head tiles, R). */
template <bool BACK>
__global__ void __launch_bounds__(THREADS)
    mix_filter(float *y, const float *x, const float *w, mix_shape s) {
    DYN_SHARED(float, weight); /* [PAIRS, HEADS] */
    const long cols = s.heads * s.dim, pairs = s.width * s.heads;
    const long o0 = blockIdx.x % s.head_tiles * HEADS, block = blockIdx.x / s.head_tiles;
    x += blockIdx.y * s.points * s.heads, y += blockIdx.y * s.points * s.heads;
    w += blockIdx.y * pairs * s.heads;
    float sum[POINTS][HEADS] = {};
    long at[POINTS], t[POINTS];
    bool there[POINTS];
    for (int n = 0; n < POINTS; n++) {
        const long p = (block * POINTS + n) * THREADS + threadIdx.x, row = p / s.dim;
        there[n] = p < s.points;
        at[n] = row * cols + p % s.dim;
        t[n] = row % s.time;
    }
    for (long p0 = 0; p0 < pairs; p0 += PAIRS) {
        const long n_pairs = pairs - p0 < PAIRS ? pairs - p0 : (long)PAIRS;
        __syncthreads();
        for (long e = threadIdx.x; e < n_pairs * HEADS; e += THREADS) {
            const long o = o0 + e % HEADS, k = (p0 + e / HEADS) / s.heads,
                       i = (p0 + e / HEADS) % s.heads;
            const long from =
                BACK ? (k * s.heads + i) * s.heads + o : (k * s.heads + o) * s.heads + i;
            weight[e] = o < s.heads ? w[from] : 0;
        }
        __syncthreads();
        long k = p0 / s.heads, i = p0 % s.heads;
        for (long pair = 0; pair < n_pairs; pair++) {
            const long reach = (BACK ? k : -k) * s.dilation;
            for (int n = 0; n < POINTS; n++) {
                const long to = t[n] + reach;
                if (!there[n] || to < 0 || to >= s.time) continue;
                const float v = x[at[n] + reach * cols + i * s.dim];
                for (int h = 0; h < HEADS; h++)
                    sum[n][h] = fmaf(weight[pair * HEADS + h], v, sum[n][h]);
            }
            if (++i == s.heads) i = 0, k++;
        }
    }
    for (int n = 0; n < POINTS; n++)
        for (int h = 0; h < HEADS; h++) {
            if (!there[n] || o0 + h >= s.heads) continue;
            float *out = y + at[n] + (o0 + h) * s.dim;
            *out = BACK ? *out + sum[n][h] : sum[n][h];
        }
}

/* part[r,slab,k,h,j] = sum over the slab's points of dy[p,h] x[p - k dilation,j].
 * Grid (slabs * lags * tiles of h * tiles of j, R). */
__global__ void __launch_bounds__(THREADS)
    mix_taps(float *part, const float *dy, const float *x, mix_shape s, long slab, long slabs) {
    DYN_SHARED(float, warps); /* [THREADS / WARP, TILE TILE] */
    const long cols = s.heads * s.dim, tiles = (s.heads + TILE - 1) / TILE;
    long block = blockIdx.x;
    const long j0 = block % tiles * TILE, h0 = (block /= tiles) % tiles * TILE,
               k = (block /= tiles) % s.width, mine = block / s.width;
    const long end = (mine + 1) * slab < s.points ? (mine + 1) * slab : s.points;
    const long back = k * s.dilation;
    dy += blockIdx.y * s.points * s.heads, x += blockIdx.y * s.points * s.heads;
    float sum[TILE][TILE] = {};
    for (long p = mine * slab + threadIdx.x; p < end; p += THREADS) {
        const long row = p / s.dim, at = row * cols + p % s.dim;
        if (row % s.time < back) continue;
        float a[TILE], b[TILE];
        for (int h = 0; h < TILE; h++) a[h] = h0 + h < s.heads ? dy[at + (h0 + h) * s.dim] : 0;
        for (int j = 0; j < TILE; j++)
            b[j] = j0 + j < s.heads ? x[at - back * cols + (j0 + j) * s.dim] : 0;
        for (int h = 0; h < TILE; h++)
            for (int j = 0; j < TILE; j++) sum[h][j] = fmaf(a[h], b[j], sum[h][j]);
    }
    for (int h = 0; h < TILE; h++)
        for (int j = 0; j < TILE; j++) {
            const float v = warp_sum(sum[h][j]);
            if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP * TILE * TILE + h * TILE + j] = v;
        }
    __syncthreads();
    const long h = h0 + threadIdx.x / TILE, j = j0 + threadIdx.x % TILE;
    if (threadIdx.x >= TILE * TILE || h >= s.heads || j >= s.heads) return;
    float v = 0;
    for (int warp = 0; warp < THREADS / WARP; warp++) v += warps[warp * TILE * TILE + threadIdx.x];
    part[((blockIdx.y * slabs + mine) * s.width + k) * s.heads * s.heads + h * s.heads + j] = v;
}

template <bool BACK>
void filter_launch(float *y, const float *x, const float *w, int runs, const mix_shape &s) {
    const long pairs = s.width * s.heads, held = pairs < PAIRS ? pairs : (long)PAIRS;
    const dim3 grid(blocks_of(s.points, THREADS * POINTS) * (unsigned)s.head_tiles, (unsigned)runs);
    LAUNCH(mix_filter<BACK>, grid, dim3(THREADS), (size_t)held * HEADS * sizeof(float), y, x, w, s);
}

mix_shape shape_of(int batch, int time, int heads, int dim, int width, int dilation) {
    return {batch,
            time,
            heads,
            dim,
            width,
            dilation,
            (long)batch * time * dim,
            (heads + HEADS - 1) / HEADS};
}
} // namespace

void K(mixconv_fwd)(real *y, const real *x, const real *w, real *, int runs, int batch, int time,
                    int heads, int dim, int width, int dilation) {
    filter_launch<false>(y, x, w, runs, shape_of(batch, time, heads, dim, width, dilation));
}

void K(mixconv_bwd)(real *dx, real *dw, const real *dy, const real *x, const real *w, real *,
                    int runs, int batch, int time, int heads, int dim, int width, int dilation) {
    const mix_shape s = shape_of(batch, time, heads, dim, width, dilation);
    if (dx) filter_launch<true>(dx, dy, w, runs, s);
    if (!dw) return;
    const long least = (s.points + MOST_SLABS - 1) / MOST_SLABS;
    const long slab = least > SLAB ? least : (long)SLAB, slabs = (s.points + slab - 1) / slab;
    const long tiles = (s.heads + TILE - 1) / TILE, all = s.width * s.heads * s.heads;
    Scratch scratch;
    float *part = scratch.take<float>((size_t)(runs * slabs * all));
    LAUNCH(mix_taps, dim3((unsigned)(slabs * s.width * tiles * tiles), (unsigned)runs),
           dim3(THREADS), THREADS / WARP * TILE * TILE * sizeof(float), part, dy, x, s, slab,
           slabs);
    fold_launch(dw, nullptr, {part, runs, slabs, all, 0});
}
