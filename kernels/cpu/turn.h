/* turn.h - cos and sin of t theta^(-2i/dim) for t = 0, 1, 2, ... (rope, sinusoidal positions).
 *
 * One libm call per pair, then each step of t turns every pair by its own fixed angle in double:
 * four multiplications instead of a cosine and a sine. The error grows by about 1e-16 per step,
 * the same as that of rounding t theta^(-2i/dim) itself, so float results are unaffected at any
 * length in use. Always starts at t = 0: a position's values do not depend on the length. */
#pragma once
#include "cpu.h"

enum { TURN_PAIRS = 256 }; /* pairs held at a time: 8 KiB of stack */

typedef struct turn {
    int pairs;
    double step_cos[TURN_PAIRS], step_sin[TURN_PAIRS], cos[TURN_PAIRS], sin[TURN_PAIRS];
} turn;

/* Pairs first, first + 1, ..., first + pairs - 1 of `dim` channels, at t = 0. */
static inline void turn_start(turn *w, int first, int pairs, int dim, double theta) {
    w->pairs = pairs;
    for (int i = 0; i < pairs; i++) {
        double angle = pow(theta, -2.0 * (first + i) / dim);
        w->step_cos[i] = cos(angle);
        w->step_sin[i] = sin(angle);
        w->cos[i] = 1;
        w->sin[i] = 0;
    }
}

static inline void turn_next(turn *w) {
    SIMD for (int i = 0; i < w->pairs; i++) {
        double c = w->cos[i], s = w->sin[i];
        w->cos[i] = c * w->step_cos[i] - s * w->step_sin[i];
        w->sin[i] = s * w->step_cos[i] + c * w->step_sin[i];
    }
}
