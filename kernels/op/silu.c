/* silu.c - y = x s, s = sigmoid(x) (swish). dx = dy s (1 + x (1 - s)). Cost 5 per element, an
 * exponential counted as one. */
#include "unary.h"

static const op_case cases[] = {
    {.in = {{3, {2, 3, 5}}}},
    {.in = {{1, {1}}}},
    {.in = {{2, {33, 129}, .lo = -6, .hi = 6}}},
    {.in = {{2, {3, 33}, .lo = -40, .hi = 40}}},
};

UNARY(silu, "y = x sigmoid(x)", 5);
