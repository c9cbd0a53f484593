/* orthogonal.c - see orthogonal.h. Gram-Schmidt of normal vectors; cost 4 rows cols^2. */
#include "orthogonal.h"

#include "rng.h"

#include <math.h>

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void normal_row(double *x, struct rng *draw, int n) {
    for (int i = 0; i < n; i++) x[i] = rng_normal(draw);
}

void orthogonal_rows(double *x, struct rng *draw, int rows, int cols) {
    for (int i = 0; i < rows; i++) {
        double *row = x + (long)i * cols;
        normal_row(row, draw, cols);
        for (int pass = 0; pass < 2; pass++) /* the second takes away what rounding left */
            for (int j = i - i % cols; j < i; j++) {
                const double *other = x + (long)j * cols, share = dot(row, other, cols);
                for (int c = 0; c < cols; c++) row[c] -= share * other[c];
            }
        const double length = sqrt(dot(row, row, cols));
        for (int c = 0; c < cols; c++) row[c] /= length;
    }
    for (int i = 0; i < rows; i++) {
        double square = 0;
        for (int c = 0; c < cols; c++) {
            const double v = rng_normal(draw);
            square += v * v;
        }
        for (int c = 0; c < cols; c++) x[(long)i * cols + c] *= sqrt(square);
    }
}
