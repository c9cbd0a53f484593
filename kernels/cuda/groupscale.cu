/* groupscale.cu - a factor per group of channels and position; see kernels.def.
 *
 * Forward is a stream of floats that looks up its group, so that groups of any size are read whole.
 * Backward has a team of team.cuh per group and makes both gradients from one reading of dy and x.
 * Moves 8 bytes per element forward, 16 backward. */
#include "pointwise.cuh"
#include "team.cuh"

namespace {
__global__ void __launch_bounds__(POINT_THREADS)
    scale_groups(float *y, const float *x, const float *s, long n, long dim, bool vector) {
    const long at = UNIT * ((long)blockIdx.x * POINT_THREADS + threadIdx.x);
    const int size = unit_size(at, n);
    Four v = unit_load(x + at, size, vector);
    long g = at / dim, left = (g + 1) * dim - at; /* channels of the group from here on */
    for (int j = 0; j < UNIT; j++) {
        if (j < size) v.v[j] *= s[g];
        if (--left == 0) g++, left = dim;
    }
    unit_store(y + at, v, size, vector);
}

/* A team per group; dx or ds may be NULL. */
template <int LANES, int N>
__global__ void __launch_bounds__(Block<LANES>::THREADS)
    scale_back(float *dx, float *ds, const float *dy, const float *x, const float *s, long groups,
               int dim) {
    DYN_SHARED(float, part);
    const Lane<LANES, N> lane(dim);
    const int span = lane.SPAN, pieces = lane.pieces(dim);
    const long g = (long)blockIdx.x * Block<LANES>::TEAMS + threadIdx.x / LANES;
    const bool live = g < groups; /* others stay for the sums */
    const long at = live ? g * dim : 0;
    const float factor = live ? s[g] : 0;
    float dot[1] = {0};
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        float d[N], v[N], old[N];
        lane.load(d, dy + at + p * span, left);
        lane.load(v, x + at + p * span, ds ? left : 0);
        lane.load(old, dx + at + p * span, dx ? left : 0);
        for (int j = 0; j < N; j++) {
            dot[0] = fmaf(d[j], v[j], dot[0]);
            old[j] = fmaf(d[j], factor, old[j]);
        }
        if (dx) lane.store(dx + at + p * span, old, left);
    }
    if (!ds) return;
    team_sum<LANES>(dot, part);
    if (live && threadIdx.x % LANES == 0) ds[g] += dot[0];
}

struct Backward {
    float *dx, *ds;
    const float *dy, *x, *s;
    long groups;
    int dim;
    template <int LANES, int N> void run() const {
        constexpr int THREADS = Block<LANES>::THREADS;
        LAUNCH((scale_back<LANES, N>), dim3(blocks_of(groups, Block<LANES>::TEAMS)), dim3(THREADS),
               THREADS / WARP * sizeof(float), dx, ds, dy, x, s, groups, dim);
    }
};
} // namespace

void K(groupscale_fwd)(real *y, const real *x, const real *s, long groups, int dim) {
    const long n = groups * dim;
    LAUNCH(scale_groups, dim3(blocks_of(n, UNIT * POINT_THREADS)), dim3(POINT_THREADS), 0, y, x, s,
           n, (long)dim, is_vector(y) && is_vector(x));
}

void K(groupscale_bwd)(real *dx, real *ds, const real *dy, const real *x, const real *s,
                       long groups, int dim) {
    if (dx || ds) with_team(dim, Backward{dx, ds, dy, x, s, groups, dim});
}
