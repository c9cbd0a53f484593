/* decay.c - see decay.h. */
#include "decay.h"

#include "kernels/core/op.h"
#include "kernels/core/rng.h"

#include <math.h>

double time_step_start(rng *draw, const tensor *t, size_t j) {
    (void)t;
    (void)j;
    const double low = log(1e-3), high = log(1e-1);
    const double step = fmax(exp(low + (high - low) * rng_uniform(draw)), 1e-4);
    return step + log(-expm1(-step)); /* log(e^step - 1), without cancellation */
}

double log_count_start(rng *draw, const tensor *t, size_t j) {
    (void)draw;
    return log(1 + (double)(j % (size_t)tensor_last(t)));
}

double log_rate_start(rng *draw, const tensor *t, size_t j) {
    (void)t;
    (void)j;
    return log(1 + 15 * rng_uniform(draw));
}
