"""Chi-square tests of drawn integers against exact laws."""

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2

# Sources are seeded: a law that holds passes always, one that does not fails always.
LEVEL = 1e-6


def p_value(observed, expected):
    """Chance of counts that are further from those expected; sparse bins are put together."""
    observed, expected = np.asarray(observed, dtype=float), np.asarray(expected, dtype=float)
    order = np.argsort(-expected)
    observed, expected = observed[order], expected[order]
    kept = int((expected >= 10).sum())
    observed = np.append(observed[:kept], observed[kept:].sum())
    expected = np.append(expected[:kept], max(expected[kept:].sum(), 1e-9))
    if expected[-1] < 1e-3:
        assert observed[-1] == 0
        observed, expected = observed[:-1], expected[:-1]
    statistic = ((observed - expected) ** 2 / expected).sum()
    return chi2.sf(statistic, len(observed) - 1)


def law_p_value(values, pmf):
    """P-value of integers against ``pmf(x)`` on the range where it matters."""
    reach = int(np.abs(values).max()) + 5
    x = np.arange(-reach, reach + 1)
    observed = np.bincount(values + reach, minlength=2 * reach + 1)
    return p_value(observed, len(values) * pmf(x))


def discrete_gaussian_pmf(sigma):
    def pmf(x):
        reach = np.arange(-int(40 * sigma) - 40, int(40 * sigma) + 41)
        return np.exp(-(x**2) / (2 * sigma**2)) / np.exp(-(reach**2) / (2 * sigma**2)).sum()

    return pmf


def discrete_laplace_pmf(scale):
    q = np.exp(-1 / scale)
    return lambda x: (1 - q) / (1 + q) * q ** np.abs(x)


def rounded_gaussian_pmf(sigma):
    return lambda x: ndtr((x + 0.5) / sigma) - ndtr((x - 0.5) / sigma)
