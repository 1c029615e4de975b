"""Which kernel was fastest where there is a choice: kernel_bench's results with each, side by side.

    python3 compare_choices.py BM_matmul tiles.md auto=auto.json 64x64=64x64.json ...
    python3 compare_choices.py BM_attention attention.md auto=auto.json mma=mma.json ...

Each file is the --benchmark_out of one run with the option tiles=NAME, or attention=NAME. A row a case, GFLOP/s of each
choice; what the backend chose is the column auto, and beside it how much of the best choice's rate it had.
"""

import json
import sys


def rates_of(document, kind):
    """Case -> GFLOP/s, of those of a kind that were timed; those that failed their check are left out."""
    rates = {}
    for entry in document["benchmarks"]:
        is_timed = entry.get("run_type") != "aggregate" and not entry.get("error_occurred")
        if entry["name"].startswith(kind + "/") and is_timed:
            rates[entry["name"]] = entry["GFLOP/s"]
    return rates


def table(choices):
    """`choices`: name -> rates_of()."""
    names = list(choices)
    lines = ["| case | " + " | ".join(names) + " | auto of the best |", "|" + " --- |" * (len(names) + 2)]
    for case in sorted(set().union(*choices.values())):
        rates = [choices[name].get(case) for name in names]
        best = max(rate for rate in rates if rate is not None)
        chosen = choices["auto"].get(case)
        share = "-" if chosen is None else f"{chosen / best:.0%}"
        cells = ["-" if rate is None else f"{rate:.0f}" for rate in rates]
        lines.append("| " + " | ".join([case, *cells, share]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments):
    kind, out, *files = arguments
    choices = {}
    for argument in files:
        name, path = argument.split("=", 1)
        with open(path, encoding="utf-8") as file:
            choices[name] = rates_of(json.load(file), kind)
    with open(out, "w", encoding="utf-8") as file:
        file.write(table(choices))


if __name__ == "__main__":
    main(sys.argv[1:])
