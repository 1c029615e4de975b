#!/usr/bin/env python3
"""What the two rules of tolerance.h let through, measured on errors that backends really make.

A gated matmul silu(x G^T) * (x U^T) of inputs rounded to BF16 is the hard case: the error of an element is about
|u| e_g + |g| e_u and therefore varies between elements like a product of two normal numbers. R is computed in f64. The
draws of E are computed with x and the weights rounded to BF16 and to other grids, as in envelope.cpp. T stands for four
backends that round only x, only the weights, or both on other grids. The script prints the factor that the worst
element and the root mean square of each case would have needed; tolerance.h allows 6 and 1.5.

    python3 tests/conformance/tolerance_study.py [--cases 1500] [--seed 1]     # numpy; a minute
"""

import argparse

import numpy as np

DRAWS = 8


def to_bf16(x):
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def to_grid(x, factor):
    x = np.asarray(x, dtype=np.float32)
    plain = to_bf16(x)
    return np.where(plain == x, plain, to_bf16(x * np.float32(factor)) / factor)


def gated(x, weight):
    gate, up = np.split(x @ weight.T, 2, axis=1)
    return gate / (1 + np.exp(-np.clip(gate, -700, 700))) * up


def rms(x, axis=None):
    return np.sqrt(np.mean(x * x, axis=axis))


def make_case(rng):
    m, n, k = rng.choice([1, 4, 17, 130]), rng.choice([1, 5, 96, 700]), rng.choice([3, 16, 64, 257])
    x = (rng.normal(size=(m, k)) * rng.choice([0.1, 1, 10])).astype(np.float32).astype(np.float64)
    weight = rng.normal(size=(2 * n, k)) / np.sqrt(k) * (0.5 + 1.5 * (np.arange(2 * n) % 7) / 6)[:, None]
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    return x, (scale.astype(np.float32) * np.rint(weight / scale).astype(np.float32)).astype(np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    needed = {}
    n_elements = 0
    for _ in range(arguments.cases):
        x, weight = make_case(rng)
        r = gated(x, weight)
        grids = [2 ** (d / DRAWS) for d in range(DRAWS)]
        draws = np.array([gated(to_grid(x, grid), to_grid(weight, grid)) for grid in grids]) - r
        tested = [gated(to_bf16(x), weight), gated(x, to_bf16(weight)), gated(to_grid(x, 1.37), weight),
                  gated(to_grid(x, 1.13), to_grid(weight, 1.71))]
        floor = 128 * 2.0**-24 * (np.abs(r) + rms(r))
        n_elements += len(tested) * r.size
        for n in (1, 2, 4, DRAWS):
            chosen = draws[:: DRAWS // n]
            own = rms(chosen, axis=0)
            spread = np.maximum(np.maximum(rms(own, axis=1)[:, None], rms(own, axis=0)[None, :]), rms(own))
            with_size = np.maximum(spread, np.abs(r) * rms(own) / max(rms(r), 1e-300))
            whole = np.array([rms(draw) for draw in chosen])
            rules = {"element, own + spread": own + spread,
                     "element, own + max(spread, |R| rms(E-R) / rms(R))": own + with_size}
            for t in tested:
                excess = np.maximum(np.abs(t - r) - floor, 0)
                for rule, yardstick in rules.items():
                    needed.setdefault((rule, n), []).append(np.max(excess / np.maximum(yardstick, 1e-300)))
                needed.setdefault(("rms, largest", n), []).append(rms(t - r) / max(whole.max(), 1e-300))
                needed.setdefault(("rms, largest^2 / smallest", n), []).append(
                    rms(t - r) * whole.min() / max(whole.max() ** 2, 1e-300))
    print(f"{arguments.cases} cases, {n_elements:.1e} elements; factor that was needed")
    print(f"{'rule':50} draws    median   99.9 %       max")
    for (rule, n), factors in sorted(needed.items()):
        print(f"{rule:50} {n:5} {np.median(factors):9.2f} {np.quantile(factors, 0.999):8.2f} {np.max(factors):9.2f}")


if __name__ == "__main__":
    main()
