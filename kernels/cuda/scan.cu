/* scan.cu - selective scan; see kernels.def and cpu/scan.c for the formulas.
 *
 * A thread keeps STATES = 4 states of one channel in registers; LANES lanes share a channel, and
 * more states than 4 LANES take more sweeps over time. y and what dx and ddt need are sums over
 * those lanes.
 *
 * Backward: a sweep forwards leaves the state at every 8th token in scratch (N / 8 floats per
 * element of x); the one backwards computes the 8 tokens of a tile again, keeps their states and
 * decays in registers, and walks back through them. db and dc sum over channels: over the columns
 * of a warp by shuffles, the warps of a block and then the blocks in order. da and dd are summed
 * over time by their thread, then over the batch in order. No step reads what another block writes.
 *
 * Sequential in time: with B E N / 4 threads per run, small models fill a GPU; chunks of time,
 * combined by their products of decays, would serve one long sequence, and are not done. */
#include "colsum.cuh"
#include "fold.cuh"
#include "sweep.cuh"

namespace {
enum { STATES = 4, FORWARD_TOKENS = 16, BACK_TOKENS = 8 };

struct Scan {
    const float *x, *dt, *a, *b, *c, *d; /* as in kernels.def */
    float
        *mark; /* [R,B,marks,slices,columns of all blocks,4 LANES]: states before every 8th token */
    long time, marks, batch;
    int cols, state, slices;
    Deal deal;
};

/* Where a block works: channels from `col` of a sequence; run_col: channel `col` of the run. */
struct Place {
    long seq, run_col, block;
    int col;
};

__device__ inline Place place_of(const Scan &a) {
    const long seq = blockIdx.x / a.deal.blocks, block = blockIdx.x - seq * a.deal.blocks;
    const int col = (int)block << a.deal.col_shift;
    return {seq, seq / a.batch * a.cols + col, block, col};
}

/* The tiles of one buffer, in floats from its start: b is at 0. The last two only in backward: over
 * lanes, and per warp sums of db and dc. */
struct Layout {
    int c, x, dt, y, dy, e, bc, size;
};

__host__ __device__ inline Layout layout_of(int tokens, int rows, int cols, int warps) {
    Layout l;
    l.c = tokens * rows;
    l.x = 2 * l.c;
    l.dt = l.x + tokens * cols;
    l.y = l.dt + tokens * cols; /* in backward: dh . b */
    l.dy = l.y + tokens * cols;
    l.e = l.dy + (warps ? tokens * cols : 0);
    l.bc = l.e + (warps ? tokens * cols : 0);
    l.size = l.bc + warps * tokens * 2 * rows;
    return l;
}

/* What both directions do; ROWS = 4 LANES states at once. */
template <int LANES> struct ScanBase {
    static constexpr int ROWS = STATES * LANES, ROW_SHIFT = log2_up(ROWS);
    const Scan &s;
    float *shared;
    Place at;
    Layout l;
    Fetcher f;
    int slice;
    float rate[STATES]; /* a of this thread's states */

    __device__ float *buffer(long i) const { return shared + (i & 1) * l.size; }
    __device__ int lane() const { return threadIdx.x % LANES; }
    __device__ int column() const { return threadIdx.x / LANES; }
    __device__ int row() const { return slice * ROWS; }

    __device__ void begin(int which) {
        slice = which;
        const bool mine = f.p < 0 && at.col + column() < s.cols;
        for (int n = 0; n < STATES; n++) {
            const int state = row() + lane() * STATES + n;
            rate[n] = mine && state < s.state ? s.a[(at.run_col + column()) * s.state + state] : 0;
        }
    }

    __device__ float *mark_of(long k) const {
        const long columns = s.deal.blocks << s.deal.col_shift;
        const long before = ((at.seq * s.marks + k) * s.slices + slice) * columns;
        return s.mark + (before + at.col + column()) * ROWS + lane() * STATES;
    }

    __device__ void fetch_rows(float *to, const float *from, long j0, int tokens) const {
        tile_fetch<false>(to, from + at.seq * s.time * s.state + row(), s.state, s.state - row(),
                          ROW_SHIFT, walk_of(s.time, false), j0, 0, tokens, f);
    }
    __device__ void fetch_cols(float *to, const float *from, long j0, int tokens) const {
        tile_fetch<false>(to, from + at.seq * s.time * s.cols + at.col, s.cols, s.cols - at.col,
                          s.deal.col_shift, walk_of(s.time, false), j0, 0, tokens, f);
    }

    /* Element e of a tile of columns; -1: outside. */
    __device__ long target_of(int e, long j0, int tokens) const {
        const int c = at.col + (e & ((1 << s.deal.col_shift) - 1));
        const long t = j0 + (e >> s.deal.col_shift);
        if (e >= tokens << s.deal.col_shift || c >= s.cols || t >= s.time) return -1;
        return (at.seq * s.time + t) * s.cols + c;
    }

    __device__ static void four(float (&to)[STATES], const float *from) {
        const float4 v = quad(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    }
};

/* ---- forward ------------------------------------------------------------------------------ */

template <int LANES> struct Forward : ScanBase<LANES> {
    typedef ScanBase<LANES> Base;
    using Base::at, Base::f, Base::l, Base::rate, Base::s, Base::slice;
    static constexpr int TOKENS = FORWARD_TOKENS;
    float *y; /* NULL: only the marks are wanted */
    float h[STATES];

    __device__ Forward(const Base &base, float *to) : Base(base), y(to) {}

    __device__ void fetch(long i) {
        float *to = this->buffer(i);
        this->fetch_rows(to, s.b, i * TOKENS, TOKENS);
        if (y) this->fetch_rows(to + l.c, s.c, i * TOKENS, TOKENS);
        this->fetch_cols(to + l.x, s.x, i * TOKENS, TOKENS);
        this->fetch_cols(to + l.dt, s.dt, i * TOKENS, TOKENS);
    }

    __device__ void store(long i) {
        const float *from = this->buffer(i);
        if (!y) return;
        for (int e = f.p; e < TOKENS << s.deal.col_shift; e += f.threads) {
            const long to = this->target_of(e, i * TOKENS, TOKENS);
            if (to < 0) continue;
            const float d = s.d[at.run_col + (e & ((1 << s.deal.col_shift) - 1))];
            y[to] = from[l.y + e] + (slice ? y[to] : d * from[l.x + e]);
        }
    }

    __device__ void compute(long i) {
        float *from = this->buffer(i);
        const LaneSum<1, LANES> sums(this->lane());
        const long left = s.time - i * TOKENS, tokens = left < TOKENS ? left : TOKENS;
        for (int j = 0; j < tokens; j++) {
            const int e = (j << s.deal.col_shift) + this->column();
            const float dt = from[l.dt + e], in = dt * from[l.x + e];
            float b[STATES], c[STATES], sum[1] = {0};
            Base::four(b, from + j * Base::ROWS + this->lane() * STATES);
            if (!y && j % BACK_TOKENS == 0)
                *(float4 *)this->mark_of((i * TOKENS + j) / BACK_TOKENS) =
                    make_float4(h[0], h[1], h[2], h[3]);
#pragma unroll
            for (int n = 0; n < STATES; n++) h[n] = fmaf(expf(dt * rate[n]), h[n], in * b[n]);
            if (!y) continue;
            Base::four(c, from + l.c + j * Base::ROWS + this->lane() * STATES);
#pragma unroll
            for (int n = 0; n < STATES; n++) sum[0] = fmaf(c[n], h[n], sum[0]);
            sums.add(sum, this->lane());
            if (sums.owns) from[l.y + e] = sum[0];
        }
    }
};

template <int LANES>
__device__ inline ScanBase<LANES> base_of(const Scan &s, float *shared, int tokens, int warps) {
    return {s,
            shared,
            place_of(s),
            layout_of(tokens, STATES * LANES, 1 << s.deal.col_shift, warps),
            {(int)threadIdx.x - s.deal.half, s.deal.half},
            0,
            {}};
}

template <int LANES>
__global__ void __launch_bounds__(2 * MAX_HALF, 2) scan_forward(float *y, Scan s) {
    DYN_SHARED(float, shared);
    Forward<LANES> op(base_of<LANES>(s, shared, FORWARD_TOKENS, 0), y);
    for (int i = 0; i < s.slices; i++) {
        op.begin(i);
        for (int n = 0; n < STATES; n++) op.h[n] = 0;
        sweep(op, (s.time + FORWARD_TOKENS - 1) / FORWARD_TOKENS, op.f.p >= 0);
    }
}

/* ---- backward ----------------------------------------------------------------------------- */

/* Gradients; what sums over channels or the batch goes to partial sums. Any may be NULL. */
struct Gradients {
    const float *dy;
    float *dx, *ddt;
    float *db, *dc; /* [R, blocks of channels, B,T,N]; added to where there is one block */
    float *sum;     /* [R,B,cols state + cols]: da, dd */
};

template <int LANES> struct Back : ScanBase<LANES> {
    typedef ScanBase<LANES> Base;
    using Base::at, Base::f, Base::l, Base::rate, Base::s, Base::slice;
    static constexpr int TOKENS = BACK_TOKENS, COLUMNS = WARP / LANES; /* of a warp */
    const Gradients &to;
    float dh[STATES], da[STATES], dd, next[STATES]; /* next: the mark of the tile to come */

    __device__ Back(const Base &base, const Gradients &g) : Base(base), to(g) {}

    /* Tiles go from the last to the first, tokens within them forwards. */
    __device__ long first_of(long i) const { return (s.marks - 1 - i) * TOKENS; }

    __device__ void fetch(long i) {
        float *tile = this->buffer(i);
        this->fetch_rows(tile, s.b, first_of(i), TOKENS);
        this->fetch_rows(tile + l.c, s.c, first_of(i), TOKENS);
        this->fetch_cols(tile + l.x, s.x, first_of(i), TOKENS);
        this->fetch_cols(tile + l.dt, s.dt, first_of(i), TOKENS);
        this->fetch_cols(tile + l.dy, to.dy, first_of(i), TOKENS);
    }

    __device__ void store(long i) {
        const float *from = this->buffer(i);
        for (int e = f.p; (to.dx || to.ddt) && e < TOKENS << s.deal.col_shift; e += f.threads) {
            const long x = this->target_of(e, first_of(i), TOKENS);
            if (x < 0) continue;
            const float old = to.dx ? to.dx[x] : 0, old_dt = to.ddt ? to.ddt[x] : 0;
            const float d = s.d[at.run_col + (e & ((1 << s.deal.col_shift) - 1))];
            const float direct = slice ? 0 : from[l.dy + e] * d, through_b = from[l.y + e];
            if (to.dx) to.dx[x] = old + fmaf(from[l.dt + e], through_b, direct);
            if (to.ddt) to.ddt[x] = old_dt + fmaf(from[l.x + e], through_b, from[l.e + e]);
        }
        store_rows(to.db, from + l.bc, first_of(i));
        store_rows(to.dc, from + l.bc + Base::ROWS, first_of(i));
    }

    /* Sums over the warps of a block. from: [warps, TOKENS, 2, ROWS]. */
    __device__ void store_rows(float *rows, const float *from, long first) {
        const int warps = s.deal.half / WARP;
        for (int e = f.p; rows && e < TOKENS * Base::ROWS; e += f.threads) {
            const int n = this->row() + e % Base::ROWS, j = e / Base::ROWS;
            if (n >= s.state || first + j >= s.time) continue;
            float sum = 0;
            for (int w = 0; w < warps; w++)
                sum += from[(w * TOKENS + j) * 2 * Base::ROWS + e % Base::ROWS];
            const long run = at.seq / s.batch, seq = at.seq - run * s.batch;
            const long part = (run * s.deal.blocks + at.block) * s.batch + seq;
            float *p = rows + (part * s.time + first + j) * s.state + n;
            *p = s.deal.blocks == 1 ? *p + sum : sum;
        }
    }

    __device__ void load_mark(long i) {
        if (i < s.marks) Base::four(next, this->mark_of(s.marks - 1 - i));
    }

    __device__ void compute(long i) {
        float *from = this->buffer(i);
        const int lane = this->lane(), in_warp = threadIdx.x % WARP;
        const float *b_tile = from + lane * STATES, *c_tile = b_tile + l.c;
        const LaneSum<2, LANES> sums(lane);
        const LaneSum<2 * STATES, COLUMNS, LANES> over_columns(in_warp / LANES);
        float *bc = from + l.bc + threadIdx.x / WARP * TOKENS * 2 * Base::ROWS;
        float was[TOKENS][STATES], fade[TOKENS][STATES], h[STATES];
        for (int n = 0; n < STATES; n++) h[n] = next[n];
        load_mark(i + 1);
#pragma unroll
        for (int j = 0; j < TOKENS; j++) {
            const int e = (j << s.deal.col_shift) + this->column();
            const float dt = from[l.dt + e], in = dt * from[l.x + e];
            float b[STATES];
            Base::four(b, b_tile + j * Base::ROWS);
#pragma unroll
            for (int n = 0; n < STATES; n++) {
                was[j][n] = h[n];
                fade[j][n] = expf(dt * rate[n]);
                h[n] = fmaf(fade[j][n], h[n], in * b[n]);
            }
        }
#pragma unroll
        for (int j = TOKENS - 1; j >= 0; j--) { /* tokens past the end are all zeros */
            const int e = (j << s.deal.col_shift) + this->column();
            const float x = from[l.x + e], dt = from[l.dt + e], dy = from[l.dy + e], in = dt * x;
            float b[STATES], c[STATES], through[2] = {0, 0}, rows[2 * STATES];
            Base::four(b, b_tile + j * Base::ROWS);
            Base::four(c, c_tile + j * Base::ROWS);
#pragma unroll
            for (int n = 0; n < STATES; n++) {
                const float g = fmaf(dy, c[n], dh[n]), kept = fade[j][n] * was[j][n];
                const float part = g * kept;
                rows[n] = g * in;
                rows[STATES + n] = dy * fmaf(in, b[n], kept);
                da[n] = fmaf(part, dt, da[n]);
                through[0] = fmaf(g, b[n], through[0]);
                through[1] = fmaf(part, rate[n], through[1]);
                dh[n] = fade[j][n] * g;
            }
            dd = fmaf(dy, x, dd);
            sums.add(through, lane);
            if (sums.owns) from[(sums.first ? l.e : l.y) + e] = through[0];
            over_columns.add(rows, in_warp / LANES);
            if (!over_columns.owns) continue;
#pragma unroll
            for (int k = 0; k < over_columns.LEFT; k++) {
                const int which = over_columns.first + k;
                bc[j * 2 * Base::ROWS + which / STATES * Base::ROWS + lane * STATES +
                   which % STATES] = rows[k];
            }
        }
    }

    /* After the sweep of a slice, by the threads that computed. */
    __device__ void store_sums() const {
        const int c = at.col + this->column();
        if (!to.sum || c >= s.cols) return;
        float *sum = to.sum + at.seq * s.cols * (s.state + 1L);
        for (int n = 0; n < STATES; n++) {
            const int state = this->row() + this->lane() * STATES + n;
            if (state < s.state) sum[(long)c * s.state + state] = da[n];
        }
        if (slice == 0 && this->lane() == 0) sum[(long)s.cols * s.state + c] = dd;
    }
};

template <int LANES>
__global__ void __launch_bounds__(2 * MAX_HALF, 2) scan_back(Gradients g, Scan s) {
    DYN_SHARED(float, shared);
    Back<LANES> op(base_of<LANES>(s, shared, BACK_TOKENS, s.deal.half / WARP), g);
    const bool fetches = op.f.p >= 0;
    for (int i = 0; i < s.slices; i++) {
        op.begin(i);
        for (int n = 0; n < STATES; n++) op.dh[n] = op.da[n] = 0;
        op.dd = 0;
        if (!fetches) op.load_mark(0);
        sweep(op, s.marks, fetches);
        if (!fetches) op.store_sums();
    }
}

/* ---- launches ----------------------------------------------------------------------------- */

/* Lanes that share a channel. */
int lanes_of(int state) { return state <= 8 ? 2 : state <= 16 ? 4 : 8; }

Scan scan_of(const float *x, const float *dt, const float *a, const float *b, const float *c,
             const float *d, int batch, int time, int cols, int state) {
    const int lanes = lanes_of(state);
    return {x,
            dt,
            a,
            b,
            c,
            d,
            nullptr,
            time,
            (time + BACK_TOKENS - 1) / BACK_TOKENS,
            batch,
            cols,
            state,
            (state + STATES * lanes - 1) / (STATES * lanes),
            deal_of(cols, lanes, 1)};
}

size_t bytes_of(const Scan &s, int tokens, int warps) {
    const int rows = STATES * lanes_of(s.state);
    return 2 * sizeof(float) * (size_t)layout_of(tokens, rows, 1 << s.deal.col_shift, warps).size;
}

#define BY_LANES(kernel, s, ...)                                                                   \
    do {                                                                                           \
        if (lanes_of((s).state) == 2)                                                              \
            LAUNCH((kernel<2>), __VA_ARGS__);                                                      \
        else if (lanes_of((s).state) == 4)                                                         \
            LAUNCH((kernel<4>), __VA_ARGS__);                                                      \
        else                                                                                       \
            LAUNCH((kernel<8>), __VA_ARGS__);                                                      \
    } while (0)

void forward_launch(float *y, const Scan &s, long seqs) {
    BY_LANES(scan_forward, s, dim3((unsigned)(seqs * s.deal.blocks)), dim3(2 * s.deal.half),
             bytes_of(s, FORWARD_TOKENS, 0), y, s);
}
} // namespace

void K(scan_fwd)(real *y, const real *x, const real *dt, const real *a, const real *b,
                 const real *c, const real *d, real *, int runs, int batch, int time, int cols,
                 int state) {
    forward_launch(y, scan_of(x, dt, a, b, c, d, batch, time, cols, state), (long)runs * batch);
}

void K(scan_bwd)(real *dx, real *ddt, real *da, real *db, real *dc, real *dd, const real *dy,
                 const real *x, const real *dt, const real *a, const real *b, const real *c,
                 const real *d, real *, int runs, int batch, int time, int cols, int state) {
    if (!dx && !ddt && !da && !db && !dc && !dd) return;
    Scan s = scan_of(x, dt, a, b, c, d, batch, time, cols, state);
    const long seqs = (long)runs * batch, rows = (long)batch * time * state;
    const size_t columns = (size_t)(s.deal.blocks << s.deal.col_shift);
    const size_t states = columns * STATES * (size_t)(lanes_of(state) * s.slices);
    const size_t parts = (size_t)(runs * s.deal.blocks * rows);
    const bool direct = s.deal.blocks == 1, sums = da || dd;
    Scratch scratch;
    s.mark = scratch.take<float>((size_t)(seqs * s.marks) * states);
    Gradients g = {dy, dx, ddt, db, dc, nullptr};
    if (db && !direct) g.db = scratch.take<float>(parts);
    if (dc && !direct) g.dc = scratch.take<float>(parts);
    if (sums) g.sum = scratch.take<float>((size_t)seqs * (size_t)cols * ((size_t)state + 1));
    forward_launch(nullptr, s, seqs);
    BY_LANES(scan_back, s, dim3((unsigned)(seqs * s.deal.blocks)), dim3(2 * s.deal.half),
             bytes_of(s, BACK_TOKENS, s.deal.half / WARP), g, s);
    if (db && !direct) partials_launch(db, rows, g.db, runs, (int)s.deal.blocks, rows, true);
    if (dc && !direct) partials_launch(dc, rows, g.dc, runs, (int)s.deal.blocks, rows, true);
    if (sums) fold_launch(da, dd, {g.sum, runs, batch, (long)cols * state, cols});
}
