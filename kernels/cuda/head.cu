/* head.cu - logits and cross-entropy at scored positions; the contract is in kernels.def.
 *
 * Which rows are scored is known to the device only, and a launcher must not ask. So the scored
 * rows of each run are listed first, then taken in chunks whose size and number follow from the
 * shape of a run; what a chunk lacks, its kernels skip. Per chunk:
 *
 *   gather    xs = rows of x, zero where there are none   2 C floats of traffic per row
 *   product   z = xs w^T
 *   softmax   nll, pred; in training z becomes dz = scale (softmax - onehot)
 *   product   dxs = dz w, added to the rows of dx it came from
 *   product   dw += dz^T xs
 *
 * Chunks hold 4 Mi logits (16 MiB per run), but 256 rows at least, or products would not fill a
 * GPU: 64 MiB for a vocabulary of 65536. Recall tasks of up to 128 words have one chunk: 4
 * launches forward, 8 in training. Softmax reads a row of z twice and writes it once: largest logit
 * and sum of exponentials go together (Milakov and Gimelshein 2018), and an exponential taken twice
 * costs less than one stored and read. A warp per row up to 1024 words, else a block.
 *
 * Forward and backward launch the same kernels, so nll and pred are the same to the bit. Rows of a
 * chunk past the last scored one are zero in xs and dz: cuBLAS multiplies them, gemm.cu does not.
 * Cost per scored row: 2 C V flops forward, 6 C V backward. */
#include "gemm.cuh"
#include "reduce.cuh"

#include <math.h>

namespace {

enum { THREADS = 256, COPY_LANES = 16, COPY_ROWS = THREADS / COPY_LANES };
constexpr int LIST = EMULATED ? 64 : 1024;

/* Launched for each chunk; what is stated per run is that of run 0. */
typedef struct chunk {
    int runs, rows, cols, vocab;
    int most;        /* rows of a chunk: the run strides of xs and z */
    int n;           /* rows of this one, scored or not */
    const int *list; /* [R, rows]: the scored rows in order, from the first of this chunk on */
    const int *used; /* [R]: how many of the n rows there are */
    float *xs;       /* [R, most, cols] */
    float *z;        /* [R, most, vocab] */
} chunk;

/* list [R, rows]: scored rows; used [chunks, R]: how many of them are in each chunk. Unscored rows
 * get their nll and pred. A block covers LIST rows and counts all rows before its own, which costs
 * less than a second launch. */
__global__ void __launch_bounds__(LIST)
    list_scored(float *nll, int *pred, int *list, int *used, const int *label, int rows, int most) {
    DYN_SHARED(int, part); /* per warp */
    const long run = blockIdx.y;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int first = blockIdx.x * LIST, i = first + threadIdx.x;
    label += run * rows;
    int before = 0;
    for (int k = threadIdx.x; k < first; k += LIST) before += label[k] >= 0;
    before = block_sum(before, part);

    const bool scored = i < rows && label[i] >= 0;
    int sum = scored; /* of the lanes up to this one */
    for (int o = 1; o < WARP; o *= 2) {
        const int v = __shfl_up_sync(ALL_LANES, sum, o);
        if (lane >= o) sum += v;
    }
    if (lane == WARP - 1) part[warp] = sum;
    __syncthreads();
    int at = before + sum - 1, total = before;
    for (int w = 0; w < LIST / WARP; w++) {
        if (w < warp) at += part[w];
        total += part[w];
    }
    if (scored) {
        list[run * rows + at] = i;
    } else if (i < rows) {
        nll[run * rows + i] = 0;
        pred[run * rows + i] = -1;
    }
    if (blockIdx.x + 1 < gridDim.x) return;
    for (int c = threadIdx.x; (long)c * most < rows; c += LIST) {
        const int left = total - c * most;
        used[(long)c * gridDim.y + run] = left < 0 ? 0 : left < most ? left : most;
    }
}

/* Stores v where quad_load would have read it. */
__device__ inline void quad_put(float *p, float4 v, long stride, int n, bool vector) {
    if (vector && n >= 4) {
        *(float4 *)p = v;
        return;
    }
    if (n > 0) p[0] = v.x;
    if (n > 1) p[stride] = v.y;
    if (n > 2) p[2 * stride] = v.z;
    if (n > 3) p[3 * stride] = v.w;
}

/* xs = listed rows of x, zeros below them. Block: COPY_LANES quads of columns, COPY_ROWS rows. */
__global__ void __launch_bounds__(THREADS) rows_gather(const chunk h, const float *x, bool vector) {
    const long run = blockIdx.y, j = (long)blockIdx.x * COPY_ROWS + threadIdx.y;
    if (j >= h.n) return;
    const bool is_used = j < h.used[run];
    const long row = is_used ? h.list[run * h.rows + j] : 0;
    const float *from = x + (run * h.rows + row) * h.cols;
    float *to = h.xs + (run * h.most + j) * h.cols;
    for (int c = threadIdx.x * 4; c < h.cols; c += COPY_LANES * 4)
        quad_put(to + c, quad_load(from + c, 1, is_used ? h.cols - c : 0, vector), 1, h.cols - c,
                 vector);
}

/* Listed rows of dx += dxs [R, most, cols]. */
__global__ void __launch_bounds__(THREADS)
    rows_scatter(float *dx, const chunk h, const float *dxs, bool vector) {
    const long run = blockIdx.y, j = (long)blockIdx.x * COPY_ROWS + threadIdx.y;
    if (j >= h.n || j >= h.used[run]) return;
    const float *from = dxs + (run * h.most + j) * h.cols;
    float *to = dx + (run * h.rows + h.list[run * h.rows + j]) * h.cols;
    for (int c = threadIdx.x * 4; c < h.cols; c += COPY_LANES * 4) {
        float4 v = quad_load(to + c, 1, h.cols - c, vector);
        const float4 d = quad_load(from + c, 1, h.cols - c, vector);
        v.x += d.x, v.y += d.y, v.z += d.z, v.w += d.w;
        quad_put(to + c, v, 1, h.cols - c, vector);
    }
}

/* What is known of a part of a row of logits. */
struct Part {
    float top; /* the largest */
    float sum; /* of exp(z - top) */
    int best;  /* first word with the largest; INT32_MAX: none is above -infinity */
};

/* exp(z - top) for z <= top; of infinities, too, that are equal. */
__device__ inline float power(float z, float top) { return z == top ? 1.0f : expf(z - top); }

__device__ inline Part join(Part a, Part b) {
    const float top = b.top > a.top ? b.top : a.top;
    Part p;
    p.top = top;
    p.sum = a.sum * power(a.top, top) + b.sum * power(b.top, top);
    p.best = a.top == b.top ? (a.best < b.best ? a.best : b.best) : a.top == top ? a.best : b.best;
    return p;
}

__device__ inline void part_add(Part *p, float4 quad, int word, int stride, int n) {
    const float z[4] = {quad.x, quad.y, quad.z, quad.w}, old = p->top;
    for (int i = 0; i < 4; i++)
        if (i < n && z[i] > p->top) p->top = z[i], p->best = word + i * stride;
    p->sum *= power(old, p->top);
    for (int i = 0; i < 4; i++)
        if (i < n) p->sum += power(z[i], p->top);
}

/* nll and pred of every row of the chunk; where scale [R] is given, z becomes its gradient. LANES
 * threads share a row: a warp takes 128 words at a time, its lanes side by side; a block takes
 * quads. One kernel with and without scale, so that there is one order of all sums. */
template <int LANES>
__global__ void __launch_bounds__(THREADS)
    rows_softmax(float *nll, int *pred, const chunk h, const int *label, const float *scale,
                 bool vector) {
    constexpr int STRIDE = LANES == WARP ? WARP : 1, STEP = 4 * LANES;
    DYN_SHARED(Part, parts); /* per warp; not of a warp alone */
    const int t = threadIdx.x % LANES, vocab = h.vocab;
    const long run = blockIdx.y, j = (long)blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES;
    if (j >= h.n) return;
    const int first = STRIDE == 1 ? 4 * t : t;
    float *z = h.z + (run * h.most + j) * vocab;
    if (j >= h.used[run]) {
        for (int v = first; scale && v < vocab; v += STEP)
            quad_put(z + v, make_float4(0, 0, 0, 0), STRIDE, (vocab - v + STRIDE - 1) / STRIDE,
                     vector);
        return;
    }
    const long row = run * h.rows + h.list[run * h.rows + j];
    const int target = label[row];
    const float hit = z[target];

    Part p;
    p.top = -INFINITY, p.sum = 0, p.best = INT32_MAX;
    for (int v = first; v < vocab; v += STEP) {
        const int n = (vocab - v + STRIDE - 1) / STRIDE;
        part_add(&p, quad_load(z + v, STRIDE, n, vector), v, STRIDE, n);
    }
    for (int o = WARP / 2; o; o /= 2) {
        Part q;
        q.top = __shfl_xor_sync(ALL_LANES, p.top, o);
        q.sum = __shfl_xor_sync(ALL_LANES, p.sum, o);
        q.best = __shfl_xor_sync(ALL_LANES, p.best, o);
        p = join(p, q);
    }
    if (LANES == WARP) { /* join rounds its two sides differently, so one lane speaks for all */
        p.sum = __shfl_sync(ALL_LANES, p.sum, 0);
        __syncwarp(); /* all have read z[target], which one of them overwrites below */
    } else {
        if (t % WARP == 0) parts[t / WARP] = p;
        __syncthreads();
        p = parts[0];
        for (int w = 1; w < LANES / WARP; w++) p = join(p, parts[w]);
    }
    if (t == 0) {
        nll[row] = logf(p.sum) + (p.top - hit);
        pred[row] = p.best == INT32_MAX ? 0 : p.best;
    }
    if (!scale) return;
    const float weight = scale[run], factor = weight / p.sum;
    for (int v = first; v < vocab; v += STEP) {
        const int n = (vocab - v + STRIDE - 1) / STRIDE;
        const float4 q = quad_load(z + v, STRIDE, n, vector);
        float d[4] = {q.x, q.y, q.z, q.w};
        for (int i = 0; i < 4; i++) {
            d[i] = power(d[i], p.top) * factor;
            if (v + i * STRIDE == target) d[i] -= weight;
        }
        quad_put(z + v, make_float4(d[0], d[1], d[2], d[3]), STRIDE, n, vector);
    }
}

void gather_launch(const chunk &h, const float *x) {
    const bool vector = is_vector(x) && h.cols % 4 == 0;
    LAUNCH(rows_gather, dim3(blocks_of(h.n, COPY_ROWS), (unsigned)h.runs),
           dim3(COPY_LANES, COPY_ROWS), 0, h, x, vector);
}

void scatter_launch(float *dx, const chunk &h, const float *dxs) {
    const bool vector = is_vector(dx) && h.cols % 4 == 0;
    LAUNCH(rows_scatter, dim3(blocks_of(h.n, COPY_ROWS), (unsigned)h.runs),
           dim3(COPY_LANES, COPY_ROWS), 0, dx, h, dxs, vector);
}

void softmax_launch(float *nll, int *pred, const chunk &h, const int *label, const float *scale) {
    const int warp_words = EMULATED ? 256 : 1024;
    if (h.vocab <= warp_words)
        LAUNCH(rows_softmax<WARP>, dim3(blocks_of(h.n, THREADS / WARP), (unsigned)h.runs),
               dim3(THREADS), 0, nll, pred, h, label, scale, false);
    else
        LAUNCH(rows_softmax<THREADS>, dim3((unsigned)h.n, (unsigned)h.runs), dim3(THREADS),
               THREADS / WARP * sizeof(Part), nll, pred, h, label, scale, h.vocab % 4 == 0);
}

/* The three products of a chunk; w, dw [R, vocab, cols]. */
void logits_launch(const chunk &h, const float *w) { /* z = xs w^T */
    product p = {};
    p.runs = h.runs, p.rows = h.n, p.cols = h.vocab, p.inner = h.cols, p.used_rows = h.used;
    p.a = h.xs, p.a_run = (long)h.most * h.cols, p.a_row = h.cols, p.a_col = 1;
    p.b = w, p.b_run = (long)h.vocab * h.cols, p.b_row = 1, p.b_col = h.cols;
    p.c = h.z, p.c_run = (long)h.most * h.vocab, p.c_row = h.vocab;
    gemm_launch(p);
}

void dx_launch(float *dxs, const chunk &h, const float *w) { /* dxs = dz w */
    product p = {};
    p.runs = h.runs, p.rows = h.n, p.cols = h.cols, p.inner = h.vocab, p.used_rows = h.used;
    p.a = h.z, p.a_run = (long)h.most * h.vocab, p.a_row = h.vocab, p.a_col = 1;
    p.b = w, p.b_run = (long)h.vocab * h.cols, p.b_row = h.cols, p.b_col = 1;
    p.c = dxs, p.c_run = (long)h.most * h.cols, p.c_row = h.cols;
    gemm_launch(p);
}

void dw_launch(float *dw, const chunk &h) { /* dw += dz^T xs */
    product p = {};
    p.runs = h.runs, p.rows = h.vocab, p.cols = h.cols, p.inner = h.n, p.used_inner = h.used;
    p.a = h.z, p.a_run = (long)h.most * h.vocab, p.a_row = 1, p.a_col = h.vocab;
    p.b = h.xs, p.b_run = (long)h.most * h.cols, p.b_row = h.cols, p.b_col = 1;
    p.c = dw, p.c_run = (long)h.vocab * h.cols, p.c_row = h.cols, p.accumulate = true;
    gemm_launch(p);
}

/* Rows of a chunk. */
int chunk_rows(int rows, int vocab) {
    const long logits = EMULATED ? 4096 : 4L << 20, fewest = EMULATED ? 16 : 256;
    const long most = logits / vocab / fewest * fewest;
    return (int)(rows < fewest || rows < most ? rows : most < fewest ? fewest : most);
}

/* scale NULL: forward; dx and dw may be NULL. */
void head(float *nll, int *pred, float *dx, float *dw, const float *x, const float *w,
          const int *label, const float *scale, int runs, int rows, int cols, int vocab) {
    const int most = chunk_rows(rows, vocab), chunks = (rows + most - 1) / most;
    const size_t per_chunk = (size_t)runs * (size_t)most;
    Scratch scratch;
    int *list = scratch.take<int>((size_t)runs * (size_t)rows);
    int *used = scratch.take<int>((size_t)runs * (size_t)chunks);
    chunk h = {};
    h.runs = runs, h.rows = rows, h.cols = cols, h.vocab = vocab, h.most = most;
    h.xs = scratch.take<float>(per_chunk * (size_t)cols);
    h.z = scratch.take<float>(per_chunk * (size_t)vocab);
    float *dxs = dx ? scratch.take<float>(per_chunk * (size_t)cols) : nullptr;
    LAUNCH(list_scored, dim3(blocks_of(rows, LIST), (unsigned)runs), dim3(LIST),
           LIST / WARP * sizeof(int), nll, pred, list, used, label, rows, most);
    for (int c = 0; c < chunks; c++) {
        h.n = rows - c * most < most ? rows - c * most : most;
        h.list = list + c * most;
        h.used = used + (long)c * runs;
        gather_launch(h, x);
        logits_launch(h, w);
        softmax_launch(nll, pred, h, label, dx || dw ? scale : nullptr);
        if (dx) dx_launch(dxs, h, w);
        if (dx) scatter_launch(dx, h, dxs);
        if (dw) dw_launch(dw, h);
    }
}

} // namespace

void K(head_fwd)(real *nll, int *pred, const real *x, const real *w, const int *label, real *work,
                 int runs, int rows, int cols, int vocab) {
    (void)work;
    head(nll, pred, nullptr, nullptr, x, w, label, nullptr, runs, rows, cols, vocab);
}

void K(head_bwd)(real *nll, int *pred, real *dx, real *dw, const real *x, const real *w,
                 const int *label, const real *scale, real *work, int runs, int rows, int cols,
                 int vocab) {
    (void)work;
    head(nll, pred, dx, dw, x, w, label, scale, runs, rows, cols, vocab);
}
