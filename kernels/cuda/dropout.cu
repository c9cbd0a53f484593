/* dropout.cu - inverted dropout with a counter-based mask; see kernels.def.
 *
 * A thread makes one Philox4x32-10 block (Salmon et al. 2011) of counter {element / 4 within the
 * example, example, step, site}: four consecutive elements, its unit. The mask is bit for bit that
 * of the CPU kernels, and made again for backward. Moves 8 bytes per element forward, 12 backward;
 * the 20 multiplications of a block are hidden behind that. */
#include "pointwise.cuh"

namespace {
struct Drop {
    const float *rate;     /* [R] */
    const int *key, *tick; /* [R, 2], [3] */
    long batch, cols, units;
    int site;
    bool vector;
};

struct Bits {
    uint32_t v[UNIT];
};

__device__ Bits philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                       uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

/* x with the dropped elements zero and the others scaled; element c of example b of run r. */
__device__ Four dropped(Four x, const Drop &a, long r, long b, long c) {
    const float rate = a.rate[r];
    if (!a.tick[2] || !(rate > 0)) return x;
    /* rate 2^32 is exact in float, and below 2^32 for every rate below 1 */
    const uint32_t below = rate < 1 ? (uint32_t)ceilf(rate * 0x1p32f) : UINT32_MAX;
    const float scale = rate < 1 ? 1 / (1 - rate) : 0;
    const Bits bits = philox((uint32_t)(c / UNIT), (uint32_t)(a.tick[1] + b), (uint32_t)a.tick[0],
                             (uint32_t)a.site, (uint32_t)a.key[2 * r], (uint32_t)a.key[2 * r + 1]);
    for (int j = 0; j < UNIT; j++) x.v[j] = bits.v[j] >= below ? x.v[j] * scale : 0;
    return x;
}

template <bool ADD>
__global__ void __launch_bounds__(POINT_THREADS) drop(float *y, const float *x, Drop a) {
    const long i = (long)blockIdx.x * POINT_THREADS + threadIdx.x, b = i / a.units, r = blockIdx.y;
    if (b >= a.batch) return;
    const long c = UNIT * (i - b * a.units), at = (r * a.batch + b) * a.cols + c;
    const int size = unit_size(c, a.cols);
    const Four old = unit_load(y + at, ADD ? size : 0, a.vector);
    Four v = dropped(unit_load(x + at, size, a.vector), a, r, b, c);
    for (int j = 0; ADD && j < UNIT; j++) v.v[j] += old.v[j];
    unit_store(y + at, v, size, a.vector);
}

template <bool ADD> void dropout(float *y, const float *x, Drop a, int runs) {
    a.units = (a.cols + UNIT - 1) / UNIT;
    a.vector = a.cols % UNIT == 0 && is_vector(y) && is_vector(x);
    LAUNCH((drop<ADD>), dim3(blocks_of(a.batch * a.units, POINT_THREADS), (unsigned)runs),
           dim3(POINT_THREADS), 0, y, x, a);
}
} // namespace

void K(dropout_fwd)(real *y, const real *x, const real *rate, const int *key, const int *tick,
                    int site, int runs, int batch, long cols) {
    dropout<false>(y, x, {rate, key, tick, batch, cols, 0, site, false}, runs);
}

void K(dropout_bwd)(real *dx, const real *dy, const real *rate, const int *key, const int *tick,
                    int site, int runs, int batch, long cols) {
    if (dx) dropout<true>(dx, dy, {rate, key, tick, batch, cols, 0, site, false}, runs);
}
