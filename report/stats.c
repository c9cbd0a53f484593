/* stats.c - see stats.h.
 *
 * Sources: Student's t through the incomplete beta function (continued fraction 26.5.8 of
 * Abramowitz and Stegun, evaluated by Lentz's method); Wilson (1927); interquartile mean with
 * stratified bootstrap as in Agarwal et al., NeurIPS 2021; Holm (1979). */
#include "stats.h"

#include "kernels/core/rng.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static const double LEVEL = 0.95;
enum { RESAMPLES = 2000 };

double stat_mean(const double *x, int n) {
    if (n == 0) return (double)NAN;
    /* Around the first value: equal values have exactly that mean, and no spread by rounding. */
    double sum = 0;
    for (int i = 1; i < n; i++) sum += x[i] - x[0];
    return x[0] + sum / n;
}

double stat_sd(const double *x, int n) {
    if (n < 2) return (double)NAN;
    double mean = stat_mean(x, n), sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (n - 1));
}

/* The continued fraction; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m <= 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 4 * DBL_EPSILON) break;
    }
    return f;
}

double beta_incomplete(double x, double a, double b) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double t_cdf(double t, double df) {
    double tail = 0.5 * beta_incomplete(df / (df + t * t), df / 2, 0.5);
    return t > 0 ? 1 - tail : tail;
}

/* Bisection on a monotone function: slow, short and without surprises. */
static double invert(double (*cdf)(double, double), double p, double df) {
    double low = -1, high = 1;
    while (cdf(low, df) > p && low > -1e300) low *= 2;
    while (cdf(high, df) < p && high < 1e300) high *= 2;
    for (int i = 0; i < 200; i++) {
        double middle = low + (high - low) / 2;
        if (cdf(middle, df) < p)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

/* With the signature that invert() wants. */
static double normal_cdf(double z, double unused) {
    (void)unused;
    return 0.5 * erfc(-z / sqrt(2.0));
}

double t_quantile(double p, double df) { return invert(t_cdf, p, df); }
double normal_quantile(double p) { return invert(normal_cdf, p, 0); }

double t_half_width(const double *x, int n) {
    if (n < 2) return (double)NAN;
    return t_quantile(0.5 + LEVEL / 2, n - 1) * stat_sd(x, n) / sqrt(n);
}

interval wilson_interval(int successes, int n) {
    if (n <= 0) return (interval){(double)NAN, (double)NAN};
    double z = normal_quantile(0.5 + LEVEL / 2), share = (double)successes / n;
    double scale = 1 + z * z / n, middle = (share + z * z / (2 * n)) / scale;
    double half = z * sqrt(share * (1 - share) / n + z * z / (4.0 * n * n)) / scale;
    /* The ends are exact where the formula only rounds to them. */
    double low = successes == 0 ? 0 : middle - half;
    double high = successes == n ? 1 : middle + half;
    return (interval){low, high};
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x in place. */
static double iqm_of(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, compare_double);
    int cut = n / 4;
    return stat_mean(x + cut, n - 2 * cut);
}

double stat_iqm(arena *a, const double *x, int n) {
    if (n == 0) return (double)NAN;
    return iqm_of(arena_regrow(a, x, sizeof *x * (size_t)n, sizeof *x * (size_t)n), n);
}

/* Percentile by linear interpolation between order statistics. */
static double percentile(const double *sorted, int n, double p) {
    double at = p * (n - 1);
    int i = (int)floor(at);
    if (i >= n - 1) return sorted[n - 1];
    return sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]);
}

interval iqm_interval(arena *a, const double *x, const int *size, int n_strata) {
    int n = 0;
    for (int s = 0; s < n_strata; s++) n += size[s];
    if (n < 2) return (interval){(double)NAN, (double)NAN};
    double *draw = ARENA_NEW(a, double, n), *iqm = ARENA_NEW(a, double, RESAMPLES);
    rng_key key = rng_key_make(0, "report/bootstrap", x, sizeof *x * (size_t)n);
    for (int r = 0; r < RESAMPLES; r++) {
        rng g = rng_start(key, (uint64_t)r, 0);
        for (int s = 0, at = 0; s < n_strata; at += size[s], s++)
            for (int i = 0; i < size[s]; i++)
                draw[at + i] = x[at + (int)rng_below(&g, (uint32_t)size[s])];
        iqm[r] = iqm_of(draw, n);
    }
    qsort(iqm, RESAMPLES, sizeof *iqm, compare_double);
    return (interval){percentile(iqm, RESAMPLES, (1 - LEVEL) / 2),
                      percentile(iqm, RESAMPLES, (1 + LEVEL) / 2)};
}

double paired_p(double *difference, const double *a, const double *b, int n) {
    *difference = (double)NAN;
    if (n < 2) return (double)NAN;
    double mean = 0, sum = 0;
    for (int i = 0; i < n; i++) mean += (a[i] - b[i]) / n;
    for (int i = 0; i < n; i++) sum += (a[i] - b[i] - mean) * (a[i] - b[i] - mean);
    *difference = mean;
    double se = sqrt(sum / (n - 1) / n);
    /* Differences equal up to rounding: the statistic is infinite, or nothing differs. */
    if (se <= 1e-15 * fabs(mean)) return fabs(mean) > 0 ? 0 : 1;
    double t = fabs(mean) / se, df = n - 1;
    return beta_incomplete(df / (df + t * t), df / 2, 0.5);
}

int holm_adjust(arena *a, double *p, int n) {
    bool *done = ARENA_NEW(a, bool, n);
    int count = 0;
    for (int i = 0; i < n; i++) {
        done[i] = isnan(p[i]);
        count += !done[i];
    }
    double least_adjusted = 0;
    for (int rank = 0; rank < count; rank++) {
        int least = -1;
        for (int i = 0; i < n; i++)
            if (!done[i] && (least < 0 || p[i] < p[least])) least = i;
        least_adjusted = fmax(least_adjusted, fmin(1, (count - rank) * p[least]));
        p[least] = least_adjusted;
        done[least] = true;
    }
    return count;
}
