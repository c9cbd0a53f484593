/* adamw.cu - one AdamW step over the flat parameter buffer of all runs; see kernels.def.
 *
 * Constants of the step are worked out in double once per run, by a launch of its own: two powers
 * in double in every block would be felt. The bias corrections go into the step size and into the
 * root: lr mhat / (sqrt(vhat) + eps) = (lr / (1 - beta1^step)) m / (sqrt(v) / sqrt(1 - beta2^step)
 * + eps). Moves 28 bytes per element. */
#include "pointwise.cuh"
#include "segment.cuh"

namespace {
enum { THREADS = 256 };

struct Step { /* of one run */
    float active, shrink, b1, c1, b2, c2, size, root, eps, decay;
};

__global__ void __launch_bounds__(THREADS)
    step_constants(Step *step, const float *norm, const float *hyper, int runs) {
    const int r = (int)(blockIdx.x * THREADS + threadIdx.x);
    if (r >= runs) return;
    const float *h = hyper + 8l * r;
    const double lr = (double)h[0], wd = (double)h[1], steps = (double)h[6];
    const double beta1 = (double)h[2], beta2 = (double)h[3], clip = (double)h[5];
    const double norm_r = (double)norm[r];
    Step s;
    s.active = h[7];
    s.shrink = clip > 0 && norm_r > clip ? (float)(clip / norm_r) : 1;
    s.b1 = h[2];
    s.b2 = h[3];
    s.c1 = (float)(1 - beta1);
    s.c2 = (float)(1 - beta2);
    s.size = (float)(lr / (1 - pow(beta1, steps)));
    s.root = (float)(1 / sqrt(1 - pow(beta2, steps)));
    s.eps = h[4];
    s.decay = (float)(lr * wd);
    step[r] = s;
}

/* p, m and v of one unit, changed. */
__device__ inline void update(Four *p, Four *m, Four *v, const Four &g, const Step &s,
                              const bool *decays) {
    for (int j = 0; j < UNIT; j++) {
        const float gj = g.v[j] * s.shrink, decay = decays[j] ? s.decay : 0;
        m->v[j] = fmaf(s.b1, m->v[j], s.c1 * gj);
        v->v[j] = fmaf(s.b2, v->v[j], s.c2 * (gj * gj));
        p->v[j] -= fmaf(decay, p->v[j], s.size * m->v[j] / fmaf(sqrtf(v->v[j]), s.root, s.eps));
    }
}

struct State { /* flat buffers of all runs, segment-major */
    float *p, *m, *v;
    const float *g;
    bool vector;
};

__global__ void __launch_bounds__(THREADS)
    adamw(State a, const Step *step, const int *seg, int n_seg, long params) {
    const long r = blockIdx.y, runs = gridDim.y;
    const long e = UNIT * ((long)blockIdx.x * THREADS + threadIdx.x);
    const int size = unit_size(e, params);
    if (!size) return;
    const Step s = step[r];
    if (s.active == 0) return; /* frozen: no bit may change, whatever the gradient holds */
    const Segment first = segment_find(seg, n_seg, runs, r, e);
    const bool whole = a.vector && first.left >= UNIT && first.at % UNIT == 0;
    long at[UNIT] = {first.at, first.at + 1, first.at + 2, first.at + 3};
    bool decays[UNIT] = {first.decay, first.decay, first.decay, first.decay};
    Four p = {}, m = {}, v = {}, g = {};
    if (whole) {
        p = unit_load(a.p + at[0], UNIT, true);
        m = unit_load(a.m + at[0], UNIT, true);
        v = unit_load(a.v + at[0], UNIT, true);
        g = unit_load(a.g + at[0], UNIT, true);
    } else {
        for (int j = 0; j < UNIT; j++) {
            if (j >= size) continue;
            if (j >= first.left) { /* across segments */
                const Segment next = segment_find(seg, n_seg, runs, r, e + j);
                at[j] = next.at;
                decays[j] = next.decay;
            }
            p.v[j] = a.p[at[j]];
            m.v[j] = a.m[at[j]];
            v.v[j] = a.v[at[j]];
            g.v[j] = a.g[at[j]];
        }
    }
    update(&p, &m, &v, g, s, decays);
    if (whole) {
        unit_store(a.p + at[0], p, UNIT, true);
        unit_store(a.m + at[0], m, UNIT, true);
        unit_store(a.v + at[0], v, UNIT, true);
    } else {
        for (int j = 0; j < UNIT; j++) {
            if (j >= size) continue;
            a.p[at[j]] = p.v[j];
            a.m[at[j]] = m.v[j];
            a.v[at[j]] = v.v[j];
        }
    }
}
} // namespace

void K(adamw_fwd)(real *p, real *m, real *v, const real *g, const real *norm, const real *hyper,
                  const int *seg, int runs, int params, int n_seg) {
    Scratch scratch;
    Step *step = scratch.take<Step>((size_t)runs);
    LAUNCH(step_constants, dim3(blocks_of(runs, THREADS)), dim3(THREADS), 0, step, norm, hyper,
           runs);
    const State a = {p, m, v, g, is_vector(p) && is_vector(m) && is_vector(v) && is_vector(g)};
    LAUNCH(adamw, dim3(blocks_of(params, UNIT * THREADS), (unsigned)runs), dim3(THREADS), 0, a,
           step, seg, n_seg, (long)params);
}
