#!/usr/bin/env python3
"""How often the interval of a run holds the figure of a rerun, simulated with known truth (docs/metrics.md).

NumPy and SciPy are the independent implementation: the bounds are computed here a second time, from the formula in
lib/stats/rerun.h alone, with SciPy's Student t. `simulate.py --reference` prints the values that
tests/unit/stats/rerun_test.cpp expects.
"""

import argparse

import numpy as np
from scipy import stats

REPETITIONS = (3, 5, 7, 10)
PROMPTS = 25


def variance_of_mean(logs):
    """The variance of each row's mean. It takes the correlation of neighbours into account, increased by 1.4 of its standard errors."""
    n = logs.shape[1]
    squares = logs.var(axis=1, ddof=1) * (n - 1)
    steps = (np.diff(logs, axis=1) ** 2).sum(axis=1)
    phi = np.clip(1 - steps / (2 * squares) + 1.4 / np.sqrt(n), 0, 0.8)
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    ratio = (phi[:, None, None] ** distance).sum(axis=(1, 2)) / n
    return squares / n * ratio / (n - ratio)


def distances(by_repetition):
    """For each row, the distance of the interval's bounds from the figure on a logarithmic scale."""
    n = by_repetition.shape[1]
    return stats.t.ppf(0.975, n - 1) * np.sqrt(2 * variance_of_mean(np.log(by_repetition)))


def correlated(rng, shape, phi):
    """Rows of an AR(1) process with standard deviation 1."""
    noise = rng.normal(size=shape)
    for i in range(1, shape[1]):
        noise[:, i] = phi * noise[:, i - 1] + np.sqrt(1 - phi**2) * noise[:, i]
    return noise


def single_stream(rng, runs, n, common, lengths):
    """Times [run, repetition, prompt] for prompts of very different lengths, with noise of each repetition and noise of each request."""
    return lengths * np.exp(common[:, :, None] + 0.05 * rng.normal(size=(runs, n, PROMPTS)))


def lengths_of(rng):
    return np.exp(rng.uniform(np.log(1), np.log(40), size=PROMPTS))


def pooled_median(times):
    return np.median(times.reshape(len(times), -1), axis=1)


def simulate(shape, statistic, n, runs, rng):
    """Figures [run] and the values of their repetitions [run, repetition]."""
    sigma = 0.03
    common = sigma * rng.normal(size=(runs, n))
    if shape == "heavy tails":
        common = sigma * rng.standard_t(3, size=(runs, n))
    elif shape == "drift":
        common = sigma * correlated(rng, (runs, n), 0.5)
    elif shape == "slow drift":
        common = sigma * correlated(rng, (runs, n), 0.6)
    elif shape == "outliers":
        common += np.where(rng.random((runs, n)) < 0.1, np.log1p(0.35 * rng.random((runs, n))), 0)
    if statistic == "throughput":
        rates = 1000 * np.exp(-common)
        return np.median(rates, axis=1), rates
    if statistic == "batch":
        # The 16 requests of a batch wait for the same four steps, so there are only four different times to the first token.
        steps = np.exp(common[:, :, None] + 0.1 * rng.normal(size=(runs, n, 8)))
        times = np.repeat(np.cumsum(steps[:, :, :4], axis=2), 4, axis=2)
    else:
        times = single_stream(rng, runs, n, common, simulate.lengths)
    if statistic == "mean of requests":
        return times.mean(axis=(1, 2)), times.mean(axis=2)
    return pooled_median(times), np.median(times, axis=2)


def coverage(shape, statistic, n, runs, rng):
    figures, by_repetition = simulate(shape, statistic, n, runs, rng)
    reruns, _ = simulate(shape, statistic, n, runs, rng)
    return np.mean(np.abs(np.log(reruns / figures)) <= distances(by_repetition))


def print_reference():
    for values in ([100, 103, 98], [5, 5.5, 5.2, 6.1, 6.0], [1.0, 1.3, 0.9, 1.2, 1.0, 1.1, 1.25], [2, 1, 2, 1, 2, 1, 2, 1], list(range(1, 13))):
        distance = distances(np.array([values], dtype=float))[0]
        print(values, repr(float(np.exp(distance))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference", action="store_true", help="print the expected values of rerun_test.cpp")
    options = parser.parse_args()
    if options.reference:
        return print_reference()
    rng = np.random.default_rng(options.seed)
    simulate.lengths = lengths_of(rng)
    print(f"| repetitions vary | figure | {' | '.join(f'{n} repetitions' for n in REPETITIONS)} |")
    print("| --- " * (2 + len(REPETITIONS)) + "|")
    lowest, highest = 1.0, 0.0
    for shape in ("independently", "heavy tails", "outliers", "drift", "slow drift"):
        for statistic in ("median of requests", "mean of requests", "batch", "throughput"):
            shares = [coverage(shape, statistic, n, options.runs, rng) for n in REPETITIONS]
            lowest, highest = min(lowest, *shares), max(highest, *shares)
            print(f"| {shape} | {statistic} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")
    print(f"\nfrom {100 * lowest:.1f} % to {100 * highest:.1f} %; 95 % intervals should hold 90 to 99 %")
    return 0 if 0.9 <= lowest and highest <= 0.99 else 1


if __name__ == "__main__":
    raise SystemExit(main())
