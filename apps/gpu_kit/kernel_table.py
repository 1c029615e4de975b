"""Prints what kernel_bench timed on a device as a Markdown table; needs no PyTorch.

    python3 kernel_table.py kernels.json

Each row is a case: its kernel, the time of one operation, GB/s, and their share of the read rate that kernel_bench measured
when it started.
"""

import json
import sys


def table(document):
    lines = ["| case | kernel | µs | GB/s | of the measured read rate |", "| --- | --- | ---: | ---: | ---: |"]
    for entry in document["benchmarks"]:
        if entry.get("run_type") == "aggregate":
            continue
        name = entry["name"].removesuffix("/manual_time")
        if entry.get("error_occurred"):
            lines.append(f"| {name} | {entry.get('error_message', 'failed')} | - | - | - |")
            continue
        share = f"{entry['of_read']:.0%}" if "of_read" in entry else "-"
        lines.append(f"| {name} | {entry.get('label', '-')} | {entry['us']:.1f} | {entry['GB/s']:.0f} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(table(json.load(file)))
