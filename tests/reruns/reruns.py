#!/usr/bin/env python3
"""How often the interval of a real run holds the figure of a rerun (docs/metrics.md).

    reruns.py SECONDSOURCE BUNDLE --out FOLDER [--runs 60] [--repetitions 5]

Runs the same short plan again and again, one run after the other, and takes every pair of two different runs: does the
figure of the second lie within the 95 % interval of the first? A FOLDER that has runs already is continued. Cells
without credit are left out. Ends with 1 if fewer than 90 % or more than 99 % of the pairs hold, over all cells and figures.
"""

import argparse
import json
import pathlib
import subprocess
import sys

FIGURES = (
    "ttft_e2e_p50_ns",
    "ttft_e2e_p95_ns",
    "e2e_p50_ns",
    "tpot_mean_ns",
    "tpot_p50_ns",
    "itl_p50_ns",
    "itl_p99_ns",
    "output_tok_per_s",
    "decode_tok_per_s",
    "prefill_tok_per_s",
)
HEAVY_LOSS = 0.25  # from this loss on, a report marks a row as having little meaning (docs/checks.md)
INVALID_CELLS = 6  # the exit status of a run with invalid cells


def measure(options, folder):
    command = [options.program, "run", options.bundle, "--backend", options.backend, "--variant", options.variant]
    command += ["--scenario", options.scenario, "--repetitions", str(options.repetitions), "--out", str(folder)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, INVALID_CELLS):
        raise SystemExit(f"{folder}: the run ended with {done.returncode}: {done.stderr.strip()}")


def cells_of(folder):
    """Maps names to those cells of a run that have credit."""
    cells = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["cells"]
    return {
        "/".join(cell["key"][part] for part in ("bundle", "backend", "variant", "scenario")): cell
        for cell in cells
        if cell["status"] in ("complete", "partial") and cell["golden"] != "failed"
    }


def count(estimates):
    """Counts the pairs of runs in which the figure of the second is within the interval of the first, and all pairs; then the same for
    consecutive runs only."""
    held = of = next_held = next_of = 0
    for i, run in enumerate(estimates):
        if run["low"] is None:
            continue
        for j, rerun in enumerate(estimates):
            if i == j or rerun["value"] is None:
                continue
            holds = run["low"] <= rerun["value"] <= run["high"]
            held, of = held + holds, of + 1
            if j == i + 1:
                next_held, next_of = next_held + holds, next_of + 1
    return held, of, next_held, next_of


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def median(values):
    ascending = sorted(values)
    return ascending[len(ascending) // 2] if ascending else float("nan")


def table(runs, heading):
    """Prints the counts, and returns the sums over all cells and figures."""
    print(f"\n{heading}\n")
    print("| cell | figure | median ± | reruns within ± | the next run within ± |")
    print("| --- | --- | --- | --- | --- |")
    sums = [0, 0, 0, 0]
    for name in sorted({name for run in runs for name in run}):
        for figure in FIGURES:
            estimates = [run[name][figure] for run in runs if name in run]
            counts = count(estimates)
            if not counts[1]:
                continue
            sums = [a + b for a, b in zip(sums, counts)]
            widths = [estimate["high"] / estimate["value"] - 1 for estimate in estimates if estimate["low"]]
            shares = f"{percent(*counts[:2])} of {counts[1]} | {percent(*counts[2:])} of {counts[3]}"
            print(f"| {name} | {figure} | {100 * median(widths):.1f} % | {shares} |")
    print(f"| all | all | | {percent(*sums[:2])} of {sums[1]} | {percent(*sums[2:])} of {sums[3]} |")
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("bundle")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="where the runs are kept")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--variant", default="bf16")
    parser.add_argument("--scenario", default="single-stream,offline:4")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folders = [options.out / f"{i:03d}" for i in range(options.runs)]
    for i, folder in enumerate(folders):
        if not (folder / "summary.json").exists():
            measure(options, folder)
            print(f"\rrun {i + 1} of {options.runs}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    runs = [cells_of(folder) for folder in folders]
    calm = [{name: cell for name, cell in run.items() if (cell["time_lost"] or 0) <= HEAVY_LOSS} for run in runs]
    n_cells, n_calm = sum(map(len, runs)), sum(map(len, calm))
    held, of, _, _ = table(runs, f"All {len(runs)} runs of {options.repetitions} repetitions, {n_cells} cells:")
    if 0 < n_calm < n_cells:
        heading = f"Without the {n_cells - n_calm} cells that lost over {100 * HEAVY_LOSS:.0f} % of their time:"
        held, of, _, _ = table(calm, heading)
    return 0 if of and 0.90 <= held / of <= 0.99 else 1


if __name__ == "__main__":
    raise SystemExit(main())
