"""Shows side by side what kernel_bench measured with each choice of a kernel, and which was fastest.

    python3 compare_choices.py BM_matmul tiles.md auto=auto.json 64x64=64x64.json ...
    python3 compare_choices.py BM_attention attention.md auto=auto.json mma=mma.json ...

Each file is the --benchmark_out of one run with the option tiles=NAME or attention=NAME. Each row is a case with the
GFLOP/s of each choice. The column auto is the backend's own choice, with its share of the best choice's rate.
"""

import json
import sys


def rates_of(document, kind):
    """Returns case -> GFLOP/s of the timed cases of a kind, without those that failed their check."""
    rates = {}
    for entry in document["benchmarks"]:
        is_timed = entry.get("run_type") != "aggregate" and not entry.get("error_occurred")
        if entry["name"].startswith(kind + "/") and is_timed:
            rates[entry["name"]] = entry["GFLOP/s"]
    return rates


def table(choices):
    """Returns the table's lines. `choices`: name of a choice -> its rates_of()."""
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
