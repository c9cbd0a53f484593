/* gemm.cu - c[r] (+)= a[r] b[r] (+ bias[r]) for all runs, any strides; see product in launch.h.
 *
 * Every element is one chain of fused multiply-adds over k, from 0 up, whatever the tile: tiles are
 * chosen for speed, with the number of runs, and do not reach the bits. Where c is small and inner
 * is long (a weight gradient sums over all positions of a batch) the chain is cut into parts,
 * whose number depends on the shape of one run; partials go to scratch and colsum.cu adds them in
 * order.
 *
 * A block computes a square tile of c. 16 columns of a and rows of b at a time go through registers
 * to shared memory, in two buffers, so that the next are fetched while these are used and there
 * is one barrier per 16 k. Both lie k-major there, [16, EDGE + 4]: a thread reads 4 neighbours at
 * once, the 32 threads of a warp (4 x 8) read 64 and 128 bytes, without bank conflicts.
 *
 *   tile       threads  per thread  shared    flops per byte of shared / of global memory
 *   128 x 128  256      8 x 8       33.0 KiB  2.0 / 16   large products, packs
 *    64 x 64   128      8 x 4       17.0 KiB  1.3 / 8    channels of 64, or too few large tiles
 *    32 x 32    64      4 x 4        9.0 KiB  1.0 / 4    one small run: many blocks, short ones
 *
 * Shared memory yields 128 bytes and arithmetic 256 flops a cycle, so the large tile keeps the
 * multipliers busy and the others come close. Global loads are float4 where strides and addresses
 * allow, along k or across, whichever is contiguous; else single floats by the same threads.
 * Blocks are numbered in bands of 8 tile rows, so that those at work together share their
 * operands in L2. Cost: 2 rows cols inner flops. Plain float, no tensor cores. */
#include "colsum.cuh"
#include "gemm.cuh"

#ifdef __CUDACC__
#    define UNROLL _Pragma("unroll")
#else
#    define UNROLL
#endif

namespace {

enum { DEPTH = 16, PAD = 4 };
constexpr unsigned BAND = 8;

/* EDGE x EDGE of c by threads that hold ROWS x COLS; FIT: blocks a multiprocessor should hold. */
template <int EDGE_, int ROWS_, int COLS_, int FIT_> struct Tile {
    static constexpr int EDGE = EDGE_, ROWS = ROWS_, COLS = COLS_, FIT = FIT_;
    static constexpr int THREADS = 2 * EDGE, PITCH = EDGE + PAD, BUFFER = DEPTH * PITCH;
    static constexpr size_t SHARED = 4 * BUFFER * sizeof(float);
    static_assert(EDGE / ROWS * (EDGE / COLS) == THREADS, "two quads of a and of b per thread");
};
typedef Tile<128, 8, 8, 2> Large;
typedef Tile<64, 8, 4, 4> Medium;
typedef Tile<32, 4, 4, 8> Small;

/* A product as its kernel sees it. */
typedef struct gemm_job {
    product p;
    int parts;                         /* of the chain over k */
    long c_part;                       /* from the c of one part to that of the next */
    bool a_vector, b_vector, c_vector; /* float4 allowed */
} gemm_job;

/* One operand on its way to shared memory: each thread carries two quads per step, 8 k apart.
 * ALONG: a quad is 4 k of one row; else 4 rows of one k ("rows" of b are its columns). */
template <class T, bool ALONG> struct Side {
    const float *p;
    long stride, skip; /* within a quad; to the second */
    int k, at, n;      /* of the quad: its first k, first row, and rows there are from it on */
    bool vector, full; /* float4 allowed; and none of the rows missing */
    float4 v[2];

    /* base: row 0 of the tile at the first k; rows: those that exist from there on. */
    __device__ Side(const float *base, long row_stride, long k_stride, int rows, bool vec) {
        const int t = threadIdx.x, across = T::EDGE / 4;
        k = ALONG ? t % 2 * 4 : t / across;
        at = ALONG ? t / 2 : t % across * 4;
        n = rows - at;
        p = base + at * row_stride + k * k_stride;
        stride = ALONG ? k_stride : row_stride;
        skip = DEPTH / 2 * k_stride;
        vector = vec;
        full = vec && n >= (ALONG ? 1 : 4);
    }
    /* Fetches the next step, of which k_left terms exist. */
    __device__ void load(int k_left) {
        if (full && k_left >= DEPTH) { /* away from edges one branch for all */
            v[0] = *(const float4 *)p;
            v[1] = *(const float4 *)(p + skip);
            p += 2 * skip;
            return;
        }
        UNROLL for (int h = 0; h < 2; h++) {
            const int left = k_left - k - h * (DEPTH / 2);
            v[h] = quad_load(p, stride, ALONG ? (n > 0 ? left : 0) : (left > 0 ? n : 0), vector);
            p += skip;
        }
    }
    /* s [DEPTH, PITCH]. Along k, a warp stores 16 rows of 2 quads: 32 different banks. */
    __device__ void store(float *s) const {
        UNROLL for (int h = 0; h < 2; h++) {
            float *to = s + (k + h * (DEPTH / 2)) * T::PITCH + at;
            if (!ALONG) {
                *(float4 *)to = v[h];
                continue;
            }
            to[0] = v[h].x;
            to[T::PITCH] = v[h].y;
            to[2 * T::PITCH] = v[h].z;
            to[3 * T::PITCH] = v[h].w;
        }
    }
};

/* N floats as quads SPAN / (N / 4) apart. */
template <int N, int SPAN> __device__ inline void fragment(float *v, const float *s) {
    UNROLL for (int g = 0; g < N / 4; g++) {
        const float4 q = *(const float4 *)(s + g * (SPAN * 4 / N));
        v[4 * g] = q.x, v[4 * g + 1] = q.y, v[4 * g + 2] = q.z, v[4 * g + 3] = q.w;
    }
}

/* Tile (row, col) of c that this block computes: down a band of BAND rows, then to the right. */
template <class T> __device__ inline void tile_place(int *row, int *col, int rows, int cols) {
    const unsigned down = (unsigned)(rows + T::EDGE - 1) / T::EDGE;
    const unsigned right = (unsigned)(cols + T::EDGE - 1) / T::EDGE;
    const unsigned first = blockIdx.x / (BAND * right) * BAND, at = blockIdx.x % (BAND * right);
    const unsigned height = down - first < BAND ? down - first : BAND;
    *row = (int)(first + at % height) * T::EDGE;
    *col = (int)(at / height) * T::EDGE;
}

/* Four neighbours of a row of c, of which n exist; bias: NULL or theirs. */
__device__ inline void quad_store(float *c, const float *sum, const float *bias, int n,
                                  bool accumulate, bool vector) {
    if (vector && n >= 4) {
        float4 v = make_float4(sum[0], sum[1], sum[2], sum[3]);
        if (accumulate) {
            const float4 old = *(const float4 *)c;
            v.x += old.x, v.y += old.y, v.z += old.z, v.w += old.w;
        }
        if (bias) v.x += bias[0], v.y += bias[1], v.z += bias[2], v.w += bias[3];
        *(float4 *)c = v;
        return;
    }
    UNROLL for (int j = 0; j < 4; j++) {
        if (j >= n) continue;
        float v = sum[j];
        if (accumulate) v += c[j];
        if (bias) v += bias[j];
        c[j] = v;
    }
}

/* Grid: tiles of c, parts, runs. */
template <class T, bool A_ALONG, bool B_ALONG>
__global__ void __launch_bounds__(T::THREADS, T::FIT) multiply(const gemm_job j) {
    constexpr int EDGE = T::EDGE, ROWS = T::ROWS, COLS = T::COLS, WARPS_ACROSS = EDGE / COLS / 8;
    DYN_SHARED(float, shared); /* two buffers of a, then two of b */
    const product &p = j.p;
    const long run = blockIdx.z;
    const int part = blockIdx.y;
    int row0, col0;
    tile_place<T>(&row0, &col0, p.rows, p.cols);
    int rows = p.rows, inner = p.inner;
    if (p.used_rows && p.used_rows[run] < rows) rows = p.used_rows[run];
    if (row0 >= rows) return;
    if (p.used_inner && p.used_inner[run] < inner) inner = p.used_inner[run];
    const int length = ((inner + j.parts - 1) / j.parts + DEPTH - 1) / DEPTH * DEPTH;
    const int from = part * length, to = inner - from < length ? inner : from + length;

    Side<T, A_ALONG> a(p.a + run * p.a_run + row0 * p.a_row + from * p.a_col, p.a_row, p.a_col,
                       rows - row0, j.a_vector);
    Side<T, B_ALONG> b(p.b + run * p.b_run + col0 * p.b_col + from * p.b_row, p.b_col, p.b_row,
                       p.cols - col0, j.b_vector);
    float *const a_tile = shared, *const b_tile = shared + 2 * T::BUFFER;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int y = (warp / WARPS_ACROSS * 4 + lane / 8) * 4; /* this thread's first row */
    const int x = (warp % WARPS_ACROSS * 8 + lane % 8) * 4; /* and column */
    float sum[ROWS][COLS] = {};

    a.load(to - from);
    b.load(to - from);
    a.store(a_tile);
    b.store(b_tile);
    __syncthreads();
    for (int k0 = from, buffer = 0; k0 < to; k0 += DEPTH, buffer = T::BUFFER - buffer) {
        const bool more = k0 + DEPTH < to;
        if (more) {
            a.load(to - k0 - DEPTH);
            b.load(to - k0 - DEPTH);
        }
        const float *as = a_tile + buffer + y, *bs = b_tile + buffer + x;
        UNROLL for (int k = 0; k < DEPTH; k++) {
            float av[ROWS], bv[COLS];
            fragment<ROWS, EDGE>(av, as + k * T::PITCH);
            fragment<COLS, EDGE>(bv, bs + k * T::PITCH);
            UNROLL for (int i = 0; i < ROWS; i++) {
                UNROLL for (int l = 0; l < COLS; l++) sum[i][l] = fmaf(av[i], bv[l], sum[i][l]);
            }
        }
        if (more) {
            a.store(a_tile + T::BUFFER - buffer);
            b.store(b_tile + T::BUFFER - buffer);
        }
        __syncthreads();
    }

    float *c = p.c + run * p.c_run + part * j.c_part;
    UNROLL for (int i = 0; i < ROWS; i++) {
        const int row = row0 + y + i / 4 * (EDGE * 4 / ROWS) + i % 4;
        if (row >= rows) continue;
        UNROLL for (int l = 0; l < COLS; l += 4) {
            const int col = col0 + x + l * (EDGE / COLS);
            if (col >= p.cols) continue;
            quad_store(c + row * p.c_row + col, sum[i] + l,
                       p.bias ? p.bias + run * p.cols + col : nullptr, p.cols - col, p.accumulate,
                       j.c_vector);
        }
    }
}

/* c[r,i,:] += bias[r,:], for a product that could not add it. Block: 32 quads of columns, 8 rows
 * of threads, each 4 rows of c. */
enum { BIAS_ROWS = 8, BIAS_EACH = 4, BIAS_COLS = 128 };
__global__ void __launch_bounds__(BIAS_ROWS * 32) bias_add(const product p, bool vector) {
    const int col = (blockIdx.y * 32 + threadIdx.x) * 4, n = p.cols - col;
    if (n <= 0) return;
    const float *bias = p.bias + (long)blockIdx.z * p.cols + col;
    for (int i = 0; i < BIAS_EACH; i++) {
        const long row = ((long)blockIdx.x * BIAS_EACH + i) * BIAS_ROWS + threadIdx.y;
        if (row < p.rows)
            quad_store(p.c + blockIdx.z * p.c_run + row * p.c_row + col, bias, nullptr, n, true,
                       vector);
    }
}

bool c_is_vector(const product &p) {
    return is_vector(p.c) && p.c_row % 4 == 0 && p.c_run % 4 == 0;
}

void bias_launch(const product &p) {
    const dim3 grid(blocks_of(p.rows, BIAS_ROWS * BIAS_EACH), blocks_of(p.cols, BIAS_COLS),
                    (unsigned)p.runs);
    LAUNCH(bias_add, grid, dim3(32, BIAS_ROWS), 0, p, c_is_vector(p));
}

/* Quads of an operand may be loaded at once; slow: its other stride. */
bool operand_is_vector(const float *p, long fast, long slow, long run) {
    return fast == 1 && slow % 4 == 0 && run % 4 == 0 && is_vector(p);
}

template <class T> unsigned tiles_of(const product &p) {
    return blocks_of(p.rows, T::EDGE) * blocks_of(p.cols, T::EDGE);
}

template <class T> void multiply_launch(const gemm_job &j, bool a_along, bool b_along) {
    const dim3 grid(tiles_of<T>(j.p), (unsigned)j.parts, (unsigned)j.p.runs), block(T::THREADS);
    if (a_along && b_along)
        LAUNCH((multiply<T, true, true>), grid, block, T::SHARED, j);
    else if (a_along)
        LAUNCH((multiply<T, true, false>), grid, block, T::SHARED, j);
    else if (b_along)
        LAUNCH((multiply<T, false, true>), grid, block, T::SHARED, j);
    else
        LAUNCH((multiply<T, false, false>), grid, block, T::SHARED, j);
}

/* Time of a product by tile T, in units of its own: rounds of one block per multiprocessor, times
 * the area of a tile over its share of the peak. An H100 has 132; another number costs speed, never
 * bits. */
template <class T> double time_of(const gemm_job &j, double share) {
    const long at_once = EMULATED ? 2 : 132;
    const long blocks = (long)tiles_of<T>(j.p) * j.parts * j.p.runs;
    return (double)((blocks + at_once - 1) / at_once) * T::EDGE * T::EDGE / share;
}

void multiply_any(gemm_job &j) {
    const product &p = j.p;
    const bool a_along = p.a_col == 1 || (p.a_row != 1 && p.a_col < p.a_row);
    const bool b_along = p.b_row == 1 || (p.b_col != 1 && p.b_row < p.b_col);
    j.a_vector =
        operand_is_vector(p.a, a_along ? p.a_col : p.a_row, a_along ? p.a_row : p.a_col, p.a_run);
    j.b_vector =
        operand_is_vector(p.b, b_along ? p.b_row : p.b_col, b_along ? p.b_col : p.b_row, p.b_run);
    j.c_vector = c_is_vector(p) && j.c_part % 4 == 0;
    const double large = time_of<Large>(j, 1.0), medium = time_of<Medium>(j, 0.75);
    const double small = time_of<Small>(j, 0.5);
    if (large <= medium && large <= small)
        multiply_launch<Large>(j, a_along, b_along);
    else if (medium <= small)
        multiply_launch<Medium>(j, a_along, b_along);
    else
        multiply_launch<Small>(j, a_along, b_along);
}

/* Parts of the chain over k: enough to occupy a GPU with one run, each of 128 terms or more; 3 at
 * least, as fewer do not earn a second launch. Partials take at most 4 MiB per run. */
int parts_of(const product &p) {
    enum { LENGTH = 128, ENOUGH_TILES = 256, MOST = 128, FEWEST = 3 };
    if (p.c_row != p.cols || (p.used_rows && p.accumulate)) return 1;
    const long tiles = tiles_of<Medium>(p);
    long parts = tiles ? (ENOUGH_TILES + tiles - 1) / tiles : 1;
    if (parts > p.inner / LENGTH) parts = p.inner / LENGTH;
    if (parts > MOST) parts = MOST;
    return parts < FEWEST ? 1 : (int)parts;
}

} // namespace

void gemm_launch(const product &p) {
    if (launch_blas(&p)) {
        if (p.bias) bias_launch(p);
        return;
    }
    gemm_job j = {};
    j.p = p;
    j.parts = parts_of(p);
    if (j.parts == 1) {
        multiply_any(j);
        return;
    }
    Scratch scratch;
    j.c_part = (long)p.rows * p.cols;
    j.p.c_run = j.parts * j.c_part;
    j.p.c = scratch.take<float>((size_t)(p.runs * j.p.c_run));
    j.p.accumulate = false;
    j.p.bias = nullptr;
    multiply_any(j);
    partials_launch(p.c, p.c_run, j.p.c, p.runs, j.parts, j.c_part, p.accumulate);
    if (p.bias) bias_launch(p);
}
