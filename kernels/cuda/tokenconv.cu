/* tokenconv.cu - convolution with taps of each token; see kernels.def.
 *
 * A thread has 4 channels of one group (1 where the group's channels are no multiple of 4) and
 * ROWS rows of one sequence; lanes are channels, so that the rows that lags share come from L1, and
 * taps are broadcasts. dx is the same sum with time reversed, taps read where they will have been
 * used. dtaps are dot products over the channels of a group: the fewest lanes, a power of two, that
 * cover it with 4 channels each; one butterfly per lag. No partial sums leave a block.
 * Traffic 2 floats per element and the taps forward, 4 backward for dx and dtaps in turn; narrow
 * problems start enough threads because a thread has few rows. */
#include "pointwise.cuh"
#include "reduce.cuh"

namespace {
enum { ROWS = 4, THREADS = 128 };

struct token_shape {
    long sequences, time, cols, width, groups, dim, dilation;
    long tiles, units; /* of ROWS rows per sequence; of channels per row */
    bool vector;
};

/* y = taps * x; BACK: y += sum over later tokens, x being dy. */
template <int V, bool BACK>
__global__ void __launch_bounds__(THREADS)
    token_filter(float *y, const float *x, const float *taps, token_shape s) {
    const long i = (long)blockIdx.x * THREADS + threadIdx.x;
    const long unit = i % s.units, tile = i / s.units % s.tiles, sequence = i / s.units / s.tiles;
    if (sequence >= s.sequences) return;
    const long c = unit * V, t0 = tile * ROWS, row0 = sequence * s.time + t0;
    const long stride = s.groups * s.width;
    taps += row0 * stride + c / s.dim * s.width;
    x += row0 * s.cols + c, y += row0 * s.cols + c;
    Four sum[ROWS];
    for (int r = 0; r < ROWS; r++)
        sum[r] = unit_load(y + r * s.cols, BACK && t0 + r < s.time ? V : 0, s.vector);
    for (long k = 0; k < s.width; k++) {
        const long reach = (BACK ? k : -k) * s.dilation;
        for (int r = 0; r < ROWS; r++) {
            const long from = t0 + r + reach;
            if (t0 + r >= s.time || from < 0 || from >= s.time) continue;
            const float tap = taps[(BACK ? r + reach : r) * stride + k];
            const Four in = unit_load(x + (r + reach) * s.cols, V, s.vector);
            for (int j = 0; j < V; j++) sum[r].v[j] = fmaf(tap, in.v[j], sum[r].v[j]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        if (t0 + r < s.time) unit_store(y + r * s.cols, sum[r], V, s.vector);
}

/* dtaps[i,g,k] += dy[i,g] . x[i - k dilation,g]; `lanes` neighbours share (i,g). */
template <int V>
__global__ void __launch_bounds__(THREADS)
    token_taps(float *dtaps, const float *dy, const float *x, token_shape s, int lanes) {
    const long i = ((long)blockIdx.x * THREADS + threadIdx.x) / lanes; /* row and group */
    const int lane = (int)threadIdx.x % lanes;
    const bool there = i < s.sequences * s.time * s.groups;
    const long row = i / s.groups, t = row % s.time, at = row * s.cols + i % s.groups * s.dim;
    for (long k = 0; k < s.width; k++) {
        const long back = k * s.dilation;
        float sum = 0;
        for (long d = lane * V; there && back <= t && d < s.dim; d += lanes * V) {
            const Four a = unit_load(dy + at + d, V, s.vector);
            const Four b = unit_load(x + at - back * s.cols + d, V, s.vector);
            for (int j = 0; j < V; j++) sum = fmaf(a.v[j], b.v[j], sum);
        }
        for (int o = lanes / 2; o; o >>= 1) sum += __shfl_xor_sync(ALL_LANES, sum, o);
        if (there && !lane && back <= t) dtaps[i * s.width + k] += sum;
    }
}

token_shape shape_of(int sequences, int time, int cols, int width, int groups, int dilation) {
    token_shape s = {sequences, time, cols, width, groups, cols / groups, dilation, 0, 0, false};
    s.tiles = (time + ROWS - 1) / ROWS;
    s.units = s.dim % UNIT ? s.cols : s.cols / UNIT;
    return s;
}

template <bool BACK>
void filter_launch(float *y, const float *x, const float *taps, token_shape s) {
    const dim3 grid(blocks_of(s.sequences * s.tiles * s.units, THREADS));
    s.vector = is_vector(y) && is_vector(x);
    if (s.dim % UNIT)
        LAUNCH((token_filter<1, BACK>), grid, dim3(THREADS), 0, y, x, taps, s);
    else
        LAUNCH((token_filter<(int)UNIT, BACK>), grid, dim3(THREADS), 0, y, x, taps, s);
}
} // namespace

void K(tokenconv_fwd)(real *y, const real *x, const real *taps, int sequences, int time, int cols,
                      int width, int groups, int dilation) {
    filter_launch<false>(y, x, taps, shape_of(sequences, time, cols, width, groups, dilation));
}

void K(tokenconv_bwd)(real *dx, real *dtaps, const real *dy, const real *x, const real *taps,
                      int sequences, int time, int cols, int width, int groups, int dilation) {
    token_shape s = shape_of(sequences, time, cols, width, groups, dilation);
    if (dx) filter_launch<true>(dx, dy, taps, s);
    if (!dtaps) return;
    const long units = s.dim % UNIT ? s.dim : s.dim / UNIT;
    int lanes = 1;
    while (lanes < WARP && lanes < units) lanes *= 2;
    const dim3 grid(blocks_of(s.sequences * s.time * s.groups, THREADS / lanes));
    s.vector = is_vector(dy) && is_vector(x);
    if (s.dim % UNIT)
        LAUNCH(token_taps<1>, grid, dim3(THREADS), 0, dtaps, dy, x, s, lanes);
    else
        LAUNCH(token_taps<(int)UNIT>, grid, dim3(THREADS), 0, dtaps, dy, x, s, lanes);
}
