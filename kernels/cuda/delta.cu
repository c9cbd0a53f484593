/* delta.cu - the gated delta rule; see kernels.def and cpu/delta.c for the formulas.
 *
 * Forward: lanes share the rows (key channels) of a column of the state, which stays in registers;
 * a step needs one sum over lanes before the update, one after it, and none across blocks.
 *
 * Backward keeps no states. What ties tokens together are two numbers per token and column: the
 * error err_t = v_t - P_t^T k_t, of a sweep forwards, and du_t = dS_t^T k_t, of a sweep backwards
 * that does not need the states. Given these, with u = beta err and w = beta du, the rest are
 * linear recurrences over the transposed state, where sums run over value channels and lanes share
 * those:
 *
 *   forwards   P = a S,  -dk_t += P w_t,  S = P + k_t u_t^T,  dq_t = S dO_t
 *   backwards  dS += q_t dO_t^T,  dk_t += dS u_t,  dS = a (dS - k_t w_t^T)
 *   by token   dv = w, dbeta = du . err, dg = sum over s >= t of (q_s . dq_s - v_s . dv_s)
 *
 * dg follows from the symmetry that scaling g scales what q reads, and v what is written; summed in
 * double. Three launches: both sweeps for err and du, both recurrences, then the sums by token.
 * Scratch 2 x [R,B,T,H,V] and up to 2 x [R,B,T,H,K]. Flops per state element and token: 7 forward,
 * 26 backward. Sequential in time, as a step depends on the one before through the error. */
#include "delta_across.cuh"
#include "delta_columns.cuh"
#include "suffix.cuh"

namespace {

/* q dq - v dv of a token; on the way dbeta = du . err and dk -= known. At token 0 of a head. */
struct TokenTerm {
    const float *q, *pure_dq, *known, *v, *err, *du, *beta; /* pure_dq NULL: dg is not wanted */
    float *dk, *dbeta;                                      /* may be NULL */
    long heads, key, value;

    __device__ double of(long t, int lane) const {
        double sum = 0, through_v = 0, miss = 0;
        for (long i = lane; i < key; i += WARP) {
            const long at = t * heads * key + i;
            if (pure_dq) sum += (double)q[at] * (double)pure_dq[at];
            if (dk) dk[at] -= known[at];
        }
        for (long i = lane; i < value; i += WARP) {
            const long at = t * heads * value + i;
            through_v += (double)v[at] * (double)du[at];
            miss += (double)err[at] * (double)du[at];
        }
        miss = warp_sum(miss);
        if (dbeta && lane == 0) dbeta[t * heads] += (float)miss;
        return sum - through_v * (double)beta[t * heads];
    }
};

/* All pointers as in TokenTerm, but of all runs. */
__global__ void __launch_bounds__(SUFFIX_THREADS, 2)
    token_sums(float *dg, TokenTerm all, long time) {
    const long seq = blockIdx.x / all.heads, head = blockIdx.x - seq * all.heads;
    const long one = seq * time * all.heads + head, key = one * all.key, value = one * all.value;
    TokenTerm x = all;
    x.q += key, x.v += value, x.err += value, x.du += value, x.beta += one;
    if (x.pure_dq) x.pure_dq += key;
    if (x.dk) x.dk += key, x.known += key;
    if (x.dbeta) x.dbeta += one;
    suffix_sum(dg ? dg + one : nullptr, all.heads, x, time);
}
} // namespace

void K(delta_fwd)(real *o, const real *q, const real *k, const real *v, const real *beta,
                  const real *g, real *, int runs, int batch, int time, int heads, int key,
                  int value) {
    const Delta a = {time, heads, key, value, beta, g, {}};
    columns_pick({{k, q, v, o, nullptr, false}, {}}, 1, a, (long)runs * batch * heads);
}

void K(delta_bwd)(real *dq, real *dk, real *dv, real *dbeta, real *dg, const real *dO,
                  const real *q, const real *k, const real *v, const real *beta, const real *g,
                  real *, int runs, int batch, int time, int heads, int key, int value) {
    if (!dq && !dk && !dv && !dbeta && !dg) return;
    const Delta a = {time, heads, key, value, beta, g, {}};
    const long seq_heads = (long)runs * batch * heads;
    const size_t rows = (size_t)seq_heads * (size_t)time;
    Scratch scratch;
    float *err = scratch.take<float>(rows * (size_t)value);
    float *du = scratch.take<float>(rows * (size_t)value);
    float *pure_dq = dg ? scratch.take<float>(rows * (size_t)key) : nullptr;
    float *known = dk ? scratch.take<float>(rows * (size_t)key) : nullptr;
    columns_pick({{k, nullptr, v, err, nullptr, false}, {k, q, dO, du, dv, true}}, 2, a, seq_heads);
    if (dq || dk || dg)
        across_pick({{{dO, err, du, k, q, dq, pure_dq, known, nullptr, false},
                      {dO, err, du, k, q, nullptr, nullptr, nullptr, dk, true}}},
                    dk ? 2 : 1, a, seq_heads);
    if (dk || dbeta || dg)
        LAUNCH(token_sums, dim3((unsigned)seq_heads), dim3(SUFFIX_THREADS), SUFFIX_BYTES, dg,
               TokenTerm{q, pure_dq, known, v, err, du, beta, dk, dbeta, heads, key, value},
               (long)time);
}
