/* stats.h - the statistics of a report, for small numbers of seeds.
 *
 * The replication unit is the seed. Everything is a pure function of its arguments: the bootstrap
 * draws from a Philox stream keyed by the data themselves. Missing results are NAN, never 0.
 * Known values are tested in test/stats_test.c. */
#pragma once
#include "kernels/core/arena.h"

typedef struct interval {
    double low, high; /* NAN: not defined for so few values */
} interval;

double stat_mean(const double *x, int n); /* NAN for n = 0 */
double stat_sd(const double *x, int n);   /* of a sample (n - 1); NAN for n < 2 */

/* Regularised incomplete beta function I_x(a, b), by continued fraction, to about 1e-14. */
double beta_incomplete(double x, double a, double b);
double t_cdf(double t, double df);
double t_quantile(double p, double df); /* 0 < p < 1 */
double normal_quantile(double p);

/* Half the width of the Student interval of the mean at 95 %; NAN for n < 2. */
double t_half_width(const double *x, int n);
/* Wilson score interval of a share at 95 %; NAN for n = 0. */
interval wilson_interval(int successes, int n);

/* Interquartile mean: floor(n / 4) values are cut from each end. */
double stat_iqm(arena *a, const double *x, int n);
/* Percentile interval (95 %) of the IQM over all values, from 2000 resamples drawn with replacement
 * inside each stratum: x holds the strata one after another, size[i] values each. */
interval iqm_interval(arena *a, const double *x, const int *size, int n_strata);

/* Two-sided p of a paired t test over n pairs; *difference: mean of a - b. NAN for n < 2. Equal
 * differences that are not zero give p = 0, all zero give p = 1. */
double paired_p(double *difference, const double *a, const double *b, int n);
/* Holm's step-down correction, in place; NAN stays NAN and is not counted. Returns the number of
 * comparisons. */
int holm_adjust(arena *a, double *p, int n);
