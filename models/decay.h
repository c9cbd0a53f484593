/* decay.h - how the rates of state-space mixers start; formulas for block_formula. */
#pragma once
#include "block.h"

struct rng;
/* softplus^-1 of a time step, log-uniform in [1e-3, 1e-1] and at least 1e-4 (Gu and Dao 2023). */
double time_step_start(struct rng *draw, const tensor *t, size_t j);
/* log(1 + j mod N), N the last dimension: A = -(1 .. N) (S4D-real). */
double log_count_start(struct rng *draw, const tensor *t, size_t j);
/* log of U(1, 16) (Dao and Gu 2024). */
double log_rate_start(struct rng *draw, const tensor *t, size_t j);
