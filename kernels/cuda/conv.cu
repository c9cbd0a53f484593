/* conv.cu - causal convolution along time, per channel or per group of channels; see kernels.def.
 *
 * Dilation is only a stride: times of one phase (t mod dilation) form a dense sequence whose rows
 * are dilation * cols apart. Sequences are cut into pieces; lanes of a warp are channels, a thread
 * keeps the rows it reads again in registers. dx is the same filter on the reversed sequence, where
 * dw[k] = sum_q x[q] dy[q-k] needs the very rows of dy that dx needs. A lag that reaches before the
 * start is left out: no term is multiplied by a made-up zero.
 *
 * Widths 2, 3, 4 and 8 are templates: a thread slides over a piece of 8 to 32 rows and 4 channels
 * (1 where cols is no multiple of 4), with the taps and the last rows in registers. Forward moves
 * 2 floats per element, backward, dx and dw and dbias at once, 4 (dx is read and written); the
 * width - 1 rows that neighbouring pieces share come from L1 or L2.
 *
 * Other widths: 16 rows x 8 lags of products in registers, 16 loads for 128 multiply-adds, so that
 * width 64 is bound by arithmetic, not by L1; x is read once from memory. dw: 8 rows x 16 lags,
 * one thread per 16 lags. A width just above a multiple of 8 pays for the full 8.
 *
 * dw and dbias leave one row of [width + 1, cols] partial sums per block, added in order by
 * fold.cuh: for width 4 and 2048 channels 2 % of the traffic, 8 % where problems are small. Wide
 * filters leave them per piece of 32 to 512 rows, at least 2 width, and read dy once more than
 * narrow ones: for width 64 another 5 to 20 %. Filters as long as the sequence leave them for
 * several pieces at once: at most as much as x, 1/2 of that at 64 channels and length 4096. Pieces
 * follow from the shape of one run only: the longest that still give ENOUGH threads. Cost 2 width
 * flops per element forward, 4 width backward; lags that reach before the start cost nothing. */
#include "fold.cuh"
#include "reduce.cuh"

namespace {

enum { THREADS = 128, ENOUGH = 16384, PLENTY = 16 * ENOUGH };

struct conv_shape {
    int runs, batch, time, cols, width, groups, dilation;
};

/* How a kernel cuts the work: block (lanes, segments), grid (lane blocks * segment blocks, R). */
struct conv_cut {
    long phases, pieces, chunk; /* per batch element; per phase; rows */
    unsigned lanes, lane_blocks;
    unsigned segment_blocks;
};

/* Part of one sequence. Row q is at first + q * stride, for q in [0, end); this part starts at q =
 * from and has no more rows than `end` says. */
struct Piece {
    long first, stride;
    int from, end;
};

__device__ Piece piece_at(const conv_shape &s, const conv_cut &cut, long index, bool reversed) {
    const long piece = index % cut.pieces, phase = index / cut.pieces % cut.phases;
    const long b = index / cut.pieces / cut.phases;
    if (b >= s.batch) return {0, 0, 0, 0};
    const int rows = (int)((s.time - phase + s.dilation - 1) / s.dilation);
    const long row = (blockIdx.y * (long)s.batch + b) * s.time + phase;
    const long stride = (long)s.dilation * s.cols;
    const int from = (int)(piece * cut.chunk);
    const int end = from + cut.chunk < rows ? (int)(from + cut.chunk) : rows;
    if (reversed) return {row * s.cols + (rows - 1) * stride, -stride, from, end};
    return {row * s.cols, stride, from, end};
}

template <int V> struct Channels { float v[V]; };

template <int V> __device__ Channels<V> load(const float *p, bool vector) {
    Channels<V> c;
    if (V == 4 && vector) {
        const float4 q = *(const float4 *)p;
        c.v[0] = q.x, c.v[1 % V] = q.y, c.v[2 % V] = q.z, c.v[3 % V] = q.w;
    } else {
        for (int i = 0; i < V; i++) c.v[i] = p[i];
    }
    return c;
}

template <int V> __device__ void store(float *p, const Channels<V> &c, bool vector) {
    if (V == 4 && vector)
        *(float4 *)p = make_float4(c.v[0], c.v[1 % V], c.v[2 % V], c.v[3 % V]);
    else
        for (int i = 0; i < V; i++) p[i] = c.v[i];
}

template <int V> __device__ void add_product(Channels<V> &sum, Channels<V> a, Channels<V> b) {
    for (int i = 0; i < V; i++) sum.v[i] = fmaf(a.v[i], b.v[i], sum.v[i]);
}

/* Taps of the channels from c on. */
template <int W, int V>
__device__ void load_taps(Channels<V> (&tap)[W], const float *w, const conv_shape &s, int c) {
    const int share = s.cols / s.groups;
    const float *from = w + (long)blockIdx.y * W * s.groups;
    for (int i = 0; i < V; i++) {
        const int group = (c + i) / share;
        for (int k = 0; k < W; k++) tap[k].v[i] = from[k * s.groups + group];
    }
}

/* First channel of this thread; may be beyond the last. */
template <int V> __device__ int channel_of(const conv_cut &cut) {
    return (int)(blockIdx.x % cut.lane_blocks * cut.lanes + threadIdx.x) * V;
}
__device__ long segment_of(const conv_cut &cut) {
    return (long)(blockIdx.x / cut.lane_blocks) * blockDim.y + threadIdx.y;
}

/* ---- narrow filters ---------------------------------------------------------------------- */

enum { TILE = 4 }; /* rows whose loads are under way together */

template <int W, int V>
__global__ void __launch_bounds__(THREADS)
    narrow_forward(float *__restrict__ y, const float *__restrict__ x, const float *__restrict__ w,
                   const float *__restrict__ bias, conv_shape s, conv_cut cut, bool vector) {
    const int c = channel_of<V>(cut);
    const Piece p = piece_at(s, cut, segment_of(cut), false);
    if (c >= s.cols || p.from >= p.end) return;
    x += p.first + c, y += p.first + c;
    Channels<V> tap[W], start = {}, row[W - 1 + TILE]; /* row[j]: q0 - (W - 1) + j */
    load_taps(tap, w, s, c);
    if (bias) start = load<V>(bias + (long)blockIdx.y * s.cols + c, false);
    for (int j = 0; j < W - 1; j++) {
        const int q = p.from - (W - 1) + j;
        row[j] = q >= 0 ? load<V>(x + q * p.stride, vector) : Channels<V>{};
    }
    for (int q0 = p.from; q0 < p.end; q0 += TILE) {
        for (int i = 0; i < TILE; i++)
            if (q0 + i < p.end) row[W - 1 + i] = load<V>(x + (q0 + i) * p.stride, vector);
        for (int i = 0; i < TILE; i++) {
            if (q0 + i >= p.end) break;
            Channels<V> sum = start;
            for (int k = 0; k < W; k++)
                if (i >= k || q0 + i >= k) add_product(sum, tap[k], row[W - 1 + i - k]);
            store(y + (q0 + i) * p.stride, sum, vector);
        }
        for (int j = 0; j < W - 1; j++) row[j] = row[j + TILE];
    }
}

/* part: [R, segment blocks, W + 1, cols], the last row for dbias; NULL: not wanted. dx NULL: not
 * wanted. Rows count from the end of the sequence. */
template <int W, int V>
__global__ void __launch_bounds__(THREADS)
    narrow_backward(float *__restrict__ dx, float *__restrict__ part, const float *__restrict__ dy,
                    const float *__restrict__ x, const float *__restrict__ w, conv_shape s,
                    conv_cut cut, bool vector) {
    DYN_SHARED(float, shared); /* [segments, W + 1, lanes * V] */
    const int c = channel_of<V>(cut);
    Piece p = piece_at(s, cut, segment_of(cut), true);
    if (c >= s.cols) p.end = p.from;                         /* others stay for the sums */
    Channels<V> tap[W], dtap[W + 1] = {}, row[W - 1 + TILE]; /* of dy, as in forward */
    const long at = p.first + c;
    if (p.from < p.end) load_taps(tap, w, s, c);
    for (int j = 0; j < W - 1; j++) {
        const int q = p.from - (W - 1) + j;
        row[j] = q >= 0 && p.from < p.end ? load<V>(dy + at + q * p.stride, vector) : Channels<V>{};
    }
    for (int q0 = p.from; q0 < p.end; q0 += TILE) {
        Channels<V> in[TILE], grad[TILE];
        for (int i = 0; i < TILE; i++) {
            if (q0 + i >= p.end) break;
            const long here = at + (q0 + i) * p.stride;
            row[W - 1 + i] = load<V>(dy + here, vector);
            in[i] = part ? load<V>(x + here, vector) : Channels<V>{};
            grad[i] = dx ? load<V>(dx + here, vector) : Channels<V>{};
        }
        for (int i = 0; i < TILE; i++) {
            if (q0 + i >= p.end) break;
            for (int k = 0; k < W; k++)
                if (i >= k || q0 + i >= k) {
                    add_product(grad[i], tap[k], row[W - 1 + i - k]);
                    add_product(dtap[k], in[i], row[W - 1 + i - k]);
                }
            for (int e = 0; e < V; e++) dtap[W].v[e] += row[W - 1 + i].v[e];
            if (dx) store(dx + at + (q0 + i) * p.stride, grad[i], vector);
        }
        for (int j = 0; j < W - 1; j++) row[j] = row[j + TILE];
    }
    if (!part) return;
    const int span = (int)cut.lanes * V, sums = (W + 1) * span;
    for (int k = 0; k <= W; k++)
        for (int e = 0; e < V; e++)
            shared[(threadIdx.y * (W + 1) + k) * span + threadIdx.x * V + e] = dtap[k].v[e];
    __syncthreads();
    const int c0 = (int)(blockIdx.x % cut.lane_blocks) * span;
    part +=
        ((long)blockIdx.y * cut.segment_blocks + blockIdx.x / cut.lane_blocks) * (W + 1) * s.cols;
    for (int e = (int)(threadIdx.y * cut.lanes + threadIdx.x); e < sums; e += THREADS) {
        if (c0 + e % span >= s.cols) continue;
        float sum = 0;
        for (unsigned j = 0; j < blockDim.y; j++) sum += shared[j * sums + e];
        part[e / span * s.cols + c0 + e % span] = sum;
    }
}

/* ---- wide filters ------------------------------------------------------------------------ */

enum { TILE_ROWS = 16, TILE_LAGS = 8, TAP_ROWS = 8, TAP_LAGS = 16, TAP_MOST = 512, TAP_LEAST = 32 };

/* sum[i] += w[k0 + g] row[i + TILE_LAGS - 1 - g] for the lags g of one tile. GUARD: some lag is
 * beyond the width or reaches before the start. */
template <bool GUARD>
__device__ void add_lags(float (&sum)[TILE_ROWS], const float (&row)[TILE_ROWS + TILE_LAGS - 1],
                         const float *w, int groups, int k0, int width, int q0) {
    for (int g = 0; g < TILE_LAGS; g++) {
        if (GUARD && k0 + g >= width) continue;
        const float tap = w[(long)(k0 + g) * groups];
        for (int i = 0; i < TILE_ROWS; i++)
            if (!GUARD || q0 + i >= k0 + g) sum[i] = fmaf(tap, row[i + TILE_LAGS - 1 - g], sum[i]);
    }
}

/* Forward, or with reversed time what is added to dx (y, from dy in x). */
__global__ void __launch_bounds__(THREADS)
    wide_filter(float *__restrict__ y, const float *__restrict__ x, const float *__restrict__ w,
                const float *__restrict__ bias, conv_shape s, conv_cut cut, bool reversed) {
    const int c = channel_of<1>(cut);
    const Piece p = piece_at(s, cut, segment_of(cut), reversed);
    if (c >= s.cols || p.from >= p.end) return;
    const int q0 = p.from;
    x += p.first + c, y += p.first + c;
    w += (long)blockIdx.y * s.width * s.groups + c / (s.cols / s.groups);
    float sum[TILE_ROWS], row[TILE_ROWS + TILE_LAGS - 1]; /* row[j]: q0 - k0 - (lags - 1) + j */
    const float start = bias ? bias[(long)blockIdx.y * s.cols + c] : 0;
    for (int i = 0; i < TILE_ROWS; i++)
        sum[i] = reversed && q0 + i < p.end ? y[(q0 + i) * p.stride] : start;
    for (int i = 0; i < TILE_ROWS - 1; i++)
        row[i] = q0 + i + 1 < p.end ? x[(q0 + i + 1) * p.stride] : 0;
    for (int k0 = 0; k0 < s.width && k0 < p.end; k0 += TILE_LAGS) {
        for (int j = TILE_ROWS + TILE_LAGS - 2; j >= TILE_LAGS; j--) row[j] = row[j - TILE_LAGS];
        for (int j = 0; j < TILE_LAGS; j++) {
            const int q = q0 - k0 - (TILE_LAGS - 1) + j;
            row[j] = q >= 0 ? x[q * p.stride] : 0;
        }
        if (k0 + TILE_LAGS <= s.width && q0 >= k0 + TILE_LAGS - 1)
            add_lags<false>(sum, row, w, s.groups, k0, s.width, q0);
        else
            add_lags<true>(sum, row, w, s.groups, k0, s.width, q0);
    }
    for (int i = 0; i < TILE_ROWS; i++)
        if (q0 + i < p.end) y[(q0 + i) * p.stride] = sum[i];
}

/* sum[g] += dy[i] row[i + TAP_LAGS - 1 - g]; row[j]: q0 - k0 - (lags - 1) + j. GUARD: some row is
 * beyond the end or before the start. */
template <bool GUARD>
__device__ void add_rows(float (&sum)[TAP_LAGS], const float (&dy)[TAP_ROWS],
                         const float (&row)[TAP_ROWS + TAP_LAGS - 1], int k0, int q0, int end) {
    const int lead = q0 - k0, left = end - q0;
    for (int i = 0; i < TAP_ROWS; i++) {
        if (GUARD && i >= left) continue;
        for (int g = 0; g < TAP_LAGS; g++)
            if (!GUARD || lead + i >= g) sum[g] = fmaf(dy[i], row[i + TAP_LAGS - 1 - g], sum[g]);
    }
}

/* part: [R, chunks, width + 1, cols], the last row for dbias; a chunk is `per` pieces. */
__global__ void __launch_bounds__(THREADS)
    wide_taps(float *__restrict__ part, const float *__restrict__ dy, const float *__restrict__ x,
              conv_shape s, conv_cut cut, long per, long chunks) {
    const int c = channel_of<1>(cut), lag_blocks = (s.width + TAP_LAGS - 1) / TAP_LAGS;
    const long segment = segment_of(cut) / lag_blocks;
    if (c >= s.cols || segment >= chunks) return;
    const int k0 = (int)(segment_of(cut) % lag_blocks) * TAP_LAGS;
    float sum[TAP_LAGS] = {}, total = 0, row[TAP_ROWS + TAP_LAGS - 1];
    for (long piece = segment * per; piece < (segment + 1) * per; piece++) {
        const Piece p = piece_at(s, cut, piece, false);
        const float *xp = x + p.first + c, *dyp = dy + p.first + c;
        const int from = p.from > k0 ? p.from : k0; /* no earlier row has one of these lags */
        for (int j = 0; j < TAP_LAGS - 1; j++) {
            const int q = from - k0 - (TAP_LAGS - 1) + j;
            row[j] = q >= 0 && q < p.end ? xp[q * p.stride] : 0;
        }
        for (int q0 = from; q0 < p.end; q0 += TAP_ROWS) {
            float dyi[TAP_ROWS];
            for (int i = 0; i < TAP_ROWS; i++) {
                const int q = q0 - k0 + i;
                dyi[i] = q0 + i < p.end ? dyp[(q0 + i) * p.stride] : 0;
                row[TAP_LAGS - 1 + i] = q < p.end ? xp[q * p.stride] : 0;
                total += dyi[i];
            }
            if (q0 + TAP_ROWS <= p.end && q0 >= k0 + TAP_LAGS - 1)
                add_rows<false>(sum, dyi, row, k0, q0, p.end);
            else
                add_rows<true>(sum, dyi, row, k0, q0, p.end);
            for (int j = 0; j < TAP_LAGS - 1; j++) row[j] = row[j + TAP_ROWS];
        }
    }
    part += ((long)blockIdx.y * chunks + segment) * (s.width + 1) * s.cols + c;
    for (int g = 0; g < TAP_LAGS; g++)
        if (k0 + g < s.width) part[(long)(k0 + g) * s.cols] = sum[g];
    if (k0 == 0) part[(long)s.width * s.cols] = total;
}

enum { GROUP_THREADS = 256, GROUP_FEW = 1024 };

/* dw[r,k,g] += sum over chunks and channels of group g; grid (width * groups, R). */
__global__ void __launch_bounds__(GROUP_THREADS)
    fold_groups(float *dw, const float *part, conv_shape s, long chunks) {
    DYN_SHARED(float, shared);
    const int share = s.cols / s.groups, k = (int)blockIdx.x / s.groups;
    const long size = (long)(s.width + 1) * s.cols;
    part += blockIdx.y * chunks * size + (long)k * s.cols + blockIdx.x % s.groups * share;
    float sum = 0;
    for (long e = threadIdx.x; e < chunks * share; e += blockDim.x)
        sum += part[e / share * size + e % share];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) dw[(long)blockIdx.y * s.width * s.groups + blockIdx.x] += sum;
}

/* ---- cutting ----------------------------------------------------------------------------- */

/* Work of `units` lanes and, per piece, `share` threads of each lane. */
conv_cut cut_of(const conv_shape &s, long units, long share, long most, long least) {
    conv_cut cut;
    cut.phases = s.dilation < s.time ? s.dilation : s.time;
    const long rows = ((long)s.time + s.dilation - 1) / s.dilation;
    const long sequences = s.batch * cut.phases;
    for (cut.chunk = most;; cut.chunk /= 2) {
        cut.pieces = blocks_of(rows, cut.chunk);
        if (cut.chunk <= least || sequences * cut.pieces * units * share >= ENOUGH) break;
    }
    /* a warp reads 128 bytes or more of a row; fewer lanes where that leaves fewer of them idle */
    for (cut.lanes = 1; cut.lanes < units && cut.lanes < WARP;) cut.lanes *= 2;
    while (cut.lanes > 8 && blocks_of(units, cut.lanes / 2) < 2 * blocks_of(units, cut.lanes))
        cut.lanes /= 2;
    cut.lane_blocks = blocks_of(units, cut.lanes);
    cut.segment_blocks = blocks_of(sequences * cut.pieces * share, THREADS / cut.lanes);
    return cut;
}

dim3 grid_of(const conv_shape &s, const conv_cut &cut) {
    return dim3(cut.lane_blocks * cut.segment_blocks, (unsigned)s.runs);
}
dim3 block_of(const conv_cut &cut) { return dim3(cut.lanes, THREADS / cut.lanes); }

enum { MOST_ROWS = 32, LEAST_ROWS = 2 * TILE };

template <int W, int V> struct Narrow {
    static conv_cut cut(const conv_shape &s) {
        return cut_of(s, s.cols / V, 1, MOST_ROWS, LEAST_ROWS);
    }
    static void forward(float *y, const float *x, const float *w, const float *bias,
                        const conv_shape &s) {
        const conv_cut c = cut(s);
        LAUNCH((narrow_forward<W, V>), grid_of(s, c), block_of(c), 0, y, x, w, bias, s, c,
               is_vector(y) && is_vector(x));
    }
    static long chunks(const conv_shape &s) { return cut(s).segment_blocks; }
    static void backward(float *dx, float *part, const float *dy, const float *x, const float *w,
                         const conv_shape &s) {
        const conv_cut c = cut(s);
        LAUNCH((narrow_backward<W, V>), grid_of(s, c), block_of(c),
               part ? (W + 1) * V * THREADS * sizeof(float) : 0, dx, part, dy, x, w, s, c,
               is_vector(dx) && is_vector(dy) && is_vector(x));
    }
};

struct Wide {
    static conv_cut tap_cut(const conv_shape &s) {
        const long least = 2 * s.width > TAP_LEAST ? 2 * s.width : TAP_LEAST;
        return cut_of(s, s.cols, blocks_of(s.width, TAP_LAGS), TAP_MOST, least);
    }
    /* Pieces of a chunk: more than one where partial sums would outgrow x, as the filter is
     * longer than pieces, or where lags and channels alone fill a GPU. */
    static long pieces_per_chunk(const conv_shape &s, const conv_cut &c) {
        const long least = blocks_of(s.width * c.pieces, blocks_of(s.time, s.dilation));
        const long threads = s.batch * c.phases * c.pieces * s.cols * blocks_of(s.width, TAP_LAGS);
        return threads / PLENTY > least ? threads / PLENTY : least;
    }
    static void filter(float *y, const float *x, const float *w, const float *bias,
                       const conv_shape &s, bool reversed) {
        const conv_cut c = cut_of(s, s.cols, 1, TILE_ROWS, TILE_ROWS);
        LAUNCH(wide_filter, grid_of(s, c), block_of(c), 0, y, x, w, bias, s, c, reversed);
    }
    static void forward(float *y, const float *x, const float *w, const float *bias,
                        const conv_shape &s) {
        filter(y, x, w, bias, s, false);
    }
    static long chunks(const conv_shape &s) {
        const conv_cut c = tap_cut(s);
        return blocks_of(s.batch * c.phases * c.pieces, pieces_per_chunk(s, c));
    }
    static void backward(float *dx, float *part, const float *dy, const float *x, const float *w,
                         const conv_shape &s) {
        if (dx) filter(dx, dy, w, NULL, s, true);
        if (!part) return;
        conv_cut c = tap_cut(s);
        c.segment_blocks = blocks_of(chunks(s) * blocks_of(s.width, TAP_LAGS), THREADS / c.lanes);
        LAUNCH(wide_taps, grid_of(s, c), block_of(c), 0, part, dy, x, s, c, pieces_per_chunk(s, c),
               chunks(s));
    }
};

struct conv_gradients {
    float *dx, *dw, *dbias;
    const float *dy;
};

template <class Kind>
void backward(const conv_gradients &g, const float *x, const float *w, const conv_shape &s) {
    const long chunks = Kind::chunks(s), taps = (long)s.width * s.cols;
    Scratch scratch;
    float *part = NULL;
    if (g.dw || g.dbias) part = scratch.take<float>((size_t)(s.runs * chunks * (taps + s.cols)));
    Kind::backward(g.dx, part, g.dy, x, w, s);
    const bool shared = s.groups < s.cols;
    fold_launch(shared ? NULL : g.dw, g.dbias, {part, s.runs, chunks, taps, s.cols});
    if (!g.dw || !shared) return;
    const unsigned threads = chunks * (s.cols / s.groups) > GROUP_FEW ? GROUP_THREADS : WARP;
    LAUNCH(fold_groups, dim3((unsigned)(s.width * s.groups), (unsigned)s.runs), dim3(threads),
           threads / WARP * sizeof(float), g.dw, part, s, chunks);
}

/* Calls use.run<Kind>() for the kind of kernel that fits the shape. */
template <int V, class Use> void with_width(const conv_shape &s, const Use &use) {
    switch (s.width) {
    case 2: use.template run<Narrow<2, V>>(); break;
    case 3: use.template run<Narrow<3, V>>(); break;
    case 4: use.template run<Narrow<4, V>>(); break;
    case 8: use.template run<Narrow<8, V>>(); break;
    default: use.template run<Wide>();
    }
}
template <class Use> void with_kind(const conv_shape &s, const Use &use) {
    if (s.cols % 4 == 0)
        with_width<4>(s, use);
    else
        with_width<1>(s, use);
}

struct ForwardUse {
    float *y;
    const float *x, *w, *bias;
    const conv_shape &s;
    template <class Kind> void run() const { Kind::forward(y, x, w, bias, s); }
};
struct BackwardUse {
    const conv_gradients &g;
    const float *x, *w;
    const conv_shape &s;
    template <class Kind> void run() const { backward<Kind>(g, x, w, s); }
};

} // namespace

void K(conv_fwd)(real *y, const real *x, const real *w, const real *bias, real *, int runs,
                 int batch, int time, int cols, int width, int groups, int dilation) {
    const conv_shape s = {runs, batch, time, cols, width, groups, dilation};
    with_kind(s, ForwardUse{y, x, w, bias, s});
}

void K(conv_bwd)(real *dx, real *dw, real *dbias, const real *dy, const real *x, const real *w,
                 real *, int runs, int batch, int time, int cols, int width, int groups,
                 int dilation) {
    const conv_shape s = {runs, batch, time, cols, width, groups, dilation};
    if (dx || dw || dbias) with_kind(s, BackwardUse{{dx, dw, dbias, dy}, x, w, s});
}
