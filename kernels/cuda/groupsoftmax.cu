/* groupsoftmax.cu - softmax of short groups; see kernels.def.
 *
 * A team of team.cuh per group, whose values stay in its registers: moves 8 bytes per element
 * forward, 16 backward. Groups beyond the largest span are read once more per pass. */
#include "team.cuh"

namespace {
template <int LANES, int N>
__global__ void __launch_bounds__(Block<LANES>::THREADS)
    soften(float *y, const float *x, long groups, int dim) {
    DYN_SHARED(float, part);
    const Lane<LANES, N> lane(dim);
    const int span = lane.SPAN, pieces = lane.pieces(dim);
    const long g = (long)blockIdx.x * Block<LANES>::TEAMS + threadIdx.x / LANES;
    const bool live = g < groups; /* others stay for the sums */
    const long at = live ? g * dim : 0;
    float v[N], top[1] = {-INFINITY}, sum[1] = {0};
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        lane.load(v, x + at + p * span, left);
        for (int j = 0; j < N; j++)
            if (lane.channel(j) < left) top[0] = fmaxf(top[0], v[j]);
    }
    team_join<LANES, Larger>(top, part);
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        if (pieces > 1) lane.load(v, x + at + p * span, left);
        for (int j = 0; j < N; j++) {
            v[j] = lane.channel(j) < left ? expf(v[j] - top[0]) : 0;
            sum[0] += v[j];
        }
    }
    team_sum<LANES>(sum, part);
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        if (pieces > 1) {
            lane.load(v, x + at + p * span, left);
            for (int j = 0; j < N; j++) v[j] = expf(v[j] - top[0]);
        }
        for (int j = 0; j < N; j++) v[j] /= sum[0];
        lane.store(y + at + p * span, v, left);
    }
}

template <int LANES, int N>
__global__ void __launch_bounds__(Block<LANES>::THREADS)
    soften_back(float *dx, const float *dy, const float *y, long groups, int dim) {
    DYN_SHARED(float, part);
    const Lane<LANES, N> lane(dim);
    const int span = lane.SPAN, pieces = lane.pieces(dim);
    const long g = (long)blockIdx.x * Block<LANES>::TEAMS + threadIdx.x / LANES;
    const bool live = g < groups; /* others stay for the sums */
    const long at = live ? g * dim : 0;
    float d[N], v[N], old[N], dot[1] = {0};
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        lane.load(d, dy + at + p * span, left);
        lane.load(v, y + at + p * span, left);
        if (pieces == 1) lane.load(old, dx + at, left); /* under way during the sum */
        for (int j = 0; j < N; j++) dot[0] = fmaf(d[j], v[j], dot[0]);
    }
    team_sum<LANES>(dot, part);
    for (int p = 0; p < pieces; p++) {
        const int left = live ? dim - p * span : 0;
        if (pieces > 1) {
            lane.load(d, dy + at + p * span, left);
            lane.load(v, y + at + p * span, left);
            lane.load(old, dx + at + p * span, left);
        }
        for (int j = 0; j < N; j++) old[j] = fmaf(v[j], d[j] - dot[0], old[j]);
        lane.store(dx + at + p * span, old, left);
    }
}

struct Forward {
    float *y;
    const float *x;
    long groups;
    int dim;
    template <int LANES, int N> void run() const {
        constexpr int THREADS = Block<LANES>::THREADS;
        LAUNCH((soften<LANES, N>), dim3(blocks_of(groups, Block<LANES>::TEAMS)), dim3(THREADS),
               THREADS / WARP * sizeof(float), y, x, groups, dim);
    }
};

struct Backward {
    float *dx;
    const float *dy, *y;
    long groups;
    int dim;
    template <int LANES, int N> void run() const {
        constexpr int THREADS = Block<LANES>::THREADS;
        LAUNCH((soften_back<LANES, N>), dim3(blocks_of(groups, Block<LANES>::TEAMS)), dim3(THREADS),
               THREADS / WARP * sizeof(float), dx, dy, y, groups, dim);
    }
};
} // namespace

void K(groupsoftmax_fwd)(real *y, const real *x, long groups, int dim) {
    with_team(dim, Forward{y, x, groups, dim});
}

void K(groupsoftmax_bwd)(real *dx, const real *dy, const real *y, long groups, int dim) {
    if (dx) with_team(dim, Backward{dx, dy, y, groups, dim});
}
