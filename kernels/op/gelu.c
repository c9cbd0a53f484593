/* gelu.c - y = x Phi(x), Phi the normal distribution function: the exact form (Hendrycks and
 * Gimpel 2016), not the tanh one. dx = dy (Phi(x) + x phi(x)), phi the normal density.
 * Cost 25 per element: a degree 8 polynomial, an exponential counted as one. */
#include "unary.h"

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -6, .hi = 6}}},
    {.in = {{2, {3, 33}, .lo = -12, .hi = 12}}},
};

UNARY(gelu, "y = x Phi(x)", 25);
