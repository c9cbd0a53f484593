/* functions.h - names of functions: those of one variable that the op `map` computes, y = f(x + a);
 * MAP_TIMES alone is y = a x. */
#pragma once

enum map_kind {
    MAP_SIGMOID,
    MAP_TANH,
    MAP_SOFTPLUS, /* log(1 + e^x) */
    MAP_EXP,
    MAP_NEG_EXP, /* -e^x */
    MAP_SIN,
    MAP_RELU,
    MAP_RELU2, /* max(x, 0)^2 (So et al. 2021) */
    MAP_ELU1,  /* elu(x) + 1 = x + 1 for x > 0, else e^x (Katharopoulos et al. 2020) */
    MAP_RECIPROCAL,
    MAP_SQUARE,
    MAP_TIMES,
    N_MAP
};

/* What the op `features` makes of the time s = t / length (Poli et al. 2023, "Hyena", appendix). */
enum features_kind {
    FEATURES_FOURIER, /* s, cos(2 pi f_i s) .., -sin(2 pi f_i s) ..; f_i from 1e-4 to bands - 1 */
    FEATURES_WINDOW,  /* e^(-s rate_c), rates from log(100) / 1.5 to log(100) / 0.3 */
    N_FEATURES
};
