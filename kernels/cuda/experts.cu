/* experts.cu - swiglu layers that tokens choose among; see kernels.def.
 *
 * Places (a token and one of its choices) are sorted by expert (sort.cuh). A plan on the device
 * cuts the sorted list into tiles of 64 places of one expert; their number is bounded by the
 * shapes, so the grid is that bound and blocks past the last tile leave at once. Products of rows
 * read the rows of x or dy where they lie, through the list; the second layer makes silu(a) b while
 * it loads and leaves its rows by place, and a last launch adds the K rows of a token in order of
 * choice. Weight gradients sum over the places of an expert, in order, a block per tile of an
 * expert's matrix. Every element is one chain of fused multiply-adds over its inner index, so
 * results do not depend on tiles or on other runs. Cost 6 K C N flops per token forward, 12
 * backward; 7 launches forward, 11 backward, 2 more where h is rounded. Blocks of 256 threads
 * compute 64 x 64, 4 x 4 each, in steps of 16; one buffer of shared memory, the next step is in
 * registers meanwhile. Plain float, no tensor cores. */
#include "gemm.cuh"
#include "sort.cuh"

#include "kernels/core/work.h"

namespace {
enum { EDGE = 64, DEPTH = 16, PITCH = EDGE + 4, THREADS = 256, WARPS = 4 };
constexpr size_t SHARED = 2 * DEPTH * PITCH * sizeof(float);

/* What a launch needs to know of the grouping. start [R, experts + 1]: places of an expert in the
 * sorted list; tile [R, tiles, 2]: expert (-1: none) and first place. */
struct Groups {
    const int *order, *start, *tile;
    long places;
    int top, experts, tiles;
};

/* A block per run, a thread per expert. */
__global__ void __launch_bounds__(MOST_EXPERTS)
    plan_tiles(int *start, int *tile, const int *sorted, long places, int experts, int tiles) {
    DYN_SHARED(int, count); /* [experts]: tiles of each */
    const int e = (int)threadIdx.x;
    const long r = blockIdx.x;
    sorted += r * places;
    start += r * (experts + 1);
    tile += r * tiles * 2;
    long bound[2]; /* the first places with an expert of at least e, e + 1 */
    for (int i = 0; i < 2; i++) {
        long low = 0, high = places;
        while (low < high) {
            const long middle = (low + high) / 2;
            if (sorted[middle] < e + i)
                low = middle + 1;
            else
                high = middle;
        }
        bound[i] = low;
    }
    if (e < experts) {
        start[e] = (int)bound[0];
        count[e] = (int)((bound[1] - bound[0] + EDGE - 1) / EDGE);
        if (e == experts - 1) start[experts] = (int)places;
    }
    __syncthreads();
    if (e >= experts) return;
    int at = 0;
    for (int k = 0; k < e; k++) at += count[k];
    for (int k = 0; k < count[e]; k++) {
        tile[2 * (at + k)] = e;
        tile[2 * (at + k) + 1] = (int)bound[0] + k * EDGE;
    }
    if (e == experts - 1)
        for (int k = at + count[e]; k < tiles; k++) tile[2 * k] = -1;
}

/* One side of a product, a row for each sorted place; `gather`: the row of the place's token. */
struct Lines {
    const float *p;
    const float *gate; /* NULL, or the element is silu(gate) p */
    long row, run;
    bool gather, vector;
};

__device__ inline float4 four_of(const Lines &a, const float *base, long at, int n) {
    float4 v = quad_load(base + at, 1, n, a.vector);
    if (!a.gate) return v;
    const float4 g = quad_load(a.gate + (base - a.p) + at, 1, n, a.vector);
    v.x *= g.x / (1 + expf(-g.x)), v.y *= g.y / (1 + expf(-g.y));
    v.z *= g.z / (1 + expf(-g.z)), v.w *= g.w / (1 + expf(-g.w));
    return v;
}

/* s[k][line] of a quad along k, or along lines. */
__device__ inline void put_along_k(float *s, int k, int line, const float4 &v) {
    s[k * PITCH + line] = v.x, s[(k + 1) * PITCH + line] = v.y;
    s[(k + 2) * PITCH + line] = v.z, s[(k + 3) * PITCH + line] = v.w;
}

__device__ inline void put_across(float *s, int k, int line, const float4 &v) {
    *(float4 *)(s + k * PITCH + line) = v;
}

/* sum += a b over one step; a thread owns rows 4 y .., columns 4 x ... */
__device__ inline void step(float (&sum)[4][4], const float *a, const float *b, int y, int x) {
#ifdef __CUDACC__
#    pragma unroll
#endif
    for (int k = 0; k < DEPTH; k++) {
        const float4 u = *(const float4 *)(a + k * PITCH + 4 * y);
        const float4 v = *(const float4 *)(b + k * PITCH + 4 * x);
        const float left[4] = {u.x, u.y, u.z, u.w}, right[4] = {v.x, v.y, v.z, v.w};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
    }
}

/* c (+)= a w_e for the places of every expert: w [R, experts, in, out], or [R, experts, out, in]
 * read as its transpose. c [R, places, out], by sorted place, or by place where `scatter`. */
struct RowsJob {
    Lines a;
    const float *w;
    float *c;
    long c_run;
    int in, out;
    bool w_vector, scatter, accumulate;
};

template <bool TRANSPOSED>
__global__ void __launch_bounds__(THREADS) multiply_rows(Groups g, RowsJob j) {
    DYN_SHARED(float, as); /* [DEPTH, PITCH], then the same of w */
    float *bs = as + DEPTH * PITCH;
    const int t = (int)threadIdx.x, col0 = (int)blockIdx.y * EDGE;
    const long r = blockIdx.z;
    const int *tile = g.tile + (r * g.tiles + blockIdx.x) * 2;
    const int e = tile[0];
    if (e < 0) return;
    const int first = tile[1], end = g.start[r * (g.experts + 1) + e + 1];
    const int *order = g.order + r * g.places;

    const int line = t / 4, k4 = t % 4 * 4, place = first + line;
    const bool here = place < end;
    const long row = !here ? 0 : j.a.gather ? order[place] / g.top : place;
    const float *a = j.a.p + r * j.a.run + row * j.a.row;
    const float *w = j.w + (r * g.experts + e) * (long)j.in * j.out;
    const int wk = TRANSPOSED ? k4 : t / 16, wn = TRANSPOSED ? line : t % 16 * 4;
    const int n_here = j.out - col0 - wn; /* columns from this thread's on */
    const long w_at = TRANSPOSED ? (long)(col0 + wn) * j.in + wk : (long)wk * j.out + col0 + wn;
    float sum[4][4] = {};
    float4 u = four_of(j.a, a, k4, here ? j.in - k4 : 0);
    float4 v =
        quad_load(w + w_at, 1, TRANSPOSED ? (n_here > 0 ? j.in - wk : 0) : (wk < j.in ? n_here : 0),
                  j.w_vector);
    for (int k0 = 0; k0 < j.in; k0 += DEPTH) {
        __syncthreads();
        put_along_k(as, k4, line, u);
        if (TRANSPOSED)
            put_along_k(bs, wk, wn, v);
        else
            put_across(bs, wk, wn, v);
        __syncthreads();
        const int k = k0 + DEPTH, left = j.in - k - wk;
        if (k < j.in) {
            u = four_of(j.a, a, k + k4, here ? j.in - k - k4 : 0);
            v = quad_load(w + w_at + (TRANSPOSED ? (long)k : (long)k * j.out), 1,
                          TRANSPOSED ? (n_here > 0 ? left : 0) : (left > 0 ? n_here : 0),
                          j.w_vector);
        }
        step(sum, as, bs, t / 16, t % 16);
    }
    for (int i = 0; i < 4; i++) {
        const int p = first + t / 16 * 4 + i;
        if (p >= end) continue;
        float *c = j.c + r * j.c_run + (long)(j.scatter ? order[p] : p) * j.out;
        for (int l = 0; l < 4; l++) {
            const int col = col0 + t % 16 * 4 + l;
            if (col < j.out) c[col] = j.accumulate ? c[col] + sum[i][l] : sum[i][l];
        }
    }
}

/* c[e] += a_e^T b_e over the places of e, c [R, experts, rows, cols]. */
struct WeightsJob {
    Lines a, b;
    float *c;
    int rows, cols;
};

__global__ void __launch_bounds__(THREADS) multiply_weights(Groups g, WeightsJob j) {
    DYN_SHARED(float, as); /* [DEPTH, PITCH], then the same of b */
    float *bs = as + DEPTH * PITCH;
    const int across = (j.cols + EDGE - 1) / EDGE, e = (int)blockIdx.y;
    const int row0 = (int)blockIdx.x / across * EDGE, col0 = (int)blockIdx.x % across * EDGE;
    const long r = blockIdx.z;
    const int *start = g.start + r * (g.experts + 1) + e, *order = g.order + r * g.places;
    const int first = start[0], end = start[1];
    if (first == end) return;
    const int t = (int)threadIdx.x, k = t / 16, at = t % 16 * 4;
    const float *a = j.a.p + r * j.a.run, *b = j.b.p + r * j.b.run;
    float sum[4][4] = {};
    float4 u = {}, v = {};
    for (int p0 = first - DEPTH; p0 < end; p0 += DEPTH) {
        if (p0 >= first) {
            __syncthreads();
            put_across(as, k, at, u);
            put_across(bs, k, at, v);
            __syncthreads();
        }
        const int p = p0 + DEPTH + k;
        if (p0 + DEPTH < end) {
            const bool here = p < end;
            const long token = here ? order[p] / g.top : 0;
            u = four_of(j.a, a, (j.a.gather ? token : p) * j.a.row + row0 + at,
                        here ? j.rows - row0 - at : 0);
            v = four_of(j.b, b, (j.b.gather ? token : p) * j.b.row + col0 + at,
                        here ? j.cols - col0 - at : 0);
        }
        if (p0 >= first) step(sum, as, bs, t / 16, t % 16);
    }
    float *c = j.c + (r * g.experts + e) * (long)j.rows * j.cols;
    for (int i = 0; i < 4; i++)
        for (int l = 0; l < 4; l++) {
            const int row = row0 + t / 16 * 4 + i, col = col0 + t % 16 * 4 + l;
            if (row < j.rows && col < j.cols) c[(long)row * j.cols + col] += sum[i][l];
        }
}

/* y[i] (+)= sum_k weight_ik part_ik; weight NULL: all 1. A thread per channel of a token. */
template <bool ADD>
__global__ void __launch_bounds__(THREADS)
    add_choices(float *y, const float *part, const float *weight, long tokens, int top, int cols) {
    const long u = (long)blockIdx.x * THREADS + threadIdx.x, i = u / cols, c = u % cols;
    if (i >= tokens) return;
    float sum = 0;
    for (long k = i * top; k < (i + 1) * top; k++)
        sum = fmaf(weight ? weight[k] : 1, part[k * cols + c], sum);
    y[u] = ADD ? y[u] + sum : sum;
}

/* h = silu(a) b of every place, before it is rounded. */
__global__ void __launch_bounds__(THREADS)
    activate(float *h, const float *kept, long places, int inner) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x, r = blockIdx.y, n = places * inner;
    if (i >= n) return;
    const float a = kept[2 * r * n + i], b = kept[(2 * r + 1) * n + i];
    h[r * n + i] = b * (a / (1 + expf(-a)));
}

/* From dh (in da) of each place: h times the weight, da, db, and the gradient of the weight.
 * ROUNDED: h is given, else it is made here. */
template <bool ROUNDED>
__global__ void __launch_bounds__(WARPS *WARP)
    activation_back(float *h, float *da, float *db, float *dweight, const float *kept,
                    const float *weight, Groups g, int inner) {
    const long p = (long)blockIdx.x * WARPS + threadIdx.x / WARP, r = blockIdx.y;
    if (p >= g.places) return;
    const long place = r * g.places + g.order[r * g.places + p], at = (r * g.places + p) * inner;
    const float *a = kept + (2 * r * g.places + p) * inner, *b = a + g.places * inner;
    const float w = weight[place];
    float sum = 0;
    for (int i = threadIdx.x % WARP; i < inner; i += WARP) {
        const float s = 1 / (1 + expf(-a[i])), act = a[i] * s, dh = da[at + i];
        sum = ROUNDED ? fmaf(dh, h[at + i], sum) : fmaf(dh * act, b[i], sum);
        h[at + i] = ROUNDED ? w * h[at + i] : w * act * b[i];
        da[at + i] = w * dh * b[i] * s * (1 + a[i] * (1 - s));
        db[at + i] = w * dh * act;
    }
    sum = warp_sum(sum);
    if (dweight && threadIdx.x % WARP == 0) dweight[place] += sum;
}

Groups group(Scratch &scratch, const int *choice, int runs, long rows, int top, int experts) {
    const long places = rows * top;
    const Sorted list = sort_launch(scratch, choice, runs, places, experts);
    const int most = (int)(places / EDGE) + (places < experts ? (int)places : experts);
    int *start = scratch.take<int>((size_t)runs * (size_t)(experts + 1));
    int *tile = scratch.take<int>((size_t)runs * (size_t)most * 2);
    LAUNCH(plan_tiles, dim3((unsigned)runs), dim3(MOST_EXPERTS), (size_t)experts * sizeof(int),
           start, tile, list.id, places, experts, most);
    return {list.order, start, tile, places, top, experts, most};
}

/* Rows of a buffer whose runs are `run` apart. */
Lines lines_of(const float *p, long run, int cols, bool gather) {
    return {p, nullptr, cols, run, gather, cols % 4 == 0 && is_vector(p)};
}

void rows_launch(const Groups &g, RowsJob j, int runs, bool transposed) {
    j.w_vector = (transposed ? j.in : j.out) % 4 == 0 && is_vector(j.w);
    const dim3 grid((unsigned)g.tiles, blocks_of(j.out, EDGE), (unsigned)runs);
    if (transposed)
        LAUNCH((multiply_rows<true>), grid, dim3(THREADS), SHARED, g, j);
    else
        LAUNCH((multiply_rows<false>), grid, dim3(THREADS), SHARED, g, j);
}

void weights_launch(const Groups &g, const WeightsJob &j, int runs) {
    if (!j.c) return;
    const dim3 grid(blocks_of(j.rows, EDGE) * blocks_of(j.cols, EDGE), (unsigned)g.experts,
                    (unsigned)runs);
    LAUNCH(multiply_weights, grid, dim3(THREADS), SHARED, g, j);
}

/* h [R, places, inner] in 8 bits per place. */
void rounded_launch(float *h, const float *kept, int runs, long places, int inner, double eps) {
    LAUNCH(activate, dim3(blocks_of(places * inner, THREADS), (unsigned)runs), dim3(THREADS), 0, h,
           kept, places, inner);
    K(quant8_fwd)(h, h, runs * places, inner, eps);
}
} // namespace

void K(experts_fwd)(real *y, real *kept, const real *x, const real *weight, const int *choice,
                    const real *wg, const real *w1, const real *w2, real *work, int runs, int rows,
                    int top, int experts, int cols, int inner, double eps) {
    (void)work;
    Scratch scratch;
    const Groups g = group(scratch, choice, runs, rows, top, experts);
    const long tokens = (long)runs * rows, kept_run = 2 * g.places * inner;
    float *part = scratch.take<float>((size_t)(tokens * top * cols)); /* [R, places, cols] */
    float *b = kept + g.places * inner;

    const Lines tokens_of_x = lines_of(x, (long)rows * cols, cols, true);
    RowsJob up = {tokens_of_x, wg, kept, kept_run, cols, inner, false, false, false};
    rows_launch(g, up, runs, false);
    up.w = w1, up.c = b;
    rows_launch(g, up, runs, false);

    RowsJob down = {lines_of(b, kept_run, inner, false),
                    w2,
                    part,
                    g.places * cols,
                    inner,
                    cols,
                    false,
                    true,
                    false};
    if (eps > 0) {
        float *h = scratch.take<float>((size_t)(runs * g.places * inner));
        rounded_launch(h, kept, runs, g.places, inner, eps);
        down.a = lines_of(h, g.places * inner, inner, false);
    } else {
        down.a.gate = kept;
        down.a.vector = down.a.vector && is_vector(kept);
    }
    rows_launch(g, down, runs, false);
    LAUNCH((add_choices<false>), dim3(blocks_of(tokens * cols, THREADS)), dim3(THREADS), 0, y, part,
           weight, tokens, top, cols);
}

void K(experts_bwd)(real *dx, real *dweight, real *dwg, real *dw1, real *dw2, const real *dy,
                    const real *kept, const real *x, const real *weight, const int *choice,
                    const real *wg, const real *w1, const real *w2, real *work, int runs, int rows,
                    int top, int experts, int cols, int inner, double eps) {
    (void)work;
    if (!dx && !dweight && !dwg && !dw1 && !dw2) return;
    Scratch scratch;
    const Groups g = group(scratch, choice, runs, rows, top, experts);
    const long tokens = (long)runs * rows, x_run = (long)rows * cols, h_run = g.places * inner;
    const size_t n = (size_t)(runs * h_run);
    float *h = scratch.take<float>(n), *da = scratch.take<float>(n), *db = scratch.take<float>(n);

    RowsJob back = {
        lines_of(dy, x_run, cols, true), w2, da, h_run, cols, inner, false, false, false};
    rows_launch(g, back, runs, true);
    const dim3 grid(blocks_of(g.places, WARPS), (unsigned)runs);
    if (eps > 0) {
        rounded_launch(h, kept, runs, g.places, inner, eps);
        LAUNCH((activation_back<true>), grid, dim3(WARPS * WARP), 0, h, da, db, dweight, kept,
               weight, g, inner);
    } else {
        LAUNCH((activation_back<false>), grid, dim3(WARPS * WARP), 0, h, da, db, dweight, kept,
               weight, g, inner);
    }

    const Lines x_rows = lines_of(x, x_run, cols, true),
                da_rows = lines_of(da, h_run, inner, false),
                db_rows = lines_of(db, h_run, inner, false);
    weights_launch(g, {lines_of(h, h_run, inner, false), back.a, dw2, inner, cols}, runs);
    weights_launch(g, {x_rows, da_rows, dwg, cols, inner}, runs);
    weights_launch(g, {x_rows, db_rows, dw1, cols, inner}, runs);

    if (!dx) return;
    float *part = scratch.take<float>((size_t)(tokens * top * cols)); /* [R, places, cols] */
    RowsJob down = {da_rows, wg, part, g.places * cols, inner, cols, false, true, false};
    rows_launch(g, down, runs, true);
    down.a = db_rows, down.w = w1, down.accumulate = true;
    rows_launch(g, down, runs, true);
    LAUNCH((add_choices<true>), dim3(blocks_of(tokens * cols, THREADS)), dim3(THREADS), 0, dx, part,
           (const float *)nullptr, tokens, top, cols);
}
