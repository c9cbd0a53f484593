/* rankconv.c - convolution with taps of low rank; see kernels.def.
 *
 * Taps and their gradients live in registers and L1 only. A strip is a few tokens x one vector of
 * channels x up to LAGS lags: its taps w + z u are summed over the codes in registers, a broadcast
 * of z and a load of u for several multiply-adds each, and then applied to x forward, to dy for dx.
 * For the other gradients dtaps = dy x of BAND tokens is stored once in L1 and read by two more
 * products of the same make: du = z^T dtaps with its sums in registers over the band, and
 * dz = dtaps u^T with codes as lanes.
 *
 * u is packed once per run, by vector of channels and block of lags, w as the row before its codes;
 * du and dw are gathered in the same order. Where channels end within a vector, their columns of a
 * sequence are copied to padded ones; so no strip has a remainder. Tokens near the start, which
 * have fewer lags, go in segments of equally many.
 *
 * Cost 2 W (E + 1) operations per element, three times that backward; at rank 16, 17 times those of
 * a plain depthwise convolution. With C = 128, W = 4, T = 256 it takes 2.8 times the time of the
 * plain one where x comes from L3, for that one waits for memory, and 9.5 times where all lies in
 * L2. The four products alone, at the peak of the processor measured (AVX-512), would take 7.2
 * times the latter. */
#include "kernels/core/work.h"
#include "tile.h"

#include <string.h>

enum { LANES = TILE_LANES, LAGS = 4, BAND = RANKCONV_BAND };
enum { TAPS = LAGS * LANES }; /* from a token to the next among dtaps */

#ifdef __AVX512F__
enum { SUMS = 24, ROWS = 12 }; /* of 32 registers; most rows, as each has its own address */
#else
enum { SUMS = 12, ROWS = 6 }; /* of 16 */
#endif

#define APART  static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 16")

/* tile(..., first row, rows, cols) over n rows of `cols` vectors, all but the first known to the
 * compiler: as many rows at once as registers allow. */
#define STRIPS(tile, n, rows, cols, ...)                                                           \
    do {                                                                                           \
        long at = 0;                                                                               \
        for (; at + (rows) <= (n); at += (rows)) tile(__VA_ARGS__, at, rows, cols);                \
        for (; at + 2 <= (n); at += 2) tile(__VA_ARGS__, at, 2, cols);                             \
        if (at < (n)) tile(__VA_ARGS__, at, 1, cols);                                              \
    } while (0)
#define EVERY_STRIP(tile, n, cols, ...)                                                            \
    switch (cols) {                                                                                \
    case 1: STRIPS(tile, n, ROWS, 1, __VA_ARGS__); break;                                          \
    case 2: STRIPS(tile, n, SUMS / 2, 2, __VA_ARGS__); break;                                      \
    case 3: STRIPS(tile, n, SUMS / 3, 3, __VA_ARGS__); break;                                      \
    default: STRIPS(tile, n, SUMS / 4, 4, __VA_ARGS__); break;                                     \
    }

/* Macros, as functions of vectors have no fixed ABI in builds without such registers. */
#define LOAD(p)     (*(const vec *)(p))
#define STORE(p, v) (void)(*(vec *)(p) = (v))

/* sum += a b, a [rows, inner] with any strides, b [inner, cols vectors]. */
ALWAYS_INLINE void add_products(vec sum[][LAGS], const real *a, long a_row, long a_col,
                                const real *b, long b_row, long inner, int rows, int cols) {
    for (long e = 0; e < inner; e++) {
        vec row[LAGS];
        UNROLL for (int k = 0; k < cols; k++) row[k] = LOAD(b + k * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            const real factor = a[i * a_row];
            UNROLL for (int k = 0; k < cols; k++) sum[i][k] += factor * row[k];
        }
        a += a_col, b += b_row;
    }
}

/* One vector of channels, some lags of some tokens. */
typedef struct span {
    real *y; /* or dx */
    const real *x, *dy;
    const real *z;     /* [tokens, rank] */
    const real *u;     /* [1 + rank, u_row]: w, then u */
    real *dtaps, *dw;  /* [tokens, TAPS], [lags, LANES] */
    long y_row, x_row; /* from a token to the next */
    long dilation, rank, u_row;
    bool add; /* to y, which has earlier lags already */
} span;

ALWAYS_INLINE void make_taps(vec taps[][LAGS], const span *s, long at, int rows, int lags) {
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int k = 0; k < lags; k++) taps[i][k] =
        LOAD(s->u + k * LANES);
    add_products(taps, s->z + at * s->rank, s->rank, 1, s->u + s->u_row, s->u_row, s->rank, rows,
                 lags);
}

/* y (+)= sum over lags of taps x. */
ALWAYS_INLINE void forward_tile(const span *s, long at, int rows, int lags) {
    const long back = s->dilation * s->x_row;
    vec taps[ROWS][LAGS];
    make_taps(taps, s, at, rows, lags);
    UNROLL for (int i = 0; i < rows; i++) {
        const real *x = s->x + (at + i) * s->x_row;
        real *to = s->y + (at + i) * s->y_row;
        vec y = s->add ? LOAD(to) : (vec){0};
        UNROLL for (int k = 0; k < lags; k++) y += taps[i][k] * LOAD(x - k * back);
        STORE(to, y);
    }
}

/* dx of each lag's token += taps dy; dtaps = dy x; dw += their sum. All in one loop, so that waits
 * for the caches hide behind the products. */
ALWAYS_INLINE void backward_tile(const span *s, long at, int rows, int lags) {
    const long back = s->dilation * s->x_row, y_back = s->dilation * s->y_row;
    vec taps[ROWS][LAGS], sum[LAGS];
    make_taps(taps, s, at, rows, lags);
    UNROLL for (int k = 0; k < lags; k++) sum[k] = LOAD(s->dw + k * LANES);
    UNROLL for (int i = 0; i < rows; i++) {
        const vec dy = LOAD(s->dy + (at + i) * s->x_row);
        const real *x = s->x + (at + i) * s->x_row;
        real *to = s->y + (at + i) * s->y_row, *dtaps = s->dtaps + (at + i) * TAPS;
        UNROLL for (int k = 0; k < lags; k++) {
            real *dx = to - k * y_back;
            STORE(dx, LOAD(dx) + taps[i][k] * dy);
            const vec dtap = dy * LOAD(x - k * back);
            STORE(dtaps + k * LANES, dtap);
            sum[k] += dtap;
        }
    }
    UNROLL for (int k = 0; k < lags; k++) STORE(s->dw + k * LANES, sum[k]);
}

/* c += a b. */
ALWAYS_INLINE void product_tile(real *c, long c_row, const real *a, long a_row, long a_col,
                                const real *b, long b_row, long inner, long at, int rows,
                                int cols) {
    vec sum[ROWS][LAGS];
    c += at * c_row;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int k = 0; k < cols; k++) sum[i][k] =
        LOAD(c + i * c_row + k * LANES);
    add_products(sum, a + at * a_row, a_row, a_col, b, b_row, inner, rows, cols);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int k = 0; k < cols; k++)
        STORE(c + i * c_row + k * LANES, sum[i][k]);
}

APART void span_forward(const span *s, long n, long lags){EVERY_STRIP(forward_tile, n, lags, s)}

APART void span_backward(const span *s, long n, long lags){EVERY_STRIP(backward_tile, n, lags, s)}

/* dz [n, dz_row] += dtaps [n, terms] ut [terms, vectors of codes]. */
APART void add_dz(real *dz, long dz_row, const real *dtaps, const real *ut, long n, long terms,
                  long vectors){
    EVERY_STRIP(product_tile, n, vectors, dz, dz_row, dtaps, TAPS, 1, ut, vectors *LANES, terms)}

/* du [rank, du_row] += z^T [rank, n] dtaps [n, lags]. */
APART void add_du(real *du, long du_row, const real *z, const real *dtaps, long rank, long n,
                  long lags) {
    EVERY_STRIP(product_tile, rank, lags, du, du_row, z, 1, rank, dtaps, TAPS, n)
}

typedef struct shape {
    long time, cols, width, rank, dilation;
} shape;

static long smaller(long a, long b) { return a < b ? a : b; }
static long larger(long a, long b) { return a > b ? a : b; }

/* ---- packed u, w and their gradients -------------------------------------------------------- */

/* Reals of one vector of channels, and where a block of lags begins among them. */
static long panel_row(const shape *s) { return (1 + round_up(s->rank, TILE_PAD)) * LANES; }
static long panel_size(const shape *s) { return panel_row(s) * s->width; }
static long panel_lags(const shape *s, long k) { return smaller(LAGS, s->width - k); }

/* Every row of every panel: w as row e = 0, then the codes. */
#define EACH_PANEL_ROW(s, c, k, e)                                                                 \
    for (long c = 0; c < (s)->cols; c += LANES)                                                    \
        for (long k = 0; k < (s)->width; k++)                                                      \
            for (long e = 0; e <= (s)->rank; e++)

/* Row e of lag k of the vector of channels from c on, in a packed u. */
static long packed_at(const shape *s, long c, long k, long e) {
    const long first = k / LAGS * LAGS, lags = panel_lags(s, first);
    return c / LANES * panel_size(s) + first * panel_row(s) + (e * lags + k - first) * LANES;
}

static inline void add_row(real *to, const real *from, long n) {
    if (n == LANES) {
        STORE(to, LOAD(to) + LOAD(from));
        return;
    }
    for (long i = 0; i < n; i++) to[i] += from[i];
}

static void pack(real *packed, const real *u, const real *w, const shape *s) {
    memset(packed, 0, sizeof(real) * (size_t)(round_up(s->cols, LANES) / LANES * panel_size(s)));
    EACH_PANEL_ROW(s, c, k, e) {
        const real *from = (e ? u + ((e - 1) * s->width + k) * s->cols : w + k * s->cols) + c;
        add_row(packed + packed_at(s, c, k, e), from, smaller(LANES, s->cols - c));
    }
}

static void unpack_add(real *du, real *dw, const real *packed, const shape *s) {
    EACH_PANEL_ROW(s, c, k, e) {
        real *to =
            e ? OFFSET(du, ((e - 1) * s->width + k) * s->cols + c) : OFFSET(dw, k * s->cols + c);
        if (to) add_row(to, packed + packed_at(s, c, k, e), smaller(LANES, s->cols - c));
    }
}

/* Each block of lags of `packed`, [lags LANES, codes], in blocks of up to LAGS vectors of codes.
 * Places are those of `packed`. */
static void pack_turned(real *turned, const real *packed, const shape *s) {
    for (long c = 0; c < s->cols; c += LANES)
        for (long k = 0; k < s->width; k += LAGS) {
            const long at = packed_at(s, c, k, 0), terms = panel_lags(s, k) * LANES;
            for (long e = 0; e < s->rank; e += TAPS) {
                const long codes = smaller(TAPS, round_up(s->rank - e, LANES));
                tile_transpose(turned + at + e * terms, codes, packed + at + (1 + e) * terms, terms,
                               codes, terms);
            }
        }
}

/* ---- one sequence --------------------------------------------------------------------------- */

typedef struct columns { /* one vector of channels of a sequence */
    real *y;             /* or dx */
    const real *x, *dy;
    real *dtaps, *dw;
    long y_row, x_row;
} columns;

/* Where tokens from t on cease to have as many lags of the block from k on, `lags`, as t has. */
static long segment_end(long *lags, const shape *s, long k, long t, long end) {
    const long have = larger(t / s->dilation + 1 - k, 0), block = panel_lags(s, k);
    *lags = smaller(have, block);
    return have < block ? smaller(end, (k + have) * s->dilation) : end;
}

typedef void span_function(const span *, long, long);

/* Lags from k on of tokens [t0, end); dtaps are those of t0 and on, 0 where a lag reaches before
 * the start. */
static void apply_taps(span_function *f, const columns *c, const real *z, const real *u,
                       const shape *s, long k, long t0, long end) {
    const long block = panel_lags(s, k), shift = k * s->dilation;
    for (long lags, t = t0, stop; t < end; t = stop) {
        stop = segment_end(&lags, s, k, t, end);
        real *dtaps = OFFSET(c->dtaps, (t - t0) * TAPS);
        if (dtaps && lags < block) memset(dtaps, 0, sizeof(real) * (size_t)((stop - t) * TAPS));
        if (!lags) continue;
        const span part = {.y = c->y + (c->dtaps ? t - shift : t) * c->y_row,
                           .x = c->x + (t - shift) * c->x_row,
                           .dy = OFFSET(c->dy, t * c->x_row),
                           .z = z + t * s->rank,
                           .u = u,
                           .dtaps = dtaps,
                           .dw = c->dw,
                           .y_row = c->y_row,
                           .x_row = c->x_row,
                           .dilation = s->dilation,
                           .rank = s->rank,
                           .u_row = block * LANES,
                           .add = k > 0};
        f(&part, stop - t, lags);
    }
}

/* Work, in this order; see rankconv_work(). */
typedef struct buffers {
    real *u, *ut, *du; /* packed */
    real *dtaps;       /* [BAND, TAPS] */
    real *dz;          /* [BAND, padded rank] */
    real *x, *dy, *y;  /* [padded time, LANES]: the last columns; y also dx, even an unwanted one */
} buffers;

static buffers buffers_of(real *work, const shape *s) {
    const long panels = round_up(s->cols, LANES) / LANES * panel_size(s);
    const long column = round_up(s->time, TILE_PAD) * LANES;
    buffers b = {.u = work};
    b.ut = b.u + panels;
    b.du = b.ut + panels;
    b.dtaps = b.du + panels;
    b.dz = b.dtaps + BAND * TAPS;
    b.x = b.dz + BAND * round_up(s->rank, TILE_PAD);
    b.dy = b.x + column;
    b.y = b.dy + column;
    return b;
}

static void sequence_forward(real *y, const real *x, const real *z, const buffers *b,
                             const shape *s) {
    const long whole = round_down(s->cols, LANES), left = s->cols - whole;
    if (left) tile_gather(b->x, LANES, x + whole, s->cols, s->time, left, 1);
    for (long t = 0; t < s->time; t += BAND)
        for (long c = 0; c < s->cols; c += LANES) {
            columns in = {.y = y + c, .x = x + c, .y_row = s->cols, .x_row = s->cols};
            if (c >= whole) in = (columns){.y = b->y, .x = b->x, .y_row = LANES, .x_row = LANES};
            for (long k = 0; k < s->width; k += LAGS)
                apply_taps(span_forward, &in, z, b->u + packed_at(s, c, k, 0), s, k, t,
                           smaller(t + BAND, s->time));
        }
    for (long t = 0; left && t < s->time; t++)
        for (long i = 0; i < left; i++) y[t * s->cols + whole + i] = b->y[t * LANES + i];
}

/* Asks for a part of the BAND rows from p on, so that all are asked for once c has passed every
 * vector of channels. Columns are read at strides that no hardware foresees. Rows past the
 * last are harmless: a prefetch does not fault. */
static void fetch(const real *p, long c) {
    for (long i = 0; i < BAND * LANES; i += LANES) __builtin_prefetch(p + c * BAND + i, 0, 2);
}

/* dx, dz may be NULL; du, dw go to b->du. */
static void sequence_backward(real *dx, real *dz, bool du, const real *dy, const real *x,
                              const real *z, const buffers *b, const shape *s) {
    const long whole = round_down(s->cols, LANES), left = s->cols - whole;
    const long codes = round_up(s->rank, LANES);
    if (left) {
        tile_gather(b->x, LANES, x + whole, s->cols, s->time, left, 1);
        tile_gather(b->dy, LANES, dy + whole, s->cols, s->time, left, 1);
    }
    if (left || !dx) memset(b->y, 0, sizeof(real) * (size_t)(s->time * LANES));
    for (long t = 0; t < s->time; t += BAND) {
        const long end = smaller(t + BAND, s->time), n = end - t;
        memset(b->dz, 0, sizeof(real) * (size_t)(n * codes));
        for (long c = 0; c < s->cols; c += LANES) {
            columns in = {OFFSET(dx, c), x + c, dy + c, b->dtaps, NULL, s->cols, s->cols};
            if (c >= whole) in.x = b->x, in.dy = b->dy, in.x_row = LANES;
            if (c >= whole || !dx) in.y = b->y, in.y_row = LANES;
            fetch(x + end * s->cols, c);
            fetch(dy + end * s->cols, c);
            if (dx) fetch(dx + end * s->cols, c);
            for (long k = 0; k < s->width && k * s->dilation < end; k += LAGS) {
                const long at = packed_at(s, c, k, 0), terms = panel_lags(s, k) * LANES;
                in.dw = b->du + at;
                apply_taps(span_backward, &in, z, b->u + at, s, k, t, end);
                for (long e = 0; dz && e < codes; e += TAPS)
                    add_dz(b->dz + e, codes, b->dtaps, b->ut + at + e * terms, n, terms,
                           smaller(LAGS, (codes - e) / LANES));
                if (du)
                    add_du(b->du + at + terms, terms, z + t * s->rank, b->dtaps, s->rank, n,
                           terms / LANES);
            }
        }
        if (dz) tile_scatter_add(dz + t * s->rank, s->rank, b->dz, codes, n, s->rank);
    }
    if (dx && left) tile_scatter_add(dx + whole, s->cols, b->y, LANES, s->time, left);
}

void K(rankconv_fwd)(real *y, const real *x, const real *z, const real *u, const real *w,
                     real *work, int runs, int batch, int time, int cols, int width, int rank,
                     int dilation) {
    const shape s = {time, cols, width, rank, dilation};
    const buffers b = buffers_of(work, &s);
    for (long i = 0; i < (long)runs * batch; i++) {
        const long r = i / batch, at = i * time;
        if (i % batch == 0) pack(b.u, u + r * rank * width * cols, w + r * width * cols, &s);
        sequence_forward(y + at * cols, x + at * cols, z + at * rank, &b, &s);
    }
}

void K(rankconv_bwd)(real *dx, real *dz, real *du, real *dw, const real *dy, const real *x,
                     const real *z, const real *u, const real *w, real *work, int runs, int batch,
                     int time, int cols, int width, int rank, int dilation) {
    const shape s = {time, cols, width, rank, dilation};
    const buffers b = buffers_of(work, &s);
    const long all = (long)width * cols;
    for (long r = 0; r < runs; r++) {
        pack(b.u, u + r * rank * all, w + r * all, &s);
        pack_turned(b.ut, b.u, &s);
        memset(b.du, 0, sizeof(real) * (size_t)(b.dtaps - b.du));
        for (long i = r * batch; i < (r + 1) * batch; i++) {
            const long at = i * time;
            sequence_backward(OFFSET(dx, at * cols), OFFSET(dz, at * rank), du != NULL,
                              dy + at * cols, x + at * cols, z + at * rank, &b, &s);
        }
        unpack_add(OFFSET(du, r * rank * all), OFFSET(dw, r * all), b.du, &s);
    }
}
