/* sort.cuh - the rows of each run by id, stable, without atomics.
 *
 * By counting digits of 8 bits: two short launches per digit, one digit up to 256 ids, two up to
 * 65536. The order depends on the ids of the run alone. Moves some 40 bytes per row and digit. */
#pragma once
#include "port.cuh"
#include "reduce.cuh"

namespace {
enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS, TILE = DIGITS }; /* a thread per digit and row */

/* order [R, rows]: rows as sorted so far, NULL before the first digit. */
struct Sort {
    const int *ids, *order;
    long rows, tiles;
    int vocab, shift;
};

__device__ int row_at(const Sort &a, long r, long i) {
    return a.order ? a.order[r * a.rows + i] : (int)i;
}

__device__ int id_of(const Sort &a, long r, int row) {
    const int id = a.ids[r * a.rows + row];
    return id < 0 ? 0 : id < a.vocab ? id : a.vocab - 1;
}

/* count[r, tile, digit] = rows of the tile with this digit; thread d counts digit d. */
__global__ void __launch_bounds__(TILE) count_digits(int *count, Sort a) {
    DYN_SHARED(int, digit); /* [TILE] */
    const int me = (int)threadIdx.x;
    const long r = blockIdx.y, i = (long)blockIdx.x * TILE + me;
    digit[me] = i < a.rows ? id_of(a, r, row_at(a, r, i)) >> a.shift & (DIGITS - 1) : -1;
    __syncthreads();
    int n = 0;
    for (int j = 0; j < TILE; j++) n += digit[j] == me;
    count[(r * a.tiles + blockIdx.x) * DIGITS + me] = n;
}

/* Moves each row to its place by this digit, in order among equals. A block adds the counts of all
 * tiles itself: a launch for that alone would take longer. */
__global__ void __launch_bounds__(TILE)
    place_rows(int *order, int *sorted, const int *count, Sort a) {
    DYN_SHARED(int, digit);                            /* [TILE] */
    int *start = digit + TILE, *warp = start + DIGITS; /* [DIGITS], [TILE / WARP] */
    const int me = (int)threadIdx.x, lane = me % WARP;
    const long r = blockIdx.y, i = (long)blockIdx.x * TILE + me;
    const int row = i < a.rows ? row_at(a, r, i) : 0, id = i < a.rows ? id_of(a, r, row) : 0;
    const int mine = id >> a.shift & (DIGITS - 1);
    digit[me] = mine;

    int before = 0, total = 0; /* of digit `me`: in earlier tiles, in all */
    for (long t = 0; t < a.tiles; t++) {
        const int n = count[(r * a.tiles + t) * DIGITS + me];
        before += t < blockIdx.x ? n : 0;
        total += n;
    }
    int upto = total; /* of digits up to `me` within the warp */
    for (int o = 1; o < WARP; o *= 2) {
        const int lower = __shfl_up_sync(ALL_LANES, upto, o);
        upto += lane >= o ? lower : 0;
    }
    if (lane == WARP - 1) warp[me / WARP] = upto;
    __syncthreads();
    for (int w = 0; w < TILE / WARP; w++) before += w < me / WARP ? warp[w] : 0;
    start[me] = before + upto - total;
    __syncthreads();

    if (i >= a.rows) return;
    int rank = 0;
    for (int j = 0; j < me; j++) rank += digit[j] == mine;
    const long to = r * a.rows + start[mine] + rank;
    order[to] = row;
    sorted[to] = id;
}
} // namespace

/* order, id [R, rows]: the row at each place of the sorted list, and its id. */
struct Sorted {
    const int *order, *id;
};

/* ids [R, rows] in [0, vocab); one outside counts as the nearest. The list lives in `scratch`. */
static inline Sorted sort_launch(Scratch &scratch, const int *ids, int runs, long rows, int vocab) {
    const long tiles = blocks_of(rows, TILE);
    const size_t n = (size_t)runs * (size_t)rows;
    int *count = scratch.take<int>((size_t)(runs * tiles * DIGITS));
    int *order[2] = {scratch.take<int>(n), vocab > DIGITS ? scratch.take<int>(n) : nullptr};
    int *sorted = scratch.take<int>(n);
    Sort a = {ids, nullptr, rows, tiles, vocab, 0};
    const dim3 grid((unsigned)tiles, (unsigned)runs);
    int *to = order[0];
    do {
        LAUNCH(count_digits, grid, dim3(TILE), TILE * sizeof(int), count, a);
        LAUNCH(place_rows, grid, dim3(TILE), (TILE + DIGITS + TILE / WARP) * sizeof(int), to,
               sorted, count, a);
        a.order = to;
        to = to == order[0] ? order[1] : order[0];
        a.shift += DIGIT_BITS;
    } while ((vocab - 1) >> a.shift);
    return {a.order, sorted};
}
