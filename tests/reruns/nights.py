#!/usr/bin/env python3
"""How often `history check` is right, simulated with known truth (docs/operating-characteristic.md, "Over months").

NumPy and SciPy are the independent implementation: the rule is computed here a second time, from docs/gate.md alone. The first line of each
pair is the rule; `mad` is the same with the standard error of stored runs, from the median absolute deviation of each side.
"""

import argparse

import numpy as np
from scipy import stats

THRESHOLD = 0.10
NIGHTS = ((5, 5), (5, 10), (10, 10))
SIGMAS = (0.05, 0.08, 0.12)
SLOWER = (0.15, 0.25, 0.50)
SAME_QUARTILES = stats.norm.ppf(0.75) / stats.t.ppf(0.75, 3)


def nights(rng, kind, shape, sigma):
    """Logarithms of independent nights."""
    return sigma * (rng.normal(size=shape) if kind == "gaussian" else SAME_QUARTILES * rng.standard_t(3, shape))


def pooled_error(a, b):
    n_a, n_b = a.shape[1], b.shape[1]
    squares = a.var(axis=1, ddof=1) * (n_a - 1) + b.var(axis=1, ddof=1) * (n_b - 1)
    return np.sqrt(np.pi / 3 * squares / (n_a + n_b - 2) * (1 / n_a + 1 / n_b))


def mad_error(a, b):
    variances = [(1.4826 * stats.median_abs_deviation(x, axis=1)) ** 2 / x.shape[1] for x in (a, b)]
    return np.sqrt(np.pi / 2 * sum(variances))


def is_regressed(a, b, error, n_verdicts):
    shift = np.median((b[:, :, None] - a[:, None, :]).reshape(len(a), -1), axis=1)
    degrees = a.shape[1] + b.shape[1] - 2
    is_significant = stats.t.sf(shift / error, degrees) <= 0.01 / n_verdicts
    is_large = shift - stats.t.ppf(0.9975, degrees) * error > np.log1p(THRESHOLD / 2)
    return (shift > np.log1p(THRESHOLD)) & is_significant & is_large


def share(rng, kind, n_nights, sigma, slower, error_of, n_verdicts, n_trials):
    """The share of verdicts that are regressed."""
    n_found = 0
    for begin in range(0, n_trials, 20_000):
        n = min(20_000, n_trials - begin)
        a = nights(rng, kind, (n, n_nights[0]), sigma)
        b = nights(rng, kind, (n, n_nights[1]), sigma) + np.log1p(slower)
        n_found += is_regressed(a, b, error_of(a, b), n_verdicts).sum()
    return n_found / n_trials


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20, help="cells of the check, with two verdicts each")
    parser.add_argument("--trials", type=int, default=200_000, help="verdicts for each row")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    n_verdicts = 2 * arguments.cells
    print("nights  noise     sigma  error   false checks %  " + "  ".join(f"+{100 * slower:.0f} %" for slower in SLOWER))
    for n_nights in NIGHTS:
        for kind in ("gaussian", "heavy"):
            for sigma in SIGMAS:
                for name, error_of in (("pooled", pooled_error), ("mad", mad_error)):
                    false = share(rng, kind, n_nights, sigma, 0, error_of, n_verdicts, arguments.trials)
                    found = [share(rng, kind, n_nights, sigma, slower, error_of, n_verdicts, arguments.trials // 10) for slower in SLOWER]
                    false_checks = 100 * (1 - (1 - false) ** n_verdicts)
                    print(f"{n_nights[0]:2}, {n_nights[1]:2}  {kind:8}  {sigma:.2f}   {name:6}  {false_checks:14.2f}  " +
                          "  ".join(f"{100 * one:5.1f}" for one in found), flush=True)


if __name__ == "__main__":
    main()
